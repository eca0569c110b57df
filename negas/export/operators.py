"""Operators that the exporter is told how to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from . import nms  # noqa: F401 - registers its operator


def translation() -> dict[Callable, Callable]:
    """For ``torch.onnx.export``: NMS, and a logarithm of the sigmoid that has no smallest value.

    Raises:
        ImportError: onnxscript is not installed.
    """
    from onnxscript import opset20 as op

    def nms_mask_onnx(boxes: Any, scores: Any, iou_thr: float, score_thr: float, limit: int) -> Any:
        chosen = op.NonMaxSuppression(
            boxes,
            scores,
            op.Constant(value_ints=[limit]),
            op.Constant(value_floats=[iou_thr]),
            op.Constant(value_floats=[score_thr]),
        )
        zeros = op.Mul(scores, op.Constant(value_float=0.0))
        count = op.Shape(chosen, start=0, end=1)
        ones = op.Expand(op.Constant(value_float=1.0), count)
        return op.ScatterND(zeros, chosen, ones)

    def log_sigmoid(self: Any) -> Any:
        # Not log(sigmoid(x)), which is infinite where the sigmoid rounds to 0; and Softplus has no
        # float64 in ONNX Runtime.
        one = op.CastLike(op.Constant(value_float=1.0), self)
        rest = op.Log(op.Add(one, op.Exp(op.Neg(op.Abs(self)))))
        return op.Neg(op.Add(op.Max(op.Neg(self), op.Sub(self, self)), rest))

    return {
        torch.ops.negas.nms_mask.default: nms_mask_onnx,
        torch.ops.aten.log_sigmoid.default: log_sigmoid,
    }
