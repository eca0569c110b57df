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


def box_iou(boxes: Boxes, others: Boxes) -> Boxes:
    """Pairwise intersection over union ``[N, M]`` in [0, 1]; 0 where neither box has an area."""
    _check(boxes, others)
    library = torch if isinstance(boxes, Tensor) else np
    top_left = library.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = library.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = (bottom_right - top_left).clip(0)
    shared = sides[..., 0] * sides[..., 1]
    union = box_area(boxes)[:, None] + box_area(others)[None, :] - shared
    empty = union <= 0
    return library.where(empty, 0 * shared, shared / library.where(empty, 1 + 0 * union, union))


def centers_in(boxes: Boxes, regions: Boxes) -> Boxes:
    """Whether each box's centre lies in each region, borders included: bool ``[N, M]``."""
    _check(boxes, regions)
    centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    starts = (centers >= regions[None, :, :2]).all(-1)
    ends = (centers <= regions[None, :, 2:]).all(-1)
    return starts & ends


def _check(boxes: Boxes, others: Boxes) -> None:
    for name, value in (("first", boxes), ("second", others)):
        if value.ndim != 2 or value.shape[-1] != 4:
            raise ValueError(
                f"the {name} boxes must have the shape [N, 4] (x1, y1, x2, y2), "
                f"got {tuple(value.shape)}."
            )
    if isinstance(boxes, Tensor) != isinstance(others, Tensor):
        raise ValueError("boxes must both be torch tensors or both be numpy arrays.")
