"""Background queries of a transformer detector.

Shapes: Q queries, n ground-truth boxes.
"""

from __future__ import annotations

import torch
from mmengine.registry import TASK_UTILS
from torch import Tensor

from negas.boxes import box_iou, centers_in

BOXES = ("decoder", "reference")
RULES = ("center", "unmatched")


def query_background(boxes: Tensor, gt_bboxes: Tensor, iou_thr: float = 0.3) -> Tensor:
    """Mark the queries that see no object: the query form of NegAS's cell mask.

    A query is foreground if the centre of its box lies inside a ground-truth box, or if its IoU
    with one is at least ``iou_thr``. Centres alone already catch every IoU and IoF over 0.5; the
    IoU rule adds boxes that straddle an object's edge.

    Args:
        boxes: [Q, 4], xyxy.
        gt_bboxes: [n, 4], xyxy in the same frame.
        iou_thr: 0.5 or more switches the IoU rule off.

    Returns:
        True = background, bool [Q]; all of them without ground truth.
    """
    if not len(gt_bboxes):
        return torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    near = centers_in(boxes, gt_bboxes) | (box_iou(boxes, gt_bboxes) >= iou_thr)
    return ~near.any(1)


@TASK_UTILS.register_module()
class QueryBackground:
    """:func:`query_background` as a task util, with the other readings of "background".

    Args:
        rule: ``center`` (with ``iou_thr``); or ``unmatched``: whatever the head's Hungarian
            assigner leaves over, near-duplicates on objects included.
        iou_thr: see :func:`query_background`.
        boxes: ``decoder``: a query's own last box; ``reference``: the proposal it started from.
        enabled: ``False`` marks every query as background (the paper's ablation without mask).

    Raises:
        ValueError: on an unknown rule or source of boxes.
    """

    def __init__(
        self,
        rule: str = "center",
        iou_thr: float = 0.3,
        boxes: str = "decoder",
        enabled: bool = True,
    ) -> None:
        for key, value, known in (("rule", rule, RULES), ("boxes", boxes, BOXES)):
            if value not in known:
                raise ValueError(f"QueryBackground: {key} must be one of {known}, got {value!r}")
        if rule == "unmatched" and not enabled:
            raise ValueError("QueryBackground: enabled=False knows no rule; leave rule out")
        self.rule = rule
        self.iou_thr = iou_thr
        self.boxes = boxes
        self.enabled = enabled

    def __call__(self, boxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        """:func:`query_background` of one image.

        Raises:
            ValueError: by the rule ``unmatched``, which takes the detector's assigner.
        """
        if not self.enabled:
            return torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
        if self.rule == "unmatched":
            raise ValueError("the rule 'unmatched' takes a detector's assigner, not boxes alone")
        return query_background(boxes, gt_bboxes, self.iou_thr)
