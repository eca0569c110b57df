"""A test as ``tools/test.py`` makes it, of made-up boxes: the metric without detector and loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.config import Config

from negas.evaluation.ood_metric import OODMetric

from .fake_runs import CHANNELS, ID_NAMES, IMAGES, SETS, make_records, write_data


def tiny_test(
    work_dir: Path, seed: int = 0, sets: Sequence[str] = SETS, stage: str = "test", **options
) -> OODMetric:
    """Run a test; data go to ``<work_dir>/../data`` once.

    Args:
        work_dir: of the test.
        seed: of the boxes: another detector's.
        sets: that are tested.
        stage: of the loop.
        options: of the metric.
    """
    data = work_dir.parent / "data"
    if not data.exists():
        write_data(data)
    metric = OODMetric(**dict(scores=["max_sigmoid", "negs"], cut=0.4, plots=False) | options)
    model = SimpleNamespace(
        class_names=ID_NAMES,
        neg_labels=["zebra", "fork"],
        bbox_head=SimpleNamespace(test_cfg=dict(keep_logits=True, keep_embeddings=True)),
        text_feats=lambda: (None, torch.from_numpy(texts[len(ID_NAMES) :])),
        **dict.fromkeys(("postprocessor", "prompt", "token_reduce", "base_sha256")),
        use_nega=False,
        score_head=dict,  # none
    )
    rng = np.random.default_rng(seed)
    texts = rng.standard_normal((len(ID_NAMES) + 2, CHANNELS)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    files = {
        name: SimpleNamespace(
            ann_file=str(data / f"{name}.json"), data_prefix=dict(img=str(data / name))
        )
        for name in sets
    }
    runner = SimpleNamespace(work_dir=str(work_dir), cfg=Config(dict(model={})), seed=seed)
    metric.begin_run(model, runner, files, stage)
    for name in sets:
        records = make_records(name, data, rng, texts, 2)
        metric.begin_set(name)
        for image in range(IMAGES):
            rows = np.flatnonzero(records.image_ids == image)
            keys = ("bboxes", "labels", "scores", "id_logits", "neg_logits", "embeddings")
            found = {key: torch.from_numpy(getattr(records, key)[rows]) for key in keys}
            metric.process({}, [dict(img_id=image, pred_instances=found)])
        metric.evaluate(IMAGES)
    metric.summarize()
    return metric
