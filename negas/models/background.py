"""Background cells of a dense detector, from ground-truth boxes alone.

Shapes: B images, n boxes of an image, N cells over levels, then rows, then columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.registry import TASK_UTILS
from torch import Tensor

RULES = ("overlap", "center")


def background_mask(
    gt_bboxes: Sequence[Tensor],
    featmap_sizes: Sequence[tuple[int, int]],
    strides: Sequence[int],
    rule: str = "overlap",
) -> Tensor:
    """Mark the cells that see no object (NegAS, masked BCE).

    Args:
        gt_bboxes: per image [n, 4], xyxy in input pixels. Boxes without area mark nothing.
        featmap_sizes: (h_l, w_l) per level.
        strides: pixels per cell and level.
        rule: ``overlap``: a cell is foreground if its square overlaps a projected box with positive
            area (the conservative reading); ``center``: if its centre lies inside one.

    Returns:
        True = background, bool [B, N].

    Raises:
        ValueError: on an unknown rule, or numbers of sizes and strides that differ.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}, got {rule!r}")
    if len(featmap_sizes) != len(strides):
        raise ValueError(
            f"featmap_sizes has {len(featmap_sizes)} levels but strides has {len(strides)}"
        )
    masks = []
    for boxes in gt_bboxes:
        boxes = boxes.reshape(-1, 4).float()
        boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
        levels = []
        for (height, width), stride in zip(featmap_sizes, strides, strict=True):
            x1, y1, x2, y2 = (boxes / stride).unbind(1)
            columns = torch.arange(width, device=boxes.device)
            rows = torch.arange(height, device=boxes.device)
            if rule == "overlap":
                in_x = (columns < x2[:, None]) & (columns + 1 > x1[:, None])  # [n, w]
                in_y = (rows < y2[:, None]) & (rows + 1 > y1[:, None])  # [n, h]
            else:
                in_x = (columns + 0.5 >= x1[:, None]) & (columns + 0.5 <= x2[:, None])
                in_y = (rows + 0.5 >= y1[:, None]) & (rows + 0.5 <= y2[:, None])
            covered = (in_y[:, :, None] & in_x[:, None, :]).any(0)  # [h, w]
            levels.append(~covered.flatten())
        masks.append(torch.cat(levels))
    return torch.stack(masks)


@TASK_UTILS.register_module()
class BackgroundMask:
    """:func:`background_mask` as a task util.

    Args:
        rule: ``overlap`` or ``center``.
        enabled: ``False`` marks every cell as background (the paper's ablation without mask).
    """

    def __init__(self, rule: str = "overlap", enabled: bool = True) -> None:
        if rule not in RULES:
            raise ValueError(f"BackgroundMask: rule must be one of {RULES}, got {rule!r}")
        self.rule = rule
        self.enabled = enabled

    def __call__(
        self,
        gt_bboxes: Sequence[Tensor],
        featmap_sizes: Sequence[tuple[int, int]],
        strides: Sequence[int],
    ) -> Tensor:
        """See :func:`background_mask`."""
        mask = background_mask(gt_bboxes, featmap_sizes, strides, self.rule)
        return mask if self.enabled else torch.ones_like(mask)
