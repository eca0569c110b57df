"""Checks of data and checkpoints before any long work starts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.logging import print_log
from PIL import Image
from tqdm import tqdm

from negas.labels.bank import NegativeLabelBank
from negas.labels.names import read_names

_END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 1 << 12  # some cameras and tools write bytes after the end mark


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
        if loop.get("cut_dataloader"):
            yield from walk("cut_dataloader.dataset", loop["cut_dataloader"]["dataset"])
        for ood, ood_loader in (loop.get("ood_dataloaders") or {}).items():
            yield from walk(f"ood_dataloaders.{ood}.dataset", ood_loader["dataset"])


def check_data(cfg: Config, dataloaders: Sequence[str]) -> None:
    """Check annotation files and images of COCO-format datasets.

    Raises:
        FileNotFoundError: an annotation file or an image does not exist.
        ValueError: a file is no COCO json, its categories or boxes do not make sense, or lack a
            class of the config.
    """
    seen = set()
    for key, dataset in _datasets(cfg, dataloaders):
        ann = dataset.get("ann_file")
        if not ann:
            continue
        root = Path(dataset.get("data_root") or "")
        prefix = (dataset.get("data_prefix") or {}).get("img", "")
        identity = (str(root / ann), str(root / prefix), key.startswith("ood"))
        if identity in seen:
            continue
        seen.add(identity)
        is_id = not key.startswith("ood")
        classes = _classes(dataset)
        if is_id:
            _check_model_classes(cfg, key, dataset, classes)
        check_coco(root / ann, root / prefix, key, classes if is_id else None)


def _classes(dataset: dict) -> list[str] | None:
    """Classes of a dataset: its ``metainfo``'s, or those that its type brings along."""
    given = (dataset.get("metainfo") or {}).get("classes")
    if given is None:
        given = getattr(DATASETS.get(dataset["type"]), "METAINFO", {}).get("classes")
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
    bank = NegativeLabelBank.load(source)
    try:
        bank.check_id_labels(read_names(cfg.model.class_names, "model.class_names"))
    except ValueError as error:
        raise ValueError(f"model.neg_labels={source!r}: {error}") from error


def _read_json(path: Path, key: str) -> dict:
    if not path.is_file():
        raise FileNotFoundError(
            f"{key}.ann_file: {str(path)!r} does not exist; prepare the dataset or correct "
            "data_root/ann_file"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{key}.ann_file: {str(path)!r} is not valid JSON ({error})") from error
    for field in ("images", "annotations", "categories"):
        if not isinstance(data, dict) or not isinstance(data.get(field), list):
            raise ValueError(f"{key}.ann_file: {str(path)!r} has no list {field!r}; expected COCO")
    if not data["images"]:
        raise ValueError(f"{key}.ann_file: {str(path)!r} lists no images")
    return data


def check_coco(
    ann_file: Path, image_dir: Path, key: str, classes: Sequence[str] | None = None
) -> None:
    """Check one COCO json and its images; see :func:`check_data`.

    Args:
        ann_file: the json.
        image_dir: folder that its file names are relative to.
        key: where the config names it, for the error.
        classes: names that must all be categories of the json; ``None``: any.
    """
    data = _read_json(ann_file, key)
    where = f"{key}.ann_file: {str(ann_file)!r}"
    names = {category.get("id"): category.get("name") for category in data["categories"]}
    if classes:
        lost = [name for name in classes if name not in names.values()]
        if lost:
            raise ValueError(
                f"{where} has no category {lost[0]!r} ({len(lost)} of {len(classes)} classes are "
                f"missing; it has {sorted(map(str, names.values()))[:8]}...); rename the "
                "categories or set metainfo.classes to the json's names"
            )
        extra = [name for name in names.values() if name not in classes]
        if extra:
            print_log(f"{where}: ignoring categories that are no class: {extra[:8]}", "current")
    image_ids = {image.get("id") for image in data["images"]}
    if len(image_ids) != len(data["images"]):
        raise ValueError(f"{where} has two images with the same id")
    for ann in data["annotations"]:
        if ann.get("category_id") not in names:
            raise ValueError(
                f"{where}: annotation {ann.get('id')} has unknown category_id "
                f"{ann.get('category_id')!r}; the json's categories have ids {sorted(names)[:8]}..."
            )
        if ann.get("image_id") not in image_ids:
            raise ValueError(
                f"{where}: annotation {ann.get('id')} belongs to image {ann.get('image_id')!r}, "
                "which the json does not list"
            )
        box = ann.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(_finite(v) for v in box):
            raise ValueError(f"{where}: annotation {ann.get('id')} has no finite bbox [x, y, w, h]")
    missing = [
        image["file_name"]
        for image in data["images"]
        if not (image_dir / image["file_name"]).is_file()
    ]
    if missing:
        raise FileNotFoundError(
            f"{where}: {len(missing)} of {len(data['images'])} images do not exist, the first is "
            f"{str(image_dir / missing[0])!r}; correct data_prefix.img or complete the dataset"
        )
    # Seconds on a large set, minutes on a slow disk: a bar appears after the first two.
    bar = tqdm(data["images"], f"checking {ann_file.name}", leave=False, delay=2)
    for image in bar:
        path = image_dir / image["file_name"]
        if not _is_image(path):
            raise ValueError(
                f"{where}: image {str(path)!r} cannot be read (damaged or no image); replace it or "
                "take it out of the json"
            )


def _is_image(path: Path) -> bool:
    """Whether a file looks like an image, from its header and a JPEG's or PNG's last bytes.

    Cheap enough for a hundred thousand files; damage in between shows only when it is decoded.
    """
    try:
        with Image.open(path) as image:
            kind = image.format
    except (OSError, SyntaxError, ValueError):
        return False
    if kind not in _END_MARKS:
        return True
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return _END_MARKS[kind] in file.read()


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")


def check_checkpoint(path: str) -> None:
    """Check that a local checkpoint exists.

    Raises:
        FileNotFoundError: if not.
    """
    if "://" not in path and not Path(path).is_file():
        raise FileNotFoundError(
            f"checkpoint {path!r} does not exist; give a .pth or .safetensors file"
        )
