"""Labels that are sets of tokens: from tokens to one number per label (numpy).

Shapes: N boxes, E embedding size, M labels, T tokens of the longest label.
"""

from __future__ import annotations

import numpy as np

CHUNK_BYTES = 64 * 2**20  # of float32 products of boxes and tokens that are made at a time
MIN_PROB = 1e-6  # a label of several tokens has a logit within +-13.8


def against_tokens(
    embeddings: np.ndarray, feats: np.ndarray, reduce: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and mean cosines ``[N, M]``, float32, of boxes and labels that are sets of tokens.

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
    token_lengths = np.linalg.norm(tokens, axis=1)
    shape = len(embeddings), len(feats)
    logits, cosines = np.empty(shape, np.float32), np.empty(shape, np.float32)
    # All boxes against all tokens, [N, L] in float64, would be many times the result.
    rows = max(1, CHUNK_BYTES // (4 * max(1, len(tokens))))
    for first in range(0, len(embeddings), rows):
        part = slice(first, first + rows)
        regions, bias = embeddings[part, :-1], embeddings[part, -1:]
        products = regions @ tokens.T
        probs = 1 / (1 + np.exp(-(products + bias).astype(np.float64)))
        if reduce == "max":
            label_probs = np.maximum.reduceat(probs, starts, axis=1)
        else:
            label_probs = np.add.reduceat(probs, starts, axis=1) / count
        label_probs = label_probs.clip(MIN_PROB, 1 - MIN_PROB)
        logits[part] = np.log(label_probs / (1 - label_probs))
        lengths = np.linalg.norm(regions, axis=1)[:, None] * token_lengths
        products /= lengths.clip(min=1e-12)
        cosines[part] = np.add.reduceat(products, starts, axis=1) / count
    return logits, cosines
