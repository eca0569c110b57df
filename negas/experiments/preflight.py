"""Checks of data and checkpoints before any long work starts."""

from __future__ import annotations

import negas.compat.mm  # noqa: F401 - mmdet can be imported after it

# isort: split
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dist import all_gather_object
from mmengine.logging import print_log

from negas.datasets.coco_check import check_set
from negas.labels.bank import NegativeLabelBank
from negas.labels.names import read_names


def _datasets(cfg: Config, dataloaders: Sequence[str]) -> Iterator[tuple[str, dict]]:
    """(config key, dataset config) of every dataset that the run will read."""

    def walk(key: str, dataset: dict) -> Iterator[tuple[str, dict]]:
        if "datasets" in dataset:
            for i, inner in enumerate(dataset["datasets"]):
                yield from walk(f"{key}.datasets[{i}]", inner)
        elif isinstance(dataset.get("dataset"), dict):
            yield from walk(f"{key}.dataset", dataset["dataset"])
        else:
            yield key, dataset

    for name in dataloaders:
        loader = cfg.get(name)
        if loader is not None:
            yield from walk(f"{name}.dataset", loader["dataset"])
        # The OOD sets and the set of the cut belong to the loop that follows the ID set.
        loop = cfg.get(name.replace("_dataloader", "_cfg")) or {}
        if loop.get("id_val_dataloader"):
            yield from walk("id_val_dataloader.dataset", loop["id_val_dataloader"]["dataset"])
        for ood, ood_loader in (loop.get("ood_dataloaders") or {}).items():
            yield from walk(f"ood_dataloaders.{ood}.dataset", ood_loader["dataset"])


def check_data(cfg: Config, dataloaders: Sequence[str]) -> None:
    """Check annotation files and images of COCO-format datasets; others are let through.

    In a distributed run each process looks at its share of the images, and all of them fail with
    the first error that any has found.

    Raises:
        FileNotFoundError: an annotation file or an image does not exist.
        ValueError: a file is no COCO json, its categories or boxes do not make sense, or lack a
            class of the config; an image cannot be read.
    """
    error, cut_off = None, {}
    try:
        cut_off = _check_sets(cfg, dataloaders)
    except (ValueError, OSError) as found:
        error = found
    outcomes = all_gather_object((error, cut_off))
    for found, _ in outcomes:
        if found is not None:
            raise found
    for where in cut_off:
        images = [path for _, by_set in outcomes for path in by_set[where]]
        if images:
            print_log(
                f"{where}: {len(images)} JPEG files do not end with an end mark, the first is "
                f"{images[0]!r}; they can be decoded, but what may be missing of them is grey",
                "current",
                logging.WARNING,
            )


def _check_sets(cfg: Config, dataloaders: Sequence[str]) -> dict[str, list[str]]:
    """Check every set once; returns the JPEGs without end mark by config key."""
    seen, cut_off = set(), {}
    for key, dataset in _datasets(cfg, dataloaders):
        ann = dataset.get("ann_file")
        if not ann:
            continue
        root = Path(dataset.get("data_root") or "")
        prefix = (dataset.get("data_prefix") or {}).get("img", "")
        is_id = not key.startswith("ood")
        identity = (str(root / ann), str(root / prefix), is_id)
        if identity in seen:
            continue
        seen.add(identity)
        classes = _classes(dataset)
        if is_id:
            _check_model_classes(cfg, key, dataset, classes)
        if not _is_local_coco(dataset):
            kind = dataset["type"]
            print_log(
                f"{key} ({kind}): no local COCO json, so its files are not checked", "current"
            )
            continue
        cut_off[key] = check_set(root / ann, root / prefix, key, classes if is_id else None)
    return cut_off


def _type_of(dataset: dict) -> type | None:
    kind = dataset["type"]
    return kind if isinstance(kind, type) else DATASETS.get(kind)


def _is_local_coco(dataset: dict) -> bool:
    kind = _type_of(dataset)
    remote = any("://" in str(dataset.get(key) or "") for key in ("data_root", "ann_file"))
    return isinstance(kind, type) and issubclass(kind, CocoDataset) and not remote


def _classes(dataset: dict) -> list[str] | None:
    """Classes of a dataset: its ``metainfo``'s, or those that its type brings along."""
    given = (dataset.get("metainfo") or {}).get("classes")
    if given is None:
        given = getattr(_type_of(dataset), "METAINFO", {}).get("classes")
    return list(given) if given is not None else None


def _check_model_classes(cfg: Config, key: str, dataset: dict, classes: list[str] | None) -> None:
    """Labels index into the model's names, unless each image brings its own texts."""
    names = cfg.model.get("class_names")
    own_texts = any("RandomTexts" in step["type"] for step in dataset.get("pipeline", ()))
    if not names or classes is None or own_texts:
        return
    names = list(read_names(names, "model.class_names"))
    if names != classes:
        raise ValueError(
            f"{key}: its classes {classes[:5]}... ({len(classes)}) are not model.class_names "
            f"{names[:5]}... ({len(names)}); give both the same names in the same order"
        )


def check_bank(cfg: Config) -> None:
    """Check that the label bank was made for the model's classes.

    Raises:
        ValueError: if not, or if the bank itself is not sound.
        FileNotFoundError: if there is no such file.
    """
    source = cfg.model.get("neg_labels")
    if not source or not isinstance(source, str) or not cfg.model.get("class_names"):
        return
    command = cfg.get("bank_command") or ""
    if command and not Path(source).is_file() and source in command:
        raise FileNotFoundError(
            f"model.neg_labels={source!r} does not exist; make it with: {command}"
        )
    bank = NegativeLabelBank.load(source)
    try:
        bank.check_id_labels(read_names(cfg.model.class_names, "model.class_names"))
    except ValueError as error:
        raise ValueError(f"model.neg_labels={source!r}: {error}") from error


def check_checkpoint(path: str) -> None:
    """Check that a local checkpoint exists.

    Raises:
        FileNotFoundError: if not.
    """
    if "://" not in path and not Path(path).is_file():
        raise FileNotFoundError(
            f"checkpoint {path!r} does not exist; give a .pth or .safetensors file"
        )


def check_test_pipeline(cfg: Config) -> None:
    """Check that a config says how images are prepared.

    Raises:
        ValueError: if not.
    """
    loader = cfg.get("test_dataloader") or {}
    if not (loader.get("dataset") or {}).get("pipeline"):
        raise ValueError(
            "the config has no test_dataloader.dataset.pipeline, so images cannot be prepared as "
            "the detector expects; take a config that can be tested"
        )


def check_device(device: str | None) -> None:
    """Check that torch can use a device; ``None``: whichever it finds.

    Raises:
        ValueError: if not.
    """
    try:
        torch.empty(0, device=device or "cpu")
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {device!r} cannot be used ({reason}); try 'cpu'") from error
