"""COCO json: a strict reader and a streaming writer."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from .files import need_file, read_json, write_if_different

_LISTS = ("images", "annotations", "categories")


def read_coco(path: str | Path, what: str, source: str) -> dict:
    """A COCO dict whose ids fit together and whose boxes are finite.

    Args:
        path: the json.
        what: what it is, for the error if it is missing.
        source: where to get it, for the same error.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no sound COCO json.
    """
    where = str(need_file(path, what, source))
    data = read_json(Path(path))
    for key in _LISTS:
        rows = data.get(key) if isinstance(data, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f"{where}: has no list {key!r} of objects; expected a COCO json.")
    for key, fields in (("images", ("id", "file_name")), ("categories", ("id", "name"))):
        for field in fields:
            _check_unique(data[key], field, f"{where}: {key}")
    names = {category["id"] for category in data["categories"]}
    images = {image["id"] for image in data["images"]}
    _check_unique(data["annotations"], "id", f"{where}: annotations")
    for annotation in data["annotations"]:
        label = f"{where}: annotation {annotation['id']}"
        if not _is_known(annotation.get("image_id"), images):
            raise ValueError(
                f"{label} belongs to image {annotation.get('image_id')!r}, which is not listed."
            )
        if not _is_known(annotation.get("category_id"), names):
            raise ValueError(
                f"{label} has category_id {annotation.get('category_id')!r}, which no category has."
            )
        if not _is_box(annotation.get("bbox")):
            raise ValueError(
                f"{label} has bbox {annotation.get('bbox')!r}; expected [x, y, width, height], "
                "finite, with width and height of at least 0; fix or remove it."
            )
    return data


def _check_unique(rows: list[dict], field: str, where: str) -> None:
    kinds = (str,) if field in ("name", "file_name") else (int, str)
    seen: set[int | str] = set()
    for row in rows:
        value = row.get(field)
        if not isinstance(value, kinds) or isinstance(value, bool) or value == "":
            raise ValueError(f"{where}: an entry has {field}={value!r}; every entry needs one.")
        if value in seen:
            raise ValueError(f"{where}: {field}={value!r} stands there twice; remove one.")
        seen.add(value)


def _is_known(id_: object, known: set) -> bool:
    return isinstance(id_, int | str) and id_ in known


def _is_box(box: object) -> bool:
    if not isinstance(box, list) or len(box) != 4:
        return False
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in box)
    return numbers and all(math.isfinite(v) for v in box) and box[2] >= 0 and box[3] >= 0


def write_coco(
    path: Path,
    info: dict,
    images: Iterable[dict],
    annotations: Iterable[dict],
    categories: Iterable[dict],
    overwrite: bool = False,
) -> bool:
    """Write a COCO json, one record per line; nothing is held in memory.

    Args:
        path: the file.
        info: how the set was made; no dates, so that the same input gives the same bytes.
        images: records in their order.
        annotations: the same.
        categories: the same.
        overwrite: replace a file of other content.

    Returns:
        Whether the file was written; False if it held the same bytes.

    Raises:
        ValueError: there is another file and ``overwrite`` is off.
    """

    def lines() -> Iterator[str]:
        yield f'{{"info": {json.dumps(info)}'
        for key, rows in zip(_LISTS, (images, annotations, categories), strict=True):
            yield f',\n"{key}": ['
            for i, row in enumerate(rows):
                try:
                    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
                except ValueError as error:
                    raise ValueError(
                        f"{str(path)!r} cannot be written: the entry {row.get('id')!r} of {key!r} "
                        "holds NaN or infinity, which JSON does not know; fix the source."
                    ) from error
                yield f"{',' if i else ''}\n{text}"
            yield "]"
        yield "}\n"

    return write_if_different(path, lines(), overwrite)


def make_annotation(id_: int, image_id: int | str, category_id: int, box: list, **more) -> dict:
    """One annotation record; ``box`` is [x, y, width, height] in pixels."""
    area = round(box[2] * box[3], 4)
    record = dict(id=id_, image_id=image_id, category_id=category_id, bbox=box, area=area)
    return record | dict(iscrowd=0) | more


def make_categories(names: Iterable[str]) -> list[dict]:
    """Category records with ids 1..K."""
    return [dict(id=i, name=name) for i, name in enumerate(names, 1)]
