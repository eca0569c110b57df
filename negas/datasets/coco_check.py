"""Before work starts: is a COCO json sound, and are its images there and readable?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import mmcv
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import print_log
from tqdm import tqdm

from negas.coco_json import check_classes, check_coco
from negas.files import read_json
from negas.labels.names import first_difference
from negas.pictures import PictureError, picture_size
from negas.text import listed


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
    how = "draw the scenes with negas emoji-world" if ours else "prepare it"
    data = read_json(path, f"{how} or correct data_root/ann_file", where)
    numbers = ("area", "iscrowd") if "CocoMetric" in stock else ("area",)
    check_coco(data, where, sizes=True, numbers=numbers)
    if not data["images"]:
        raise ValueError(f"{where} lists no images")
    if classes and (extra := check_classes(data, where, classes)):
        print_log(f"{where}: ignoring categories that are no class: {listed(extra, 8)}", "current")
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


_END_MARKS = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}  # JPEG, PNG: by their first bytes
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
        try:
            size = picture_size(path)
            found[WITHOUT_END] += [] if _has_end(path) else [str(path)]
        except PictureError as error:
            raise ValueError(
                f"{where}: image {str(path)!r} cannot be read ({error.reason}); replace it or take "
                "it out of the json"
            ) from error
        told = (image["width"], image["height"])
        if told != size:
            sizes = " x ".join(map(str, told)), " x ".join(map(str, size))
            found[OTHER_SIZE].append(f"{str(path)!r} ({sizes[1]} pixels, the json says {sizes[0]})")
    return found


def _has_end(path: Path) -> bool:
    """Whether a JPEG or PNG is whole, from its last bytes; other formats have no mark.

    Cheap enough for a hundred thousand files; damage in between shows only when it is decoded.

    Returns:
        False for a JPEG without the mark that can be decoded all the same.

    Raises:
        PictureError: the mark is missing and it cannot be decoded.
    """
    with path.open("rb") as file:
        head = file.read(8)
        mark = next((mark for start, mark in _END_MARKS.items() if head.startswith(start)), None)
        file.seek(max(0, path.stat().st_size - _TAIL))
        if mark is None or mark in file.read():
            return True
    # JPEGs without the mark, or with much behind it, may be fine: ask the pipelines' decoder.
    if mark == b"IEND" or mmcv.imfrombytes(path.read_bytes()) is None:
        raise PictureError(path, "the file is truncated")
    return False
