"""From the scores of tokens to one logit per label.

Shapes: K labels, L tokens, Q queries.
"""

from __future__ import annotations

import torch
from torch import Tensor

from negas.token_labels import MIN_PROB

TOKEN_REDUCE = ("mean", "max")


def label_logits(token_logits: Tensor, name_map: Tensor, reduce: str = "mean") -> Tensor:
    """``logit(mean of the label's token probabilities)``: its sigmoid is MMDetection's score.

    MMDetection averages probabilities, not logits (``convert_grounding_to_cls_scores``); scores of
    :mod:`negas.scores` take logits.

    Args:
        token_logits: [..., L]; tokens outside the labels may be -inf.
        name_map: bool [K, L].
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
        probs = token_logits.float().sigmoid()
        if reduce == "mean":
            weights = name_map.to(probs) / name_map.sum(1, keepdim=True)
            reduced = probs @ weights.T
        else:
            spread = torch.where(name_map, probs[..., None, :], probs.new_zeros(()))
            reduced = spread.amax(-1)
        return torch.logit(reduced, eps=MIN_PROB)
