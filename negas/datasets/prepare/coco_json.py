"""COCO json: a reader that says where to get the file, and a streaming writer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from negas.coco_json import LISTS, check_coco
from negas.files import read_json

from .files import CUT_SHORT, need_file, write_if_different


def read_coco(path: str | Path, what: str, source: str) -> dict:
    """A COCO dict whose ids fit together and whose boxes are finite.

    Args:
        path: the json.
        what: what it is, for the error if it is missing.
        source: where to get it, for the same error.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, or not sound; see :func:`negas.coco_json.check_coco`.
    """
    file = need_file(path, what, source)
    return check_coco(read_json(file, CUT_SHORT), str(file), files=True)


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
        for key, rows in zip(LISTS, (images, annotations, categories), strict=True):
            yield f',\n"{key}": ['
            for i, row in enumerate(rows):
                try:
                    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
                except ValueError as error:
                    raise ValueError(
                        f"{str(path)!r}: the entry {row.get('id')!r} of {key!r} "
                        "holds NaN or infinity, which JSON does not know; correct the source."
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
