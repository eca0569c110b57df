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
    """Areas ``[..., N]`` of boxes ``[..., N, 4]``."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clip(0)
    return sides[..., 0] * sides[..., 1]


def box_iou(boxes: Boxes, others: Boxes) -> Boxes:
    """Pairwise intersection over union in [0, 1]; 0 where neither box has an area.

    Args:
        boxes: ``[N, 4]``, or ``[B, N, 4]`` of a batch.
        others: ``[M, 4]``, or ``[B, M, 4]``.

    Returns:
        ``[N, M]``, or ``[B, N, M]``.
    """
    _check(boxes, others, 3)
    library = torch if isinstance(boxes, Tensor) else np
    boxes, others = boxes[..., :, None, :], others[..., None, :, :]
    top_left = library.maximum(boxes[..., :2], others[..., :2])
    bottom_right = library.minimum(boxes[..., 2:], others[..., 2:])
    sides = (bottom_right - top_left).clip(0)
    shared = sides[..., 0] * sides[..., 1]
    union = box_area(boxes) + box_area(others) - shared
    empty = union <= 0
    return library.where(empty, 0 * shared, shared / library.where(empty, 1 + 0 * union, union))


def centers_in(boxes: Boxes, regions: Boxes) -> Boxes:
    """Whether each box's centre lies in each region, borders included: bool ``[N, M]``."""
    _check(boxes, regions)
    centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    starts = (centers >= regions[None, :, :2]).all(-1)
    ends = (centers <= regions[None, :, 2:]).all(-1)
    return starts & ends


def _check(boxes: Boxes, others: Boxes, most: int = 2) -> None:
    for name, value in (("first", boxes), ("second", others)):
        if not 2 <= value.ndim <= most or value.shape[-1] != 4:
            raise ValueError(
                f"the {name} boxes must have the shape [N, 4] (x1, y1, x2, y2), "
                f"got {tuple(value.shape)}."
            )
    if isinstance(boxes, Tensor) != isinstance(others, Tensor):
        raise ValueError("boxes must both be torch tensors or both be numpy arrays.")
