"""Reference model, weights and inputs of the YOLO-World vectors in tests/data/yolo_world."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch.nn.functional import normalize

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "yolo_world"


def model_config(size: str) -> dict:
    """Model config of a size, without the text encoder."""
    model = Config.fromfile(ROOT / f"configs/_base_/models/yolo_world_v2_{size}.py").model
    model.backbone.text_model = None
    return model


def fill(model: torch.nn.Module) -> None:
    """Deterministic weights from the parameters' names."""
    state = model.state_dict()
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        rng = np.random.RandomState(zlib.crc32(name.encode()))
        a = np.asarray(rng.standard_normal(tuple(tensor.shape)))
        if name.endswith("running_var"):
            a = 1 + 0.2 * np.tanh(a)
        elif name.endswith("running_mean"):
            a = 0.1 * a
        elif name.endswith("logit_scale"):
            a = np.ones_like(a)
        elif a.ndim >= 2:
            a = a / np.sqrt(np.prod(a.shape[1:]))
        elif name.endswith("weight"):
            a = 1 + 0.1 * a
        else:
            a = 0.1 * a
        state[name] = torch.as_tensor(a, dtype=tensor.dtype)
    model.load_state_dict(state)


def reference(name: str) -> dict:
    """Arrays of one reference file, and its meta as a dict."""
    with np.load(DATA / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    arrays["meta"] = json.loads(str(arrays["meta"]))
    return arrays


def inputs(ref: dict) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[InstanceData]]:
    """Images [B,3,h,w], ID texts [1,K,512], negative texts [1,M,512], ground truth."""
    meta = ref["meta"]
    seed, hw, batch = meta["seed"], meta["hw"], meta["batch"]
    images = np.random.RandomState(seed).random_sample((batch, 3, hw, hw)).astype(np.float32)
    texts = []
    for offset, count in ((1, meta["num_id"]), (2, meta["num_neg"])):
        raw = np.random.RandomState(seed + offset).standard_normal((1, count, 512))
        texts.append(normalize(torch.as_tensor(raw, dtype=torch.float32), dim=-1))
    gt = [
        InstanceData(
            bboxes=torch.as_tensor(ref[f"gt_boxes_{i}"]),
            labels=torch.as_tensor(ref[f"gt_labels_{i}"]),
        )
        for i in range(batch)
    ]
    return torch.from_numpy(images), texts[0], texts[1], gt
