"""Where a mining run gets its class names and ID images from: config, file or command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from negas.cli import load_config
from negas.labels.names import given_names, read_names, refuse_repeated

_CONFIGS = (".py", ".yaml", ".yml")


@dataclass(frozen=True)
class ClassSource:
    """Class names, and the annotated training images that came with them.

    Attributes:
        names: the K ID class names, in order.
        origin: where they are from, for people.
        ann_file: COCO json of ID training images, if the source names one.
        img_dir: folder of these images, if the source names one.
    """

    names: tuple[str, ...]
    origin: str
    ann_file: str | None = None
    img_dir: str | None = None


def read_classes(given: Sequence[str]) -> ClassSource:
    """Class names from what stands on the command line.

    Args:
        given: one file (MMEngine config; COCO json or json list; text with one name per line), or
            the names themselves, as several words or with commas between them.

    Raises:
        FileNotFoundError: the one argument looks like a file, and there is none.
        ValueError: no names, an empty name, a name twice, or a config that names no classes.
    """
    suffix = Path(given[0]).suffix.lower() if len(given) == 1 else ""
    if suffix in _CONFIGS:
        source = _from_config(given[0])
    else:
        found = given_names(given)
        names = read_names(found, "classes")
        if isinstance(found, str):
            source = ClassSource(names, found, found if suffix == ".json" else None)
        else:
            source = ClassSource(names, "command line")
    if not source.names:
        raise ValueError(f"no class names in {source.origin}; name at least one class")
    refuse_repeated(source.names, source.origin)
    return source


def _from_config(path: str) -> ClassSource:
    cfg = load_config(path)
    loader = cfg.get("train_dataloader") or {}
    dataset = loader.get("dataset") or {}
    while isinstance(dataset.get("dataset"), dict):  # wrappers such as RepeatDataset
        dataset = dataset["dataset"]
    model = cfg.get("model") or {}
    names = (
        model.get("class_names")
        or (dataset.get("metainfo") or {}).get("classes")
        or cfg.get("class_names")
    )
    if not names:
        raise ValueError(
            f"config {path!r} names no classes (model.class_names, the training set's "
            f"metainfo.classes or class_names); give the names themselves"
        )
    names = read_names(names if isinstance(names, str) else list(names), "class_names")
    if "ann_file" not in dataset:
        return ClassSource(names, path)
    root = Path(dataset.get("data_root") or "")
    prefix = (dataset.get("data_prefix") or {}).get("img", "")
    return ClassSource(names, path, str(root / dataset["ann_file"]), str(root / prefix))
