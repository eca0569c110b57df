"""Is what a COCO json says sound? Its images are not looked at.

Is a COCO json sound, and are its images there?
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import mmcv
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import print_log
from PIL import Image
from tqdm import tqdm

_LISTS = ("images", "annotations", "categories")


def read_coco_json(path: Path, key: str, classes: Sequence[str] | None = None) -> dict:
    """Content of a COCO json that datasets and metrics can rely on.

    Args:
        path: the json.
        key: where the config names it, for the error.
        classes: names that must all be categories; ``None``: any.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no COCO json, something stands there twice, ids do not fit together, a
            class is missing, a box makes no sense, or no object of ``classes`` is annotated.
    """
    data = _read(path, key)
    where = f"{key}.ann_file: {str(path)!r}"
    _check_categories(data["categories"], where, classes)
    _check_images(data["images"], where)
    _check_annotations(data, where, need_crowd=key.startswith("val_dataloader"))
    shown = {
        category["id"] for category in data["categories"] if category.get("name") in (classes or ())
    }
    if classes and not any(ann["category_id"] in shown for ann in data["annotations"]):
        raise ValueError(f"{where} has no annotation of its classes; an ID set needs its objects")
    return data


def _read(path: Path, key: str) -> dict:
    if not path.is_file():
        ours = "emoji_world/scenes" in path.as_posix()
        how = "draw the scenes with python tools/make_emoji_world.py" if ours else "prepare it"
        raise FileNotFoundError(
            f"{key}.ann_file: {str(path)!r} does not exist; {how} or correct data_root/ann_file"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{key}.ann_file: {str(path)!r} is not valid JSON ({error})") from error
    for field in _LISTS:
        rows = data.get(field) if isinstance(data, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(
                f"{key}.ann_file: {str(path)!r} has no list {field!r} of objects; expected COCO"
            )
        seen = set()
        for row in rows:
            number = row.get("id")
            if not isinstance(number, int | str):
                raise ValueError(
                    f"{key}.ann_file: {str(path)!r}: an entry of {field!r} has the id {number!r}; "
                    "expected a number or a text"
                )
            if number in seen:
                raise ValueError(
                    f"{key}.ann_file: {str(path)!r}: two entries of {field!r} have the id "
                    f"{number!r}; give each its own"
                )
            seen.add(number)
    if not data["images"]:
        raise ValueError(f"{key}.ann_file: {str(path)!r} lists no images")
    return data


def _check_categories(categories: list[dict], where: str, classes: Sequence[str] | None) -> None:
    names = [category.get("name") for category in categories]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"{where}: two categories are named {twice!r}; join or rename them")
    if not classes:
        return
    lost = [name for name in classes if name not in names]
    if lost:
        raise ValueError(
            f"{where} has no category {lost[0]!r} ({len(lost)} of {len(classes)} classes are "
            f"missing; it has {sorted(map(str, names))[:8]}...); rename the categories or set "
            "metainfo.classes to the json's names"
        )
    extra = [name for name in names if name not in classes]
    if extra:
        print_log(f"{where}: ignoring categories that are no class: {extra[:8]}", "current")


def _check_images(images: list[dict], where: str) -> None:
    listed: dict[str, object] = {}
    for image in images:
        for side in ("width", "height"):
            if not _is_number(image.get(side)) or image[side] <= 0:
                raise ValueError(
                    f"{where}: image {image['id']!r} has the {side} {image.get(side)!r}; expected "
                    "its size in pixels"
                )
        if "file_name" not in image:  # some sets name urls
            continue
        name = image["file_name"]
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"{where}: image {image['id']!r} has the file_name {name!r}; expected a path"
            )
        if name in listed:
            raise ValueError(
                f"{where}: the file {name!r} is listed twice, as image {listed[name]!r} and "
                f"{image['id']!r}, so its objects would count twice or be missed; keep one"
            )
        listed[name] = image["id"]


def _check_annotations(data: dict, where: str, need_crowd: bool) -> None:
    sizes = {image["id"]: (image["width"], image["height"]) for image in data["images"]}
    known = {category["id"] for category in data["categories"]}
    needed = ("area", "iscrowd") if need_crowd else ("area",)
    unseen = 0
    for ann in data["annotations"]:
        label = f"{where}: annotation {ann['id']!r}"
        category, image = ann.get("category_id"), ann.get("image_id")
        if not isinstance(category, int | str) or category not in known:
            raise ValueError(
                f"{label} has unknown category_id {category!r}; the json's categories have ids "
                f"{sorted(known, key=str)[:8]}..."
            )
        if not isinstance(image, int | str) or image not in sizes:
            raise ValueError(f"{label} belongs to image {image!r}, which the json does not list")
        box = ann.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            raise ValueError(
                f"{label} has no finite bbox [x, y, width, height], but {box!r}; fix or remove it"
            )
        if box[2] < 0 or box[3] < 0:
            raise ValueError(
                f"{label} has the bbox {box!r} of negative size; expected [x, y, width, height] "
                "(are these two corners?)"
            )
        for field in needed:
            if not _is_number(ann.get(field)):
                raise ValueError(
                    f"{label} has {field}={ann.get(field)!r}, expected a number; MMDetection reads "
                    "it"
                )
        width, height = sizes[image]
        outside = (
            box[0] >= width or box[1] >= height or box[0] + box[2] <= 0 or box[1] + box[3] <= 0
        )
        unseen += outside or not box[2] or not box[3]
    if unseen:
        print_log(
            f"{where}: {unseen} boxes have no size or lie outside of their image; MMDetection "
            "leaves them out of training, COCO's AP counts them as objects",
            "current",
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


_END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 1 << 12  # some cameras and tools write bytes after the end mark


def check_coco(
    ann_file: Path, image_dir: Path, key: str, classes: Sequence[str] | None = None
) -> list[str]:
    """Check one COCO json and this process's share of its images.

    Args:
        ann_file: the json.
        image_dir: folder that its file names are relative to.
        key: where the config names it, for the error.
        classes: names that must all be categories of the json; ``None``: any.

    Returns:
        JPEG files without an end mark at their end that can be decoded all the same.

    Raises:
        FileNotFoundError: the json or an image does not exist.
        ValueError: the json is not sound, or an image cannot be read.
    """
    data = read_coco_json(ann_file, key, classes)
    where = f"{key}.ann_file: {str(ann_file)!r}"
    if not all("file_name" in image for image in data["images"]):
        print_log(f"{where}: its images have no file_name and are not checked", "current")
        return []
    share = [image_dir / image["file_name"] for image in data["images"]]
    share = share[get_rank() :: get_world_size()]
    missing = [path for path in share if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{where}: {len(missing)} of {len(share)} images do not exist, the first is "
            f"{str(missing[0])!r}; correct data_prefix.img or complete the dataset"
        )
    # Seconds on a large set, minutes on a slow disk: a bar appears after the first two.
    bar = tqdm(share, f"checking {ann_file.name}", leave=False, delay=2, disable=get_rank() > 0)
    unended = []
    for path in bar:
        state = _look_at(path)
        if state == "broken":
            raise ValueError(
                f"{where}: image {str(path)!r} cannot be read (damaged or no image); replace it or "
                "take it out of the json"
            )
        if state == "unended":
            unended.append(str(path))
    return unended


def _look_at(path: Path) -> Literal["whole", "unended", "broken"]:
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
    return "unended" if readable else "broken"
