"""Labels that are sets of tokens: from tokens to one number per label (numpy).

Shapes: N boxes, E embedding size, M labels, T tokens of the longest label.
"""

from __future__ import annotations

import numpy as np

MIN_PROB = 1e-6  # a label of several tokens has a logit within +-13.8


def against_tokens(
    embeddings: np.ndarray, feats: np.ndarray, reduce: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and mean cosines ``[N, M]`` of boxes and labels that are sets of tokens.

    A label's probability is the mean of its tokens', its logit that of the mean, as Grounding DINO
    scores labels.

    Args:
        embeddings: ``[N, E]``: a token w has the logit ``e[:-1] @ w + e[-1]``.
        feats: ``[M, T, E - 1]``, rows of NaN where a label has fewer tokens.
        reduce: ``max`` for the largest probability instead of the mean.
    """
    real = ~np.isnan(feats[..., 0])  # [M, T]
    if not real.any(1).all():
        raise ValueError(f"label {int((~real.any(1)).argmax())} of the bank has no token")
    owner = np.nonzero(real)[0]
    starts = np.searchsorted(owner, np.arange(len(feats)))
    tokens, count = feats[real], real.sum(1)  # [L, E - 1]
    products = embeddings[:, :-1] @ tokens.T
    probs = 1 / (1 + np.exp(-(products + embeddings[:, -1:]).astype(np.float64)))
    if reduce == "max":
        label_probs = np.maximum.reduceat(probs, starts, axis=1)
    else:
        label_probs = np.add.reduceat(probs, starts, axis=1) / count
    label_probs = label_probs.clip(MIN_PROB, 1 - MIN_PROB)
    lengths = np.linalg.norm(embeddings[:, :-1], axis=1)[:, None] * np.linalg.norm(tokens, axis=1)
    cosines = np.add.reduceat(products / lengths.clip(min=1e-12), starts, axis=1) / count
    return np.log(label_probs / (1 - label_probs)), cosines
