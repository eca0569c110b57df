"""From the scores of tokens to one number per label.

Shapes: K labels, L tokens of a caption, T tokens of the longest label. Tokens stand label by label,
[K, T] with a mask of the real ones, so that memory grows with the bank and not with its square.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from negas.token_labels import MIN_PROB

TOKEN_REDUCE = ("mean", "max")


def tokens_by_label(name_map: Tensor) -> tuple[Tensor, Tensor]:
    """Where the labels' tokens stand in a caption.

    Args:
        name_map: bool [K, L].

    Returns:
        Columns [K, T] in caption order, any column where a label has fewer tokens, and which are
        real, bool [K, T].
    """
    count = name_map.sum(1, keepdim=True)
    longest = int(count.max())
    columns = (~name_map).int().argsort(dim=1, stable=True)[:, :longest]
    return columns, torch.arange(longest, device=name_map.device) < count


def label_logits(token_logits: Tensor, real: Tensor, reduce: str = "mean") -> Tensor:
    """``logit(mean of the label's token probabilities)``: its sigmoid is MMDetection's score.

    MMDetection averages probabilities, not logits (``convert_grounding_to_cls_scores``); scores of
    :mod:`negas.scores` take logits.

    Args:
        token_logits: [..., K, T].
        real: bool [K, T]; the others do not count, whatever their logits.
        reduce: ``mean`` (MMDetection) or ``max`` of a label's tokens.

    Returns:
        [..., K], within +-13.8.

    Raises:
        ValueError: on an unknown ``reduce``.
    """
    if reduce not in TOKEN_REDUCE:
        raise ValueError(f"token_reduce must be one of {TOKEN_REDUCE}, got {reduce!r}")
    # In half precision a probability near 1 rounds to 1, and its logit is infinite.
    with torch.autocast(token_logits.device.type, enabled=False):
        probs = torch.where(real, token_logits.float().sigmoid(), 0.0)
        reduced = probs.sum(-1) / real.sum(-1) if reduce == "mean" else probs.amax(-1)
        return torch.logit(reduced, eps=MIN_PROB)


def mean_cosines(regions: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
    """Mean cosine between regions [n, D] and each label's tokens ([K, T, D], bool [K, T]), [n, K].

    Tokens that are not real are finite.
    """
    cosines = torch.einsum("nd,ktd->nkt", normalize(regions, dim=-1), normalize(tokens, dim=-1))
    return torch.where(real, cosines, 0.0).sum(-1) / real.sum(-1)
