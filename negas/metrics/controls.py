"""Control for claims about negatives: the same bank, turned by a random rotation.

A rotated bank has the same geometry (lengths, angles between negatives) and no meaning. A gain
that survives the rotation does not come from what the negatives say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Features = TypeVar("Features", Tensor, np.ndarray)


def rotated_bank(neg_text_feats: Features, seed: int) -> Features:
    """Turn ``[M, D]`` text embeddings, or tokens ``[M, T, D]``, by one random orthogonal matrix.

    Haar distributed.

    The matrix is the Q of a Gaussian matrix's QR with R's diagonal made positive; without that
    the distribution is not uniform (Mezzadri, 2007). Same kind, dtype and device out.
    """
    if neg_text_feats.ndim not in (2, 3):
        raise ValueError(
            f"neg_text_feats must be [M, D] or [M, T, D], got {tuple(neg_text_feats.shape)}."
        )
    rotation = _rotation(neg_text_feats.shape[-1], seed)
    if isinstance(neg_text_feats, Tensor):
        matrix = torch.from_numpy(rotation).to(neg_text_feats.device)
        return (neg_text_feats.double() @ matrix).to(neg_text_feats.dtype)
    return (neg_text_feats.astype(np.float64) @ rotation).astype(neg_text_feats.dtype)


@lru_cache(maxsize=16)  # the same few for every bank of every run; 2 MB each at 512 channels
def _rotation(size: int, seed: int) -> np.ndarray:
    gaussian = np.random.default_rng(seed).standard_normal((size, size))
    rotation, upper = np.linalg.qr(gaussian)
    return rotation * np.sign(np.diag(upper))


def mean_of_draws(rows: Sequence[Mapping[str, Any]], keys: Iterable[str]) -> dict[str, Any]:
    """One row of a control from those of its draws.

    Args:
        rows: at least one.
        keys: numbers to average; one that a draw has as ``None`` stays the first row's.

    Returns:
        The first row with means, sample standard deviations as ``<key>_std``, and ``draws``.
    """
    made = dict(rows[0])
    for key in keys:
        values = [row[key] for row in rows]
        if None not in values:
            made[key] = float(np.mean(values))
            made[f"{key}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return made | dict(draws=len(rows))
