"""Fewer boxes to be fitted on: some of each class, or centroids of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ROUNDS = 10  # of k-means
BLOCK = 4096  # boxes compared with centroids at once


def shares(labels: Tensor, most: int) -> dict[int, int]:
    """How many of ``most`` boxes each class of ``labels [N]`` gets.

    The same number each; what small classes do not need, larger ones get.
    """
    classes, counts = labels.unique(return_counts=True)
    found, left = {}, most
    for turn, place in enumerate(counts.argsort(stable=True).tolist()):
        found[int(classes[place])] = min(int(counts[place]), left // (len(classes) - turn))
        left -= found[int(classes[place])]
    return found


def per_class(labels: Tensor, most: int, seed: int) -> Tensor:
    """Rows of at most ``most`` boxes, rising, drawn without replacement in each class.

    Args:
        labels: ``[N]``.
        most: boxes in all, see :func:`shares`.
        seed: of the draw.
    """
    turn = torch.Generator().manual_seed(seed)
    kept = []
    for label, count in shares(labels, most).items():
        rows = torch.nonzero(labels == label).flatten()
        kept.append(rows[torch.randperm(len(rows), generator=turn)[:count]])
    return torch.cat(kept).sort().values


def centroids(units: Tensor, weights: Tensor, labels: Tensor, most: int, seed: int) -> Tensor:
    """K-means on the sphere (Dhillon & Modha, 2001), in each class.

    Args:
        units: ``[N, D]`` of length 1.
        weights: ``[N]``; a centroid has the mean of its boxes as length.
        labels: ``[N]``.
        most: centroids in all, see :func:`shares`.
        seed: of the first centroids.

    Returns:
        ``[n, D]`` float32.
    """
    turn = torch.Generator().manual_seed(seed)
    made = []
    for label, count in shares(labels, most).items():
        rows = torch.nonzero(labels == label).flatten()
        own = units[rows].float()
        centers = own[torch.randperm(len(own), generator=turn)[:count]]
        for _ in range(ROUNDS if count else 0):
            nearest = _nearest(own, centers)
            sums = torch.zeros_like(centers).index_add_(0, nearest, own)
            filled = sums.norm(dim=1) > 1e-6  # an empty one stays where it was
            centers = torch.where(filled[:, None], F.normalize(sums, dim=1), centers)
        if count:
            nearest = _nearest(own, centers)
            sizes = torch.bincount(nearest, minlength=count).clamp(min=1)
            total = torch.zeros(count).index_add_(0, nearest, weights[rows].float())
            kept = torch.bincount(nearest, minlength=count) > 0
            made.append((centers * (total / sizes)[:, None])[kept])
    return torch.cat(made)


def _nearest(units: Tensor, centers: Tensor) -> Tensor:
    """The centroid of each row."""
    return torch.cat([(block @ centers.T).argmax(dim=1) for block in units.split(BLOCK)])
