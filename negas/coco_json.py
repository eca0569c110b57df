"""What a sound COCO json is: the one place that refuses what is not.

Strict where training, tests and metrics would else count wrongly or fail much later; fields that
nobody here reads may hold anything.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from numbers import Integral, Real

import numpy as np

LISTS = ("images", "annotations", "categories")
_IDS = (int, str, Integral)  # the abstract ones, slow to ask, are those of numpy
_NUMBERS = (float, int, Real)


def check_coco(
    data: object,
    where: str,
    ids: bool = True,
    files: bool = False,
    sizes: bool = False,
    numbers: Sequence[str] = (),
) -> dict:
    """Refuse a COCO dict that is not sound, at its first fault.

    Ids and names stand there once, annotations belong to an image and a category that are listed,
    and boxes are ``[x, y, width, height]``, finite and of no negative size.

    Args:
        data: content of the json.
        where: what to call it in errors.
        ids: whether annotations need ids.
        files: whether images need a ``file_name``; one that is there is checked in any case.
        sizes: whether images need ``width`` and ``height``.
        numbers: further fields that annotations need: ``area``, ``iscrowd``.

    Returns:
        ``data``.

    Raises:
        ValueError: naming the place and the fault.
    """
    for key in LISTS:
        rows = data.get(key) if isinstance(data, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f"{where} has no list {key!r} of objects; expected a COCO json")
        if ids or key != "annotations":
            _check_ids(rows, where, key)
    _check_names(data["categories"], where)
    _check_images(data["images"], where, files, sizes)
    images = {image["id"] for image in data["images"]}
    categories = {category["id"] for category in data["categories"]}
    for index, ann in enumerate(data["annotations"]):
        fault = _fault_of(ann, images, categories, numbers)
        if fault:
            raise ValueError(f"{where}: annotation {ann.get('id', index)!r} {fault}")
    return data


def check_classes(data: dict, where: str, classes: Sequence[str]) -> list[str]:
    """Refuse a sound COCO dict that cannot be the ID set of these classes.

    Returns:
        Names of its categories that are no class.

    Raises:
        ValueError: a class is no category, or no object of them is annotated.
    """
    number = {category["name"]: category["id"] for category in data["categories"]}
    lost = [name for name in classes if name not in number]
    if lost:
        raise ValueError(
            f"{where} has no category {lost[0]!r} ({len(lost)} of {len(classes)} classes are "
            f"missing; it has {sorted(number)[:8]}...); rename the categories or set "
            "metainfo.classes to the json's names"
        )
    wanted = {number[name] for name in classes}
    if not any(ann["category_id"] in wanted for ann in data["annotations"]):
        raise ValueError(f"{where} has no annotation of its classes; an ID set needs its objects")
    return [name for name in number if name not in classes]


def _check_ids(rows: list[dict], where: str, key: str) -> None:
    seen: set[Hashable] = set()
    for row in rows:
        id_ = row.get("id")
        if not _is_id(id_):
            raise ValueError(
                f"{where}: an entry of {key!r} has the id {id_!r}; expected a number or a text"
            )
        if id_ in seen:
            raise ValueError(
                f"{where}: two entries of {key!r} have the id {id_!r}; give each its own"
            )
        seen.add(id_)


def _check_names(categories: list[dict], where: str) -> None:
    seen: set[str] = set()
    for category in categories:
        name = category.get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"{where}: category {category['id']!r} has the name {name!r}; expected a text"
            )
        if name in seen:
            raise ValueError(f"{where}: two categories are named {name!r}; join or rename them")
        seen.add(name)


def _check_images(images: list[dict], where: str, files: bool, sizes: bool) -> None:
    listed: dict[str, object] = {}
    for image in images:
        for side in ("width", "height") if sizes else ():
            if not _is_number(image.get(side)) or image[side] <= 0:
                raise ValueError(
                    f"{where}: image {image['id']!r} has the {side} {image.get(side)!r}; expected "
                    "its size in pixels"
                )
        if "file_name" not in image and not files:  # some sets name urls
            continue
        name = image.get("file_name")
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


def _fault_of(ann: dict, images: set, categories: set, numbers: Sequence[str]) -> str:
    """What is wrong with an annotation; empty if nothing is."""
    image, category, box = (ann.get(key) for key in ("image_id", "category_id", "bbox"))
    if not _is_id(image) or image not in images:
        return f"belongs to image {image!r}, which is not listed"
    if not _is_id(category) or category not in categories:
        listed = sorted(categories, key=str)[:8]
        return f"has the unknown category_id {category!r}; the categories have ids {listed}..."
    boxed = isinstance(box, list | tuple | np.ndarray) and len(box) == 4
    if not boxed or not all(map(_is_number, box)):
        return f"has no finite bbox [x, y, width, height], but {box!r}; correct or remove it"
    if box[2] < 0 or box[3] < 0:
        return (
            f"has the bbox {box!r} of negative size; expected [x, y, width, height] (are these two "
            "corners?)"
        )
    for field in numbers:
        if not _is_number(ann.get(field)):
            return f"has {field}={ann.get(field)!r}, expected a number; MMDetection reads it"
    return ""


def _is_id(value: object) -> bool:
    return isinstance(value, _IDS) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool) and math.isfinite(value)
