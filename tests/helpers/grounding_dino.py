"""A small Grounding DINO with random weights, stock or NegAS."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from .tiny_bert import write_tiny_bert
from .yolo_world import ROOT

ID_NAMES = ["cat", "dog", "traffic light", "panda"]
NEG_NAMES = ["red panda", "tiger", "st. bernard"]


@cache
def bert_folder() -> str:
    """A tiny BERT of random weights, written once per process."""
    return str(write_tiny_bert(Path(mkdtemp(prefix="tiny-bert-")) / "bert"))


def grounding_dino_config(**changes) -> dict:
    """Config of the small detector: prompt, NegA and NegS on; ``changes`` go to the model."""
    model = Config.fromfile(ROOT / "configs/_base_/models/grounding_dino_tiny.py").model
    model.language_model.name = bert_folder()
    model.update(
        type="NegASGroundingDINO",
        num_queries=20,
        class_names=ID_NAMES,
        neg_labels=NEG_NAMES,
        prompt=dict(ctx_init="a photo of"),
    )
    model.test_cfg.update(max_per_img=30, keep_embeddings=True)
    model.update(changes)
    if model.type != "NegASGroundingDINO":  # the stock classes know nothing of NegAS
        for key in ("neg_labels", "prompt"):
            model.pop(key)
    return model


def build_grounding_dino(seed: int = 0, **changes) -> torch.nn.Module:
    """The detector with seeded random weights, its fusion strong enough to matter."""
    torch.manual_seed(seed)
    model = MODELS.build(grounding_dino_config(**changes))
    fill_grounding_dino(model, seed)
    return model


def fill_grounding_dino(model: torch.nn.Module, seed: int = 0) -> None:
    """Seeded random weights in all but the text encoder, with fusion strong enough to matter."""
    torch.manual_seed(seed)
    model.init_weights()
    with torch.no_grad():
        for layer in model.encoder.fusion_layers:
            layer.gamma_v.fill_(0.5)
            layer.gamma_l.fill_(0.5)
        for branch in model.bbox_head.reg_branches:  # zeros: every layer would repeat its reference
            branch[-1].weight.normal_(std=0.05)
