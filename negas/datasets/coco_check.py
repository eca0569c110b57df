"""Before work starts: is a COCO json sound, and are its images there and readable?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import mmcv
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import print_log
from PIL import Image
from tqdm import tqdm

from negas.coco_json import check_classes, check_coco
from negas.files import read_json
from negas.labels.names import first_difference


def read_coco_json(
    path: Path,
    key: str,
    classes: Sequence[str] | None = None,
    stock: Sequence[str] = (),
    in_order: bool = True,
) -> dict:
    """Content of a COCO json that datasets and metrics can rely on.

    Args:
        path: the json.
        key: where the config names it, for the error.
        classes: names that must all be categories; ``None``: any.
        stock: which of MMDetection's ``CocoDataset`` and ``CocoMetric`` read it, too: they are
            stricter.
        in_order: whether labels are looked up in ``classes``, so that for them the categories must
            come in that order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: see :func:`negas.coco_json.check_coco` and ``check_classes``; no image, or
            categories in another order.
    """
    where = f"{key}.ann_file: {str(path)!r}"
    ours = "emoji_world/scenes" in path.as_posix()
    how = "draw the scenes with python tools/make_emoji_world.py" if ours else "prepare it"
    data = read_json(path, f"{how} or correct data_root/ann_file", where)
    numbers = ("area", "iscrowd") if "CocoMetric" in stock else ("area",)
    check_coco(data, where, sizes=True, numbers=numbers)
    if not data["images"]:
        raise ValueError(f"{where} lists no images")
    if classes and (extra := check_classes(data, where, classes)):
        print_log(f"{where}: ignoring categories that are no class: {extra[:8]}", "current")
    order = [row["name"] for row in data["categories"] if row["name"] in (classes or ())]
    if in_order and stock and order != list(classes or ()):
        raise ValueError(
            f"{where}: its categories come in another order than the classes "
            f"({first_difference(classes, order)}), and MMDetection's {stock[0]} takes label k for "
            f"the json's k-th class; use the type {stock[0].replace('Coco', 'CocoByName')}"
        )
    numbered = all(isinstance(ann["id"], int) and ann["id"] > 0 for ann in data["annotations"])
    if "CocoMetric" in stock and not numbered:
        raise ValueError(
            f"{where}: an annotation has the id 0 or a text; MMDetection's CocoMetric takes its "
            "matches for none; use the type CocoByNameMetric"
        )
    if unseen := _count_unseen(data):
        print_log(
            f"{where}: {unseen} boxes have no size or lie outside of their image; MMDetection "
            "leaves them out of training, COCO's AP counts them as objects",
            "current",
        )
    return data


def _count_unseen(data: dict) -> int:
    sizes = {image["id"]: (image["width"], image["height"]) for image in data["images"]}
    count = 0
    for ann in data["annotations"]:
        (x, y, w, h), (width, height) = ann["bbox"], sizes[ann["image_id"]]
        count += x >= width or y >= height or x + w <= 0 or y + h <= 0 or not w or not h
    return count


_END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 1 << 12  # some cameras and tools write bytes after the end mark


WITHOUT_END, OTHER_SIZE = "without end", "other size"


def check_set(
    ann_file: Path, image_dir: Path, key: str, classes: Sequence[str] | None = None, **rules
) -> dict[str, list[str]]:
    """Check one COCO json and this process's share of its images.

    Args:
        ann_file: the json.
        image_dir: folder that its file names are relative to.
        key: where the config names it, for the error.
        classes: names that must all be categories of the json; ``None``: any.
        **rules: of :func:`read_coco_json`.

    Returns:
        Images that are odd, but can be used: ``WITHOUT_END``, JPEG files without an end mark at
        their end; ``OTHER_SIZE``, of another size than the json says, with both.

    Raises:
        FileNotFoundError: the json or an image does not exist.
        ValueError: the json is not sound, or an image cannot be read.
    """
    data = read_coco_json(ann_file, key, classes, **rules)
    where = f"{key}.ann_file: {str(ann_file)!r}"
    if not all("file_name" in image for image in data["images"]):
        print_log(f"{where}: its images have no file_name and are not checked", "current")
        return {}
    images = data["images"][get_rank() :: get_world_size()]
    share = [image_dir / image["file_name"] for image in images]
    missing = [path for path in share if not os.path.isfile(path)]  # never an error of its own
    if missing:
        raise FileNotFoundError(
            f"{where}: {len(missing)} of {len(share)} images do not exist, the first is "
            f"{str(missing[0])!r}; correct data_prefix.img or complete the dataset"
        )
    # Seconds on a large set, minutes on a slow disk: a bar appears after the first two.
    bar = tqdm(share, f"checking {ann_file.name}", leave=False, delay=2, disable=get_rank() > 0)
    found: dict[str, list[str]] = {WITHOUT_END: [], OTHER_SIZE: []}
    for image, path in zip(images, bar, strict=True):
        state = _look_at(path)
        if state == "broken":
            raise ValueError(
                f"{where}: image {str(path)!r} cannot be read (damaged or no image); replace it or "
                "take it out of the json"
            )
        if state == "without end":
            found[WITHOUT_END].append(str(path))
        listed, seen = (image["width"], image["height"]), _size(path)
        if seen is not None and listed != seen:
            sizes = " x ".join(map(str, listed)), " x ".join(map(str, seen))
            found[OTHER_SIZE].append(f"{str(path)!r} ({sizes[1]} pixels, the json says {sizes[0]})")
    return found


_ORIENTATION = 0x0112  # of EXIF; from 5 on width and height are swapped


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height as the pipelines' decoder gives them, from the file's header."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            return image.size[::-1] if turned else image.size
    except (OSError, SyntaxError, ValueError):
        return None


def _look_at(path: Path) -> Literal["whole", "without end", "broken"]:
    """State of an image file, from its header and a JPEG's or PNG's last bytes.

    Cheap enough for a hundred thousand files; damage in between shows only when it is decoded.
    """
    try:
        with Image.open(path) as image:
            kind = image.format
    except (OSError, SyntaxError, ValueError):
        return "broken"
    if kind not in _END_MARKS:
        return "whole"
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        if _END_MARKS[kind] in file.read():
            return "whole"
    # JPEGs without the mark, or with much behind it, may be fine: ask the pipelines' decoder.
    readable = kind == "JPEG" and mmcv.imfrombytes(path.read_bytes()) is not None
    return "without end" if readable else "broken"
