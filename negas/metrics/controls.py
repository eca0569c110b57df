"""Control for claims about negatives: the same bank, turned by a random rotation.

A rotated bank has the same geometry (lengths, angles between negatives) and no meaning. A gain
that survives the rotation does not come from what the negatives say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from negas.metrics.protocol import ScoreSpec, evaluate_scores
from negas.records import BoxRecords

Features = TypeVar("Features", Tensor, np.ndarray)


def rotated_bank(neg_text_feats: Features, seed: int) -> Features:
    """Turn ``[M, D]`` text embeddings by one random orthogonal matrix (Haar distributed).

    The matrix is the Q of a Gaussian matrix's QR with R's diagonal made positive; without that
    the distribution is not uniform (Mezzadri, 2007). Same kind, dtype and device out.
    """
    if neg_text_feats.ndim != 2:
        raise ValueError(f"neg_text_feats must be [M, D], got {tuple(neg_text_feats.shape)}.")
    size = neg_text_feats.shape[1]
    gaussian = np.random.default_rng(seed).standard_normal((size, size))
    rotation, upper = np.linalg.qr(gaussian)
    rotation = rotation * np.sign(np.diag(upper))
    if isinstance(neg_text_feats, Tensor):
        matrix = torch.from_numpy(rotation).to(neg_text_feats.device)
        return (neg_text_feats.double() @ matrix).to(neg_text_feats.dtype)
    return (neg_text_feats.astype(np.float64) @ rotation).astype(neg_text_feats.dtype)


def rotation_control(
    id_records: BoxRecords,
    ood_records: Mapping[str, BoxRecords],
    neg_text_feats: np.ndarray,
    scores: Sequence[ScoreSpec],
    cut: float,
    draws: int = 5,
    seed: int = 0,
    **options: Any,
) -> list[dict[str, Any]]:
    """Rows of :func:`evaluate_scores` with rotated banks: mean of the draws.

    Args:
        id_records: with embeddings.
        ood_records: with embeddings.
        neg_text_feats: ``[M, D]``, the bank's text embeddings.
        scores: names or ``(name, options)`` that read negatives.
        cut: least confidence of a sample.
        draws: number of rotations, with the seeds ``seed, seed + 1, ...``.
        seed: of the first rotation.
        **options: ``protocol``, ``gts``, ``on_empty`` of :func:`evaluate_scores`.

    Returns:
        The rows, with ``<metric>_std`` beside the numbers that vary, and ``draws``.
    """
    if draws < 1:
        raise ValueError(f"the rotation control needs at least one draw, got draws={draws}.")
    runs = []
    for draw in range(draws):
        bank = rotated_bank(np.asarray(neg_text_feats), seed + draw)
        turned = {name: records.rescore(bank) for name, records in ood_records.items()}
        runs.append(evaluate_scores(id_records.rescore(bank), turned, scores, cut, **options))
    rows = []
    for repeated in zip(*runs, strict=True):
        row = {**repeated[0], "draws": draws}
        for key in ("auroc", "fpr95", "fpr95_closest", "aupr", "tpr", "threshold"):
            values = np.array([one[key] for one in repeated])
            row[key] = float(values.mean())
            row[f"{key}_std"] = float(values.std(ddof=1)) if draws > 1 else 0.0
        rows.append(row)
    return rows
