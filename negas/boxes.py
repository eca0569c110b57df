"""Box geometry. Boxes are xyxy; torch tensors in give tensors, numpy arrays give arrays.

Continuous coordinates: a box's width is ``x2 - x1``, no pixel is added. A box whose corners are
swapped has no area. Shape letters: N boxes, M other boxes.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Boxes = TypeVar("Boxes", Tensor, np.ndarray)


def box_area(boxes: Boxes) -> Boxes:
    """Areas ``[N]`` of boxes ``[N, 4]``."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clip(0)
    return sides[..., 0] * sides[..., 1]


def box_intersection(boxes: Boxes, others: Boxes) -> Boxes:
    """Pairwise intersection areas ``[N, M]`` of ``[N, 4]`` and ``[M, 4]``."""
    _check(boxes, others)
    minimum, maximum = _extrema(boxes)
    top_left = maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = (bottom_right - top_left).clip(0)
    return sides[..., 0] * sides[..., 1]


def box_iou(boxes: Boxes, others: Boxes) -> Boxes:
    """Pairwise intersection over union ``[N, M]`` in [0, 1]; 0 where neither box has an area."""
    shared = box_intersection(boxes, others)
    union = box_area(boxes)[:, None] + box_area(others)[None, :] - shared
    return _ratio(shared, union)


def box_iof(boxes: Boxes, others: Boxes) -> Boxes:
    """Pairwise intersection over the area of the first box ``[N, M]`` in [0, 1]."""
    shared = box_intersection(boxes, others)
    return _ratio(shared, box_area(boxes)[:, None] + 0 * shared)


def boxes_in(boxes: Boxes, regions: Boxes) -> Boxes:
    """Whether each box lies wholly inside each region, borders included: bool ``[N, M]``."""
    _check(boxes, regions)
    starts = (boxes[:, None, :2] >= regions[None, :, :2]).all(-1)
    ends = (boxes[:, None, 2:] <= regions[None, :, 2:]).all(-1)
    return starts & ends


def centers_in(boxes: Boxes, regions: Boxes) -> Boxes:
    """Whether each box's centre lies in each region, borders included: bool ``[N, M]``."""
    _check(boxes, regions)
    centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    starts = (centers >= regions[None, :, :2]).all(-1)
    ends = (centers <= regions[None, :, 2:]).all(-1)
    return starts & ends


def _extrema(boxes: Boxes) -> tuple:
    if isinstance(boxes, Tensor):
        return torch.minimum, torch.maximum
    return np.minimum, np.maximum


def _ratio(part: Boxes, whole: Boxes) -> Boxes:
    where = torch.where if isinstance(part, Tensor) else np.where
    empty = whole <= 0
    return where(empty, 0 * part, part / where(empty, 1 + 0 * whole, whole))


def _check(boxes: Boxes, others: Boxes) -> None:
    for name, value in (("first", boxes), ("second", others)):
        if value.ndim != 2 or value.shape[-1] != 4:
            raise ValueError(
                f"the {name} boxes must have the shape [N, 4] (x1, y1, x2, y2), "
                f"got {tuple(value.shape)}."
            )
    if isinstance(boxes, Tensor) != isinstance(others, Tensor):
        raise ValueError("boxes must both be torch tensors or both be numpy arrays.")
