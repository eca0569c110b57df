"""Non-maximum suppression as one operator, which becomes ONNX' ``NonMaxSuppression``.

Shapes: B images, C groups of boxes that suppress each other, N boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def just_below(value: float) -> float:
    """The next smaller float32: who has at least the value is over it."""
    return torch.nextafter(torch.tensor(value, dtype=torch.float32), torch.tensor(-1.0)).item()


@torch.library.custom_op("negas::nms_mask", mutates_args=())
def nms_mask(boxes: Tensor, scores: Tensor, iou_thr: float, score_thr: float, limit: int) -> Tensor:
    """Which boxes stay, 1.0 or 0.0, [B, C, N].

    A mask, not a list of indices: its shape is known before the boxes are.

    Args:
        boxes: xyxy [B, N, 4], shared by the groups.
        scores: [B, C, N].
        iou_thr: a box goes if its IoU with a kept one of a larger score is larger than this.
        score_thr: a box of a score up to this goes.
        limit: boxes that stay in a group.
    """
    from mmcv.ops import nms

    mask = torch.zeros_like(scores)
    for image, group in torch.cartesian_prod(*map(torch.arange, scores.shape[:2])).tolist():
        chosen = (scores[image, group] > score_thr).nonzero()[:, 0]
        if len(chosen):
            _, kept = nms(boxes[image, chosen], scores[image, group, chosen], iou_thr)
            mask[image, group, chosen[kept[:limit]]] = 1
    return mask


@nms_mask.register_fake
def _(boxes: Tensor, scores: Tensor, iou_thr: float, score_thr: float, limit: int) -> Tensor:
    return torch.empty_like(scores)
