"""Results by the ids of somebody's COCO json."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from negas.coco_json import check_coco
from negas.files import read_json
from negas.metrics.coco import category_ids
from negas.text import listed, shown
from negas.unknown import UNKNOWN_LABEL

if TYPE_CHECKING:
    from pycocotools.coco import COCO

VERDICT = ("id_score", "known", "unknown_like", "unknown_like_score")  # beside COCO's keys


class CocoIds:
    """Ids of the images and categories of a COCO json.

    Args:
        data: its content; annotations are not looked at.
        where: what to call it in errors.

    Raises:
        ValueError: its images have no file names, or ids or names are not sound.
    """

    def __init__(self, data: dict, where: str) -> None:
        bare = {**data, "annotations": []} if isinstance(data, dict) else data
        self._data, self._where = check_coco(bare, where, files=True), where
        self._by_name: dict[str, list[tuple[tuple[str, ...], dict]]] = {}
        for image in self._data["images"]:
            parts = PurePath(os.path.normpath(image["file_name"])).parts
            self._by_name.setdefault(parts[-1], []).append((parts, image))

    @classmethod
    def of(cls, source: str | os.PathLike | dict | COCO) -> CocoIds:
        """Those of a path (which is read once), of a json's content or of a ``COCO`` object."""
        if isinstance(source, cls):
            return source
        if isinstance(source, str | os.PathLike):
            path = os.fspath(source)
            return _of_file(path, _stamp(path))
        return cls(getattr(source, "dataset", source), "the COCO json")

    def image(self, file_name: str, size: Sequence[int]) -> int | str:
        """Id of the image whose name is the end of a path; the longest one counts.

        Raises:
            ValueError: there is none, or it has another size.
        """
        parts = PurePath(os.path.abspath(file_name)).parts
        fits = [
            (len(tail), image)
            for tail, image in self._by_name.get(parts[-1], ())
            if parts[-len(tail) :] == tail
        ]
        if not fits:
            raise ValueError(
                f"{self._where} lists no image {file_name!r}; name the json of these images, or "
                "give image_id"
            )
        image = max(fits, key=lambda fit: fit[0])[1]
        told = (image.get("width"), image.get("height"))
        if None not in told and told != tuple(size):
            sizes = [" x ".join(map(str, one)) for one in (size, told)]
            raise ValueError(
                f"{self._where}: image {image['file_name']!r} has {sizes[1]} pixels there, the "
                f"picture {sizes[0]}, so boxes would not fit; name the json of these images"
            )
        return image["id"]

    def rows(
        self,
        results: Any,
        unknown_category_id: int | str | None,
        image_id: int | str | None,
    ) -> list[dict[str, Any]]:
        """See :meth:`~negas.predictions.Results.to_coco`."""
        if image_id is None and not results.is_file:
            raise ValueError(
                f"{results.file_name!r} is no file that {self._where} could list; give image_id"
            )
        if image_id is None:
            image_id = self.image(results.file_name, results.size)
        elif image_id not in {image["id"] for image in self._data["images"]}:
            raise ValueError(f"{self._where} lists no image with the id {shown(image_id)}")
        known = {category["id"] for category in self._data["categories"]}
        if unknown_category_id is not None and unknown_category_id not in known:
            raise ValueError(
                f"{self._where} has no category with the id {shown(unknown_category_id)}; its ids "
                f"are {listed(sorted(known, key=str), 8)}"
            )
        names = list(dict.fromkeys(results.names[results.labels >= 0].tolist()))
        ids = dict(zip(names, category_ids(self._data, names), strict=True))
        rows = []
        for label, row in zip(results.labels.tolist(), result_rows(results), strict=True):
            category = unknown_category_id if label == UNKNOWN_LABEL else ids[row["label"]]
            if category is not None:
                rows.append(dict(image_id=image_id, category_id=category) | row)
        return rows


@lru_cache(maxsize=2)
def _of_file(path: str, stamp: tuple[int, ...] | None) -> CocoIds:
    """Read for the first of many pictures; the stamp says when the file is another one."""
    return CocoIds(read_json(path), path)


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def result_rows(results: Any) -> list[dict[str, Any]]:
    """Box, score, label and verdict of every detection, as COCO writes them."""
    rows = []
    for one in results:
        left, top, right, bottom = one.box
        row = dict(label=one.name, bbox=[left, top, right - left, bottom - top])
        row["score"] = one.confidence
        rows.append(row | {key: getattr(one, key) for key in VERDICT})
    return rows
