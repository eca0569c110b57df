"""What a sound COCO json is: the one place that refuses what is not.

Strict where training, tests and metrics would else count wrongly or fail much later; fields that
nobody reads may hold anything.
"""

from __future__ import annotations

import posixpath
from collections.abc import Hashable, Sequence
from numbers import Integral, Real

import numpy as np

from negas.text import listed, shown

LISTS = ("images", "annotations", "categories")
UNLABELLED = "unlabelled"  # objects of no category, a list beside these that COCO's readers skip
_IDS = (int, str, Integral)  # the abstract ones, slow to ask, are those of numpy
_NUMBERS = (float, int, Real)
_LARGEST = 2**63 - 1  # of ids and of numbers in general
_CROWD = (None, 0, 1)
_MANY = 0.25  # share of boxes over the edge from which on their form is doubted
_SOME = 4  # boxes over the edge; below, chance or a hidden part of an object may be the reason


def check_coco(
    data: object,
    where: str,
    ids: bool = True,
    files: bool = False,
    sizes: bool = False,
    numbers: Sequence[str] = (),
) -> dict:
    """Refuse a COCO dict that is not sound, at its first fault.

    Ids and names stand there once, the ids of a list are of one kind, annotations belong to an
    image and a category that are listed, and boxes are ``[x, y, width, height]`` in pixels, finite
    and of no negative size. ``area`` and ``iscrowd`` may be missing or null, see
    :func:`completed`.

    Args:
        data: content of the json.
        where: what to call it in errors.
        ids: whether annotations need ids.
        files: whether images need a ``file_name``; one that is there is checked in any case.
        sizes: whether images need ``width`` and ``height``.
        numbers: fields that annotations need, as MMDetection reads them: ``area``, ``iscrowd``.

    Returns:
        ``data``.

    Raises:
        ValueError: naming the place and the fault.
    """
    check_images(data, where, files, sizes)
    _check_list(data, where, "annotations", ids)
    _check_list(data, where, "categories")
    _check_names(data["categories"], where)
    images = {image["id"] for image in data["images"]}
    categories = {category["id"] for category in data["categories"]}
    for index, ann in enumerate(data["annotations"]):
        fault = _fault_of(ann, images, categories, numbers)
        if fault:
            raise ValueError(f"{where}: annotation {shown(ann.get('id', index))} {fault}")
    _check_form(data, where)
    return data


def check_images(data: object, where: str, files: bool = False, sizes: bool = False) -> list[dict]:
    """The part of :func:`check_coco` for those who read the list of images alone.

    Returns:
        The list.

    Raises:
        ValueError: naming the place and the fault.
    """
    _check_list(data, where, "images")
    _check_images(data["images"], where, files, sizes)
    return data["images"]


def unlabelled_objects(data: dict, where: str) -> list[dict]:
    """Objects that are there and of no category, so that no reader of COCO meets them.

    Args:
        data: a sound COCO dict.
        where: what to call it in errors.

    Returns:
        Its list ``unlabelled``: each has ``image_id`` and ``bbox``, perhaps a ``name``; empty
        without the list.

    Raises:
        ValueError: it is no such list.
    """
    things = data.get(UNLABELLED, [])
    if not isinstance(things, list) or not all(isinstance(thing, dict) for thing in things):
        raise ValueError(
            f"{where}: {UNLABELLED!r} must be a list of objects with image_id and bbox, got "
            f"{shown(things)}"
        )
    images = {image["id"] for image in data["images"]}
    for index, thing in enumerate(things):
        if fault := _fault_of(thing | dict(category_id=0), images, {0}, ()):
            raise ValueError(f"{where}: entry {index} of {UNLABELLED!r} {fault}")
    return things


def completed(ann: dict) -> dict:
    """A sound annotation with ``area`` and ``iscrowd``, which many tools leave out or null."""
    usual = dict(area=round(float(ann["bbox"][2] * ann["bbox"][3]), 4), iscrowd=0)
    return {**ann, **{key: value for key, value in usual.items() if ann.get(key) is None}}


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
            f"missing; it has {listed(sorted(number), 8)}); rename them there, or name the "
            "classes as the json does (metainfo.classes, --classes)"
        )
    wanted = {number[name] for name in classes}
    if not any(ann["category_id"] in wanted for ann in data["annotations"]):
        raise ValueError(f"{where} has no annotation of its classes; an ID set needs its objects")
    return [name for name in number if name not in classes]


def _check_list(data: object, where: str, key: str, ids: bool = True) -> None:
    rows = data.get(key) if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        advice = "; it may be empty in an OOD set" if key == "annotations" else ""
        raise ValueError(f"{where} has no list {key!r} of objects; expected a COCO json{advice}")
    if ids:
        _check_ids(rows, where, key)


def _check_ids(rows: list[dict], where: str, key: str) -> None:
    seen: set[Hashable] = set()
    for row in rows:
        id_ = row.get("id")
        if not _is_id(id_):
            raise ValueError(
                f"{where}: an entry of {key!r} has the id {shown(id_)}; expected a whole number "
                "of at most 63 bits or a text"
            )
        if id_ in seen:
            raise ValueError(
                f"{where}: two entries of {key!r} have the id {shown(id_)}; give each its own"
            )
        if isinstance(id_, str) != isinstance(rows[0]["id"], str):
            raise ValueError(
                f"{where}: the ids of {key!r} are numbers and texts ({shown(rows[0]['id'])}, "
                f"{shown(id_)}); write all of them as one kind"
            )
        seen.add(id_)


def _check_names(categories: list[dict], where: str) -> None:
    seen: set[str] = set()
    for category in categories:
        name = category.get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"{where}: category {shown(category['id'])} has the name {shown(name)}; expected "
                "a text"
            )
        if name in seen:
            raise ValueError(
                f"{where}: two categories are named {shown(name)}; join or rename them"
            )
        seen.add(name)


def _check_images(images: list[dict], where: str, files: bool, sizes: bool) -> None:
    listed: dict[str, object] = {}
    for image in images:
        for side in ("width", "height"):
            size = image.get(side)
            if (sizes or size is not None) and not (_is_number(size) and size > 0):
                raise ValueError(
                    f"{where}: image {shown(image['id'])} has the {side} {shown(size)}; expected "
                    "its size in pixels"
                )
        if "file_name" not in image and not files:  # some sets name urls
            continue
        name = image.get("file_name")
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"{where}: image {shown(image['id'])} has the file_name {shown(name)}; expected "
                "a path"
            )
        place = posixpath.normpath(name)
        if place in listed:
            raise ValueError(
                f"{where}: the file {name!r} is listed twice, as image {listed[place]!r} and "
                f"{image['id']!r}, so its objects would count twice or be missed; keep one"
            )
        listed[place] = image["id"]


def _fault_of(ann: dict, images: set, categories: set, numbers: Sequence[str]) -> str:
    """What is wrong with an annotation; empty if nothing is."""
    image, category, box = (ann.get(key) for key in ("image_id", "category_id", "bbox"))
    if not _is_id(image) or image not in images:
        return f"belongs to image {shown(image)}, which is not listed"
    if not _is_id(category) or category not in categories:
        ids = listed(sorted(categories, key=str), 8)
        return f"has the unknown category_id {shown(category)}; the categories have ids {ids}"
    boxed = isinstance(box, list | tuple | np.ndarray) and len(box) == 4
    if not boxed or not all(map(_is_number, box)):
        return f"has no finite bbox [x, y, width, height], but {shown(box)}; correct or remove it"
    if box[2] < 0 or box[3] < 0:
        return (
            f"has the bbox {shown(box)} of negative size; expected [x, y, width, height] (are "
            "these two corners?)"
        )
    area, crowd = ann.get("area"), ann.get("iscrowd")
    if not (area is None or (_is_number(area) and area >= 0)):
        return f"has area={shown(area)}, expected a number of square pixels"
    if isinstance(crowd, str | list | dict) or crowd not in _CROWD:
        return f"has iscrowd={shown(crowd)}, expected 0 or 1"
    for field in numbers:
        if ann.get(field) is None:
            return (
                f"has {field}=None, expected a number; MMDetection reads it (write the boxes' area "
                "and iscrowd=0, or let `negas prepare custom` do it)"
            )
    return ""


def _check_form(data: dict, where: str) -> None:
    """Refuse boxes that are shares of the image, two corners, or of another scale."""
    sizes = {image["id"]: (image.get("width"), image.get("height")) for image in data["images"]}
    count = over = 0
    shares = corners = True
    for ann in data["annotations"]:
        (x, y, w, h), (width, height) = ann["bbox"], sizes[ann["image_id"]]
        if width is None or height is None:
            return
        count += 1
        shares = shares and max(x, y, w, h) <= 1 < min(width, height)
        corners = corners and x < w <= width + 1 and y < h <= height + 1
        over += x + w > 1.05 * width or y + h > 1.05 * height
    if count and shares:
        raise ValueError(
            f"{where}: no number of any bbox is above 1, so the boxes are shares of the image; "
            "expected [x, y, width, height] in pixels"
        )
    if count and corners and over >= _MANY * count:
        raise ValueError(
            f"{where}: {over} of {count} boxes reach beyond their image, and all of them can be "
            "read as two corners; expected [x, y, width, height]"
        )
    if over >= _SOME and 2 * over > count:
        raise ValueError(
            f"{where}: {over} of {count} boxes reach beyond their image; expected pixels of images "
            "that have the width and height of the json"
        )


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, _IDS) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_number(value: object) -> bool:
    """Neither NaN nor infinite, and of a size that can be squared."""
    return isinstance(value, _NUMBERS) and not isinstance(value, bool) and abs(value) <= _LARGEST
