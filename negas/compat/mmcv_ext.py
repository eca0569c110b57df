"""A stand-in for mmcv's compiled extension, used only where the real one cannot be imported.

``mmcv.ops`` asks ``mmcv._ext`` for some hundred names when it is imported. The stand-in answers
every one, computes the few that detectors of this project call, and refuses the others clearly.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from functools import cache
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from .extras import how_to_install
from .startup import EXTENSION as NAME


@cache
def _torchvision_nms() -> Callable | None:
    """``torchvision.ops.nms`` where a torchvision is installed that fits this torch."""
    try:
        found = importlib.import_module("torchvision.ops").nms
        # overlap of a half, exactly at the threshold: kept
        boxes = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1], [0, 0, 2, 1]])
        if found(boxes, torch.tensor([0.5, 0.9, 0.4]), 0.5).tolist() == [1, 0]:
            return found
    except Exception:  # a broken one raises whatever it likes
        pass
    return None


def nms(bboxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Greedy non-maximum suppression, the same decisions as mmcv's compiled op.

    By torchvision where there is one that works: it keeps boxes on their device. Else by NumPy.

    Args:
        bboxes: [N, 4] as x1, y1, x2, y2 in pixels, on any device.
        scores: [N].
        iou_threshold: a box goes if its IoU with a kept, higher-scored box is larger than this.
        offset: 0, or 1 to count x2 and y2 as inside the box.

    Returns:
        int64 indices [n] of the kept boxes by descending score (ties by index), on the device of
        ``bboxes``.
    """
    if bboxes.numel() == 0:
        return bboxes.new_zeros((0,), dtype=torch.long)
    threshold = np.float32(iou_threshold)
    if offset == 0 and (fast := _torchvision_nms()):
        # in float32, threshold included: boxes at the threshold are decided as below
        return fast(bboxes.detach().float(), scores.detach().float(), float(threshold))
    order = torch.sort(scores.detach(), descending=True, stable=True).indices.cpu()
    # The compiled op calculates in float32: doing the same decides boxes at the threshold alike.
    boxes = bboxes.detach().cpu().float()[order].numpy()
    one = np.float32(offset)
    areas = (boxes[:, 2] - boxes[:, 0] + one) * (boxes[:, 3] - boxes[:, 1] + one)
    columns = np.stack([*boxes.T, areas])
    alive = np.ones(len(boxes), dtype=bool)
    # few boxes are compared all at once: NumPy's calls would take longer than the numbers
    few = len(boxes) <= _FEW
    with np.errstate(divide="ignore", invalid="ignore"):
        ious = _ious(columns[..., None], columns[:, None], one) if few else None
        for i in range(len(boxes)):
            if alive[i]:
                rest = slice(i + 1, None)
                row = ious[i, rest] if few else _ious(columns[:, i], columns[:, rest], one)
                alive[rest] &= ~(row > threshold)
    return order[torch.from_numpy(alive)].to(bboxes.device)


_FEW = 512


def _ious(first: np.ndarray, second: np.ndarray, one: np.float32) -> np.ndarray:
    """IoU of x1, y1, x2, y2, area; of two empty boxes NaN (0 / 0), which no threshold is below."""
    width = np.minimum(first[2], second[2]) - np.maximum(first[0], second[0]) + one
    height = np.minimum(first[3], second[3]) - np.maximum(first[1], second[1]) + one
    overlap = np.maximum(width, 0, out=width) * np.maximum(height, 0, out=height)
    return overlap / (first[4] + second[4] - overlap)


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int = 64,
) -> Tensor:
    """Multi-scale deformable attention by mmcv's own PyTorch form; mmcv calls this on CUDA."""
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(
        value, spatial_shapes, sampling_locations, attention_weights
    )


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int = 64,
) -> None:
    """Gradients of :func:`ms_deform_attn_forward`, written into the three ``grad_`` tensors."""
    inputs = [t.detach().requires_grad_() for t in (value, sampling_locations, attention_weights)]
    with torch.enable_grad():
        output = ms_deform_attn_forward(
            inputs[0], spatial_shapes, level_start_index, inputs[1], inputs[2]
        )
    gradients = torch.autograd.grad(output, inputs, grad_output)
    targets = (grad_value, grad_sampling_loc, grad_attn_weight)
    for target, gradient in zip(targets, gradients, strict=True):
        target.copy_(gradient)


def _refuse(op: str) -> Callable:
    def missing_op(*args: object, **kwargs: object) -> None:
        raise RuntimeError(
            f"mmcv op {op!r} needs compiled mmcv, which this environment lacks (negas stands in "
            f"for {', '.join(_OPS)} only); install a full mmcv built for torch "
            f"{torch.__version__} as docs/install.md says, or use a model without this op"
        )

    missing_op.__name__ = op
    return missing_op


_OPS = {
    "nms": nms,
    "ms_deform_attn_forward": ms_deform_attn_forward,
    "ms_deform_attn_backward": ms_deform_attn_backward,
}


class StandIn(ModuleType):
    """Answers every name but dunder ones, as ``mmcv.ops`` expects of its extension."""

    def __init__(self) -> None:
        super().__init__(NAME, "negas' stand-in for mmcv's compiled extension.")
        # Without a loader mmcv's own check_ops_exist() says truthfully that no ops exist.
        self.__spec__ = ModuleSpec(NAME, loader=None, origin="negas.compat.mmcv_ext")

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("__"):
            raise AttributeError(f"module {NAME!r} has no attribute {name!r}")
        op = _OPS[name] if name in _OPS else _refuse(name)
        setattr(self, name, op)
        return op


def is_stand_in() -> bool:
    """Whether ``mmcv._ext`` is this stand-in now."""
    return isinstance(sys.modules.get(NAME), StandIn)


def install() -> bool:
    """Put the stand-in into ``sys.modules`` unless the real extension can be imported.

    Returns:
        True if the stand-in is in use.

    Raises:
        ImportError: mmcv is missing or cannot be imported itself.
    """
    if is_stand_in():
        return True
    try:
        mmcv = importlib.import_module("mmcv")
    except ModuleNotFoundError as error:
        if error.name not in ("mmcv", "mmengine"):
            raise
        raise ImportError(
            f"{error.name} is not installed: run `{how_to_install('lite')}` (no compiler needed), "
            f"or install a full mmcv and `{how_to_install('mm')}`"
        ) from error
    except ImportError as error:
        raise ImportError(
            f"mmcv is installed but cannot be imported ({error}); `negas doctor` names the fix"
        ) from error
    try:
        importlib.import_module(NAME)
        return is_stand_in()
    except ModuleNotFoundError as error:
        if error.name != NAME:
            _warn_broken(error)
    except (ImportError, OSError) as error:  # built for another torch, or a library is missing
        _warn_broken(error)
    sys.modules[NAME] = mmcv._ext = StandIn()
    return True


def _warn_broken(error: Exception) -> None:
    warnings.warn(
        f"mmcv's compiled extension does not fit this environment ({str(error)[:160]}), so negas "
        f"stands in for it; rebuild mmcv for torch {torch.__version__} to have its ops",
        RuntimeWarning,
        stacklevel=4,
    )
