"""Probabilities and their differences without saturation.

A probability near 1 cannot tell logit 40 from 41, not even in float64. So the scores carry each
probability p as its log-odds ``log(p / (1 - p))`` and take a probability only at the very end.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def top_and_rest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of ``logits [..., K]`` and the log-sum-exp of the others, both ``[...]``."""
    top, index = logits.max(dim=-1, keepdim=True)
    rest = logits.scatter(-1, index, -torch.inf).logsumexp(dim=-1)
    return top.squeeze(-1), rest


def softmax_max_log_odds(logits: Tensor, others: Tensor | None = None) -> Tensor:
    """Log-odds of the largest softmax entry of ``logits [..., K]``, shape ``[...]``.

    ``p = e^z / (e^z + sum of the rest)``, so its log-odds are ``z - logsumexp(rest)``.

    Args:
        logits: the candidates for the maximum.
        others: ``[..., M]``, more entries of the same softmax that are no candidates.
    """
    top, rest = top_and_rest(logits)
    if others is not None:
        rest = torch.logaddexp(rest, others.logsumexp(dim=-1))
    return top - rest


def mean_log_odds(log_odds: Tensor, dim: int = -1) -> Tensor:
    """Log-odds of the mean of the probabilities whose log-odds are given."""
    return F.logsigmoid(log_odds).logsumexp(dim) - F.logsigmoid(-log_odds).logsumexp(dim)


def probability_difference(first: Tensor, second: Tensor, weight: float = 1.0) -> Tensor:
    """``sigmoid(first) - weight * sigmoid(second)``, exact also where both round to 1.

    For a > b: ``sigmoid(a) - sigmoid(b) = sigmoid(a) * sigmoid(-b) * (1 - e^(b - a))``. Example:
    a = 41, b = 40 gives 2.7e-18 where subtracting the float64 sigmoids gives 0.
    """
    high, low = torch.maximum(first, second), torch.minimum(first, second)
    gap = torch.sigmoid(high) * torch.sigmoid(-low) * -torch.expm1(low - high)
    difference = torch.where(first >= second, gap, -gap)
    return difference + (1.0 - weight) * torch.sigmoid(second)


def log_probability_difference(first: Tensor, second: Tensor, weight: float = 1.0) -> Tensor:
    """A strictly increasing transform of :func:`probability_difference` that never saturates.

    The difference d lies in (-w, 1); returned is ``log(d + w) - log(1 - d)``.
    """
    if weight == 0:
        return first
    shift = torch.log(torch.as_tensor(weight, dtype=first.dtype, device=first.device))
    above = torch.logaddexp(F.logsigmoid(first), shift + F.logsigmoid(-second))
    below = torch.logaddexp(F.logsigmoid(-first), shift + F.logsigmoid(second))
    return above - below
