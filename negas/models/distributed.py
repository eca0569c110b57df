"""Reductions over processes that are no-ops in a single one."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def reduce_mean_scalar(value: Tensor) -> Tensor:
    """Mean of a scalar over all processes, without gradient.

    Dividing by the mean makes the average of the processes' losses equal to the loss of one process
    with the whole batch.
    """
    if get_world_size() == 1:
        return value
    value = value.detach().clone()
    with torch.no_grad():
        all_reduce(value, op="mean")
    return value
