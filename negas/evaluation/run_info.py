"""What the numbers of a test run depend on, for the result file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mmengine.runner import Runner
from torch import nn

from negas.files import file_sha256

from .provenance import describe_postprocessing, package_versions


def run_info(runner: Runner, model: nn.Module) -> dict:
    """What a number depends on: config, checkpoint, seed, post-processing, package versions."""
    checkpoint = str(runner.cfg.get("load_from") or "")
    test_cfg = json.loads(json.dumps(dict(model.bbox_head.test_cfg), default=str))
    postprocessor = getattr(model, "postprocessor", None)
    return dict(
        config=str(getattr(runner.cfg, "filename", None) or ""),
        config_sha256=hashlib.sha256(runner.cfg.pretty_text.encode()).hexdigest(),
        checkpoint=checkpoint,
        checkpoint_sha256=file_sha256(checkpoint) if Path(checkpoint).is_file() else None,
        base_sha256=getattr(model, "base_sha256", None),
        seed=runner.seed,
        test_cfg=test_cfg,
        **describe_postprocessing(test_cfg),
        score=getattr(postprocessor, "score_name", "max_sigmoid"),
        prompt=getattr(model, "prompt", None) is not None,
        use_nega=bool(getattr(model, "use_nega", False)),
        class_names=list(model.class_names),
        neg_labels=_source(runner.cfg.get("model", {}).get("neg_labels")),
        versions=package_versions(),
    )


def _source(neg_labels: object) -> str | None:
    """The bank's file, if the config names one."""
    return neg_labels if isinstance(neg_labels, str) else None
