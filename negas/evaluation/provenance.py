"""What every result file says about its numbers: one list, and the pieces that fill it.

``ood_results.json`` (tests), each run of ``ood_scores.json`` (re-scoring), each run of
``report.json`` and each result of a comparison are descriptions with the sections of :data:`KEYS`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import negas
from negas.compat.versions import installed
from negas.files import file_sha256
from negas.records import BoxRecords

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

    from negas.models.interface import OODDetector

PACKAGES = (
    "torch",
    "mmdet",
    "mmengine",
    "mmyolo",
    "mmcv",
    "transformers",
    "numpy",
    "pycocotools",
)
MAPS = ("coco_ap", "coco_ap50", "voc07_ap50")  # mAP (ID) under its three names
PUBLISHED_MAPS = (*MAPS, "voc07_style_ap", "unstated_ap")  # and as published tables have it
KEYS: dict[str, tuple[str, ...]] = {
    "run": (
        "config",
        "config_sha256",
        "checkpoint",
        "checkpoint_sha256",
        "base_sha256",
        "class_names",
        "score",
        "nms",
        "score_thr",
        "max_per_img",
        "multi_label",
        "versions",
    ),
    "run.nms": ("type", "iou_threshold", "class_agnostic"),
    "run.versions": ("negas", "python", *PACKAGES),
    "seeds": ("run", "rotations"),
    "map": MAPS,
    "sets.*": ("images", "boxes", "ann_file", "ann_sha256"),
    "banks.*": ("name", "file", "sha256", "size", "labels"),
    "rows.*": (
        *("preset", "protocol", "rule", "pair_floor", "cut", "cut_rule", "cut_source"),
        *("score", "options", "logits", "bank", "control", "ood_set"),
        *("fpr95", "fpr95_closest", "auroc", "aupr"),
        *("oscr", "taken_at_50", "taken_at_60", "taken_at_70"),
        *("tpr", "threshold", "tpr_closest", "threshold_closest"),
        *("num_id", "num_ood", "over_cut_id", "over_cut_ood"),
    ),
}


def package_versions() -> dict[str, str | None]:
    """Versions of Python and of what the numbers depend on; ``None``: not installed."""
    found = dict(negas=negas.__version__, python=platform.python_version())
    for name in PACKAGES:
        found[name] = installed(name)
    if found["mmcv"] is None and (lite := installed("mmcv-lite")):
        found["mmcv"] = f"{lite} (lite)"
    return found


def describe_sets(
    records: Mapping[str, BoxRecords], annotations: Mapping[str, str] | None = None
) -> dict[str, dict]:
    """Images, boxes and annotation file of every set; the checksum where the file is there.

    Args:
        records: detections by set.
        annotations: files by set, where the paths in the records no longer hold.
    """
    described = {}
    for name, each in records.items():
        file = (annotations or {}).get(name) or each.meta.get("ann_file")
        described[name] = dict(
            images=len(each.images),
            boxes=len(each),
            ann_file=file,
            ann_sha256=file_sha256(file) if file and Path(file).is_file() else None,
        )
    return described


def describe_bank(name: str, labels: list[str], file: str | None) -> dict[str, Any]:
    """Name, words, and the file they came from with its checksum (``None``: no file)."""
    known = file is not None and Path(file).is_file()
    return dict(
        name=name,
        file=file,
        sha256=file_sha256(file) if known else None,
        size=len(labels),
        labels=labels,
    )


def describe_postprocessing(test_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """NMS, boxes an image and labels a box, from MMDetection's ``test_cfg``."""
    nms = test_cfg.get("nms") or {}
    return dict(
        nms=dict(
            type=nms.get("type", "none"),
            iou_threshold=nms.get("iou_threshold"),
            class_agnostic=bool(nms.get("class_agnostic", False)) if nms else None,
        ),
        score_thr=test_cfg.get("score_thr"),
        max_per_img=test_cfg.get("max_per_img"),
        multi_label=test_cfg.get("multi_label"),
    )


def complete(description: dict) -> dict:
    """A copy with ``None`` for every key of :data:`KEYS` that is not recorded."""
    made = copy.deepcopy(description)
    run = made.setdefault("run", {})
    for key in ("nms", "versions"):
        run[key] = run.get(key) or {}
    made.setdefault("map", {})
    made.setdefault("seeds", {}).setdefault("run", run.get("seed"))
    for name, bank in made.setdefault("banks", {}).items():
        bank.setdefault("name", name)
    for path, keys in KEYS.items():
        for owner in _owners(made, path):
            for key in keys:
                owner.setdefault(key, None)
    return made


def missing_keys(description: dict) -> list[str]:
    """Keys of :data:`KEYS` that a description lacks, such as ``run.nms.type``."""
    lost = []
    for path, keys in KEYS.items():
        owners = _owners(description, path)
        lost += [f"{path}.{key}" for owner in owners for key in keys if key not in owner]
        if not owners and path != "banks.*":  # a run may have no negatives
            lost.append(path)
    return list(dict.fromkeys(lost))


def _owners(description: dict, path: str) -> list[dict]:
    """The dicts that hold the keys of a path; ``*`` stands for every item."""
    level = [description]
    for part in path.split("."):
        if part == "*":
            items = [each.values() if isinstance(each, dict) else each for each in level]
            level = [each for group in items for each in group]
        else:
            level = [each[part] for each in level if each.get(part) is not None]
    return level


def run_info(runner: Runner, model: OODDetector) -> dict:
    """What a number depends on: config, checkpoint, seed, post-processing, package versions."""
    checkpoint = str(runner.cfg.get("load_from") or "")
    test_cfg = json.loads(json.dumps(dict(model.bbox_head.test_cfg), default=str))
    bank = runner.cfg.get("model", {}).get("neg_labels")
    return dict(
        config=str(getattr(runner.cfg, "filename", None) or ""),
        config_sha256=hashlib.sha256(runner.cfg.pretty_text.encode()).hexdigest(),
        checkpoint=checkpoint,
        checkpoint_sha256=file_sha256(checkpoint) if Path(checkpoint).is_file() else None,
        base_sha256=model.base_sha256,
        seed=runner.seed,
        test_cfg=test_cfg,
        **describe_postprocessing(test_cfg),
        score=model.postprocessor.score_name if model.postprocessor else "max_sigmoid",
        prompt=model.prompt is not None,
        use_nega=bool(model.use_nega),
        score_head=bool(model.score_head()),
        class_names=list(model.class_names),
        neg_labels=bank if isinstance(bank, str) else None,  # the file that the config names
        versions=package_versions(),
    )


def text_tower_of(cfg: Config) -> str | None:
    """Name or folder of the text encoder that a config's detector has; ``None``: it names none."""
    model = cfg.get("model") or {}
    clip = (model.get("backbone") or {}).get("text_model") or {}
    bert = model.get("language_model") or {}
    return clip.get("model_name") or bert.get("name")


def leaks_of(bank: dict) -> dict[str, list[str]]:
    """OOD set -> negatives that name one of its classes."""
    return {name: found["leaks"] for name, found in bank["leakage"].items()}
