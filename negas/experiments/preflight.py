"""Checks of data and checkpoints before any long work starts."""

from __future__ import annotations

import negas.compat.mm  # noqa: F401 - mmdet can be imported after it

# isort: split
import filecmp
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from mmengine.dist import all_gather_object
from mmengine.logging import print_log

from negas.datasets.coco_check import OTHER_SIZE, WITHOUT_END, check_set
from negas.files import read_json
from negas.labels.bank import NegativeLabelBank
from negas.labels.names import first_difference, read_names
from negas.models.unknown import WHERE, vocabulary_of
from negas.options import check_value
from negas.records import VALIDATION_SETS, check_set_names
from negas.text import shown
from negas.unknown import UnknownOptions
from negas.weights.released import how_to_get


def _loaders(cfg: Config, dataloaders: Sequence[str]) -> Iterator[tuple[str, str, dict]]:
    """(key, short key, config) of every dataloader that the run will use.

    The OOD sets and the set of the cut belong to the loop that follows the ID set.
    """
    for name in dataloaders:
        if cfg.get(name) is not None:
            yield name, name, cfg[name]
        loop_key = name.replace("_dataloader", "_cfg")
        loop = cfg.get(loop_key) or {}
        for key in (f"{name}_dataloader" for name in VALIDATION_SETS):
            if loop.get(key):
                yield f"{loop_key}.{key}", key, loop[key]
        check_set_names(loop.get("ood_dataloaders") or {})
        for ood, loader in (loop.get("ood_dataloaders") or {}).items():
            key = f"ood_dataloaders.{ood}"
            yield f"{loop_key}.{key}", key, loader


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

    for _, key, loader in _loaders(cfg, dataloaders):
        yield from walk(f"{key}.dataset", loader["dataset"])


def check_data(cfg: Config, dataloaders: Sequence[str]) -> None:
    """Check annotation files and images of COCO-format datasets; others are let through.

    What is evaluated has to be one json, read whole, and the evaluators must name the same.

    In a distributed run each process looks at its share of the images, and all of them fail with
    the first error that any has found.

    Raises:
        FileNotFoundError: an annotation file or an image does not exist.
        ValueError: a file is no COCO json, its categories or boxes do not make sense, or lack a
            class of the config; an image cannot be read; an evaluation would count wrongly.
    """
    error, odd = None, {}
    try:
        _check_evaluations(cfg, dataloaders)
        odd = _check_sets(cfg, dataloaders)
    except (ValueError, OSError) as found:
        error = found
    outcomes = all_gather_object((error, odd))
    for found, _ in outcomes:
        if found is not None:
            raise found
    for where in odd:
        for kind, says in _ODD.items():
            images = [path for _, by_set in outcomes for path in by_set[where].get(kind, ())]
            if images:
                text = f"{where}: {says.format(len(images), images[0])}"
                print_log(text, "current", logging.WARNING)


_ODD = {
    WITHOUT_END: "{} JPEG files do not end with an end mark, the first is {!r}; they can be "
    "decoded, but what may be missing of them is grey",
    OTHER_SIZE: "{} images have another size than their json says, the first is {}; boxes that "
    "were made for that size lie elsewhere, and training leaves out those outside of it (were "
    "images resized, or turned by their EXIF tag?)",
}


def _check_evaluations(cfg: Config, dataloaders: Sequence[str]) -> None:
    """Refuse what MMDetection would evaluate against other objects than the detector saw."""
    for name in dataloaders:
        split = name.removesuffix("_dataloader")
        evaluators = _evaluators(cfg, split)
        reads = [one for one in evaluators if one.get("ann_file") or one.get("type") == "OODMetric"]
        if not reads or split == "train":
            continue
        for key, _, loader in _loaders(cfg, [name]):
            _check_one_json(key, loader)
        if cfg.get(name) is None:
            continue
        dataset = cfg[name]["dataset"]
        for i, one in enumerate(evaluators):
            key = f"{split}_evaluator" + (f"[{i}]" if len(evaluators) > 1 else "")
            if one.get("ann_file"):
                _check_evaluator(f"{key}.ann_file", one, f"{name}.dataset", dataset)


def _evaluators(cfg: Config, split: str) -> list[dict]:
    given = cfg.get(f"{split}_evaluator") or []
    return list(given) if isinstance(given, list | tuple) else [given]


def _check_one_json(key: str, loader: dict) -> None:
    """Refuse a dataloader that does not give the images of one json, all of them."""
    dataset = loader["dataset"]
    inner = "datasets" in dataset or isinstance(dataset.get("dataset"), dict)
    reason = ""
    if inner:
        reason = (
            f"dataset: {dataset['type']} gives images that the evaluator's json lacks, or twice"
        )
    elif dataset.get("indices") is not None:
        reason = "dataset.indices leaves images out that the evaluator counts as missed"
    elif not dataset.get("test_mode") and any((dataset.get("filter_cfg") or {}).values()):
        reason = (
            "dataset.filter_cfg leaves images out that the evaluator counts as missed (with "
            "test_mode=True it does not)"
        )
    elif loader.get("drop_last"):
        reason = "drop_last leaves images out that the evaluator counts as missed"
    if reason:
        raise ValueError(f"{key}.{reason}; give one data set with one json, read whole")


def _check_evaluator(key: str, evaluator: dict, loaded: str, dataset: dict) -> None:
    """Refuse an evaluator that reads another json than the images come from."""
    mine, theirs = evaluator["ann_file"], dataset.get("ann_file")
    texts = isinstance(mine, str) and isinstance(theirs, str)
    if not texts or any("://" in str(one) for one in (mine, theirs, dataset.get("data_root"))):
        return
    loaded_file = _path(dataset, theirs)
    for where, path in ((key, Path(mine)), (f"{loaded}.ann_file", loaded_file)):
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{where}: {str(path)!r}: there is no such file; correct it")
    if not os.path.samefile(mine, loaded_file) and not filecmp.cmp(mine, loaded_file, False):
        raise ValueError(
            f"{key}={mine!r} is another json than {loaded}.ann_file={str(loaded_file)!r}, so "
            "detections would be compared with other objects; name the same file in both"
        )


def _path(dataset: dict, name: str) -> Path:
    """A file or folder of a dataset, as MMEngine joins it."""
    return Path(dataset.get("data_root") or "") / name


def _check_sets(cfg: Config, dataloaders: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Check every set once; returns images that are odd by config key, see ``check_set``."""
    seen, odd = [], {}
    for key, dataset in _datasets(cfg, dataloaders):
        ann = dataset.get("ann_file")
        if not ann:
            if (
                _is_local_coco(dataset)
                and _type_of(dataset).load_data_list is CocoDataset.load_data_list
            ):
                raise ValueError(f"{key}.ann_file is {shown(ann)}; name the COCO json")
            continue
        if not isinstance(ann, str):
            raise ValueError(
                f"{key}.ann_file must be one path, got {shown(ann)}; join the jsons, or train on a "
                "ConcatDataset of several data sets"
            )
        prefix = _path(dataset, (dataset.get("data_prefix") or {}).get("img", ""))
        is_id = not key.startswith("ood")
        classes = _classes(f"{key}.metainfo.classes", dataset) if is_id else None
        split = key.partition("_dataloader")[0]
        rules = dict(stock=_stock_readers(cfg, split, dataset) if is_id else ())
        rules["in_order"] = bool(cfg.model.get("class_names"))
        identity = (str(_path(dataset, ann)), str(prefix), classes, rules)
        if identity in seen:
            continue
        seen.append(identity)
        if is_id:
            _check_model_classes(cfg, key, dataset, classes)
        if not _is_local_coco(dataset):
            kind = dataset["type"]
            print_log(
                f"{key} ({kind}): no local COCO json, so its files are not checked", "current"
            )
            continue
        odd[key] = check_set(_path(dataset, ann), prefix, key, classes, **rules)
        _check_filter(key, dataset, classes)
    return odd


def _check_filter(key: str, dataset: dict, classes: Sequence[str] | None) -> None:
    """Refuse a ``filter_cfg`` that leaves no image; MMDetection would fail in NumPy's words."""
    given = dataset.get("filter_cfg") or {}
    if dataset.get("test_mode") or not any(given.values()):
        return
    data = read_json(_path(dataset, dataset["ann_file"]))
    kept = {c["id"] for c in data["categories"] if classes is None or c["name"] in classes}
    filled = {ann["image_id"] for ann in data["annotations"] if ann["category_id"] in kept}
    least = given.get("min_size", 0)
    for image in data["images"]:
        fits = image["id"] in filled or not given.get("filter_empty_gt")
        if fits and min(image["width"], image["height"]) >= least:
            return
    raise ValueError(
        f"{key}.filter_cfg={shown(dict(given))} leaves none of the {len(data['images'])} images; "
        "lower min_size or switch filter_empty_gt off"
    )


def _type_of(dataset: dict) -> type | None:
    kind = dataset["type"]
    return kind if isinstance(kind, type) else DATASETS.get(kind)


def _is_local_coco(dataset: dict) -> bool:
    kind = _type_of(dataset)
    remote = any("://" in str(dataset.get(key) or "") for key in ("data_root", "ann_file"))
    return isinstance(kind, type) and issubclass(kind, CocoDataset) and not remote


def _stock_readers(cfg: Config, split: str, dataset: dict) -> tuple[str, ...]:
    """MMDetection's own dataset and metric among those that read a split's json."""
    if not _is_local_coco(dataset):
        return ()
    api = getattr(_type_of(dataset), "COCOAPI", COCO)
    readers = ["CocoDataset"] if api.get_cat_ids is COCO.get_cat_ids else []
    kinds = [one.get("type") for one in _evaluators(cfg, split)]
    found = [METRICS.get(kind) if isinstance(kind, str) else kind for kind in kinds]
    return (*readers, *(["CocoMetric"] if CocoMetric in found else []))


def _classes(key: str, dataset: dict) -> list[str] | None:
    """Classes of a dataset: its ``metainfo``'s, or those that its type brings along."""
    given = (dataset.get("metainfo") or {}).get("classes")
    if given is None:
        given = getattr(_type_of(dataset), "METAINFO", {}).get("classes")
    if given is None:
        return None
    check_value(key, given, str | list | tuple)
    return list(read_names(given, key))


def _check_model_classes(cfg: Config, key: str, dataset: dict, classes: list[str] | None) -> None:
    """Labels index into the model's names, unless each image brings its own texts."""
    names = cfg.model.get("class_names")
    own_texts = any("RandomTexts" in step["type"] for step in dataset.get("pipeline", ()))
    if not names or classes is None or own_texts:
        return
    names = list(read_names(names, "model.class_names"))
    if names != classes:
        raise ValueError(
            f"{key}: its classes are not model.class_names ({first_difference(names, classes)}); "
            "give both the same names in the same order"
        )


def check_bank(cfg: Config) -> None:
    """Check that the label bank was made for the model's classes, and the vocabulary of unknowns.

    Raises:
        ValueError: if not, or if the bank itself is not sound.
        FileNotFoundError: if there is no such file.
    """
    if not cfg.model.get("class_names"):
        return
    if settings := (cfg.model.get("test_cfg") or {}).get("unknown"):
        options = UnknownOptions.from_settings(settings, WHERE, section=True)
        vocabulary_of(options, read_names(cfg.model.class_names, "model.class_names"))
    source = cfg.model.get("neg_labels")
    if not source or not isinstance(source, str):
        return
    command = cfg.get("bank_command") or ""
    if command and not Path(source).is_file() and source in command:
        raise FileNotFoundError(
            f"model.neg_labels={source!r} does not exist; make it with: {command}"
        )
    try:
        NegativeLabelBank.load(source, read_names(cfg.model.class_names, "model.class_names"))
    except (ValueError, OSError) as error:
        raise type(error)(f"model.neg_labels: {error}") from error


def check_checkpoint(path: str) -> None:
    """Check that a local checkpoint exists.

    Raises:
        FileNotFoundError: if not.
    """
    if "://" not in path and not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint {path!r} does not exist; {how_to_get(path)}")


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
