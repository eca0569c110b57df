"""Which boxes lie on which annotated objects: the one matcher of all metrics.

Boxes are xyxy. Shape letters: N boxes of an image, by descending confidence; M objects of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from negas.boxes import box_iou

LEFT_OUT = ("difficult", "iscrowd", "ignore")  # flags of objects that neither help nor harm


@dataclass(frozen=True, eq=False)
class Matches:
    """What the N boxes of an image lie on.

    Attributes:
        objects: int ``[N]``, the object that each box lies on, -1 for none.
        hits: bool ``[N]``, whether the box is the first on its object and the object counts.
    """

    objects: np.ndarray
    hits: np.ndarray


def match(
    boxes: np.ndarray,
    objects: np.ndarray,
    iou: float = 0.5,
    labels: np.ndarray | None = None,
    object_labels: np.ndarray | None = None,
    ignored: np.ndarray | None = None,
    next_best: bool = False,
) -> Matches:
    """Match boxes greedily with the objects that they overlap most; each object is found once.

    Args:
        boxes: ``[N, 4]``, by descending confidence.
        objects: ``[M, 4]``.
        iou: the overlap to exceed.
        labels: ``[N]``; with ``object_labels`` ``[M]`` only an object of the same label matches.
        object_labels: see ``labels``.
        ignored: bool ``[M]``, objects that boxes may lie on without a hit.
        next_best: whether a box whose object is taken goes to the best one that is free.
    """
    found, hits = np.full(len(boxes), -1), np.zeros(len(boxes), dtype=bool)
    if not len(boxes) or not len(objects):
        return Matches(found, hits)
    overlap = box_iou(boxes.astype(np.float64), objects)
    if labels is not None and object_labels is not None:
        overlap[labels[:, None] != object_labels[None]] = 0
    if next_best:
        for row in range(len(boxes)):
            best = int(overlap[row].argmax())
            if overlap[row, best] > iou:
                found[row] = best
                overlap[:, best] = 0
    else:
        best = overlap.argmax(axis=1)
        over = overlap[np.arange(len(boxes)), best] > iou
        found[over] = best[over]
    on = np.flatnonzero(found >= 0)
    _, first = np.unique(found[on], return_index=True)
    hits[on[first]] = True
    if ignored is not None:
        hits &= ~ignored[found]
    return Matches(found, hits)


def rows_by_image(image_ids: np.ndarray, rows: np.ndarray) -> dict[Any, np.ndarray]:
    """The rows of each image, in the order given; ``image_ids`` is that of all rows."""
    if not len(rows):
        return {}
    images, place = np.unique(image_ids[rows], return_inverse=True)
    by_image = rows[np.argsort(place, kind="stable")]
    ends = np.cumsum(np.bincount(place, minlength=len(images)))
    return dict(zip(images.tolist(), np.split(by_image, ends[:-1]), strict=True))


def left_out(thing: dict) -> bool:
    """Whether an annotation is marked as one that neither helps nor harms."""
    return any(thing.get(flag) for flag in LEFT_OUT)


def corners(things: Sequence[dict]) -> np.ndarray:
    """Xyxy boxes ``[M, 4]`` of annotations or COCO results."""
    boxes = np.array([thing["bbox"] for thing in things], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
