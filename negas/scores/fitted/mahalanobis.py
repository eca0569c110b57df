"""Mahalanobis distance to the nearest ID class (Lee et al., NeurIPS 2018)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..registry import SCORES
from .base import FitBoxes, FittedScore, State

BLOCK = 2**15  # boxes in float64 at once


@dataclass(frozen=True)
class Gaussians:
    """Moments of the fit boxes, float64.

    Attributes:
        mean: ``[D]``, of all boxes.
        means: ``[C, D]``, of the C classes that have boxes, minus ``mean``.
        within: ``[D, D]``, covariance about the class means (maximum likelihood).
        total: ``[D, D]``, covariance about ``mean``.
    """

    mean: Tensor
    means: Tensor
    within: Tensor
    total: Tensor

    @classmethod
    def of(cls, boxes: FitBoxes) -> Gaussians:
        """Two passes over the boxes, in blocks."""
        count = len(boxes)
        mean = sum(part.sum(dim=0) for part, _ in _blocks(boxes)) / count
        classes, place, sizes = boxes.labels.unique(return_inverse=True, return_counts=True)
        means = mean.new_zeros(len(classes), len(mean))
        total = mean.new_zeros(len(mean), len(mean))
        for part, rows in _blocks(boxes):
            part = part - mean
            means.index_add_(0, place[rows], part)
            total += part.T @ part
        means /= sizes[:, None]
        between = (means * sizes[:, None]).T @ means
        return cls(mean, means, (total - between) / count, total / count)


def _blocks(boxes: FitBoxes) -> Iterator[tuple[Tensor, slice]]:
    for start in range(0, len(boxes), BLOCK):
        rows = slice(start, start + BLOCK)
        yield boxes.feats[rows].double(), rows


def whitening(covariance: Tensor, count: int, shrinkage: float | None) -> Tensor:
    """W ``[D, r]`` with ``W W^T`` the (pseudo-)inverse of a shrunken covariance ``[D, D]``.

    Args:
        covariance: S, maximum likelihood.
        count: of the boxes behind it.
        shrinkage: s of ``(1 - s) S + s tr(S) / D I``, in [0, 1]; ``None``: the oracle approximating
            shrinkage (Chen et al., IEEE TSP 2010, Eq. 23).
    """
    size = len(covariance)
    scale = covariance.trace() / size
    if shrinkage is None:
        power = covariance.square().mean()
        spread = (count + 1) * (power - scale.square() / size)
        shrinkage = 1.0 if spread <= 0 else min(float((power + scale.square()) / spread), 1.0)
    shrunk = (1 - shrinkage) * covariance + shrinkage * scale * torch.eye(size).to(covariance)
    values, vectors = torch.linalg.eigh(shrunk)
    kept = values > values[-1].clamp(min=1e-300) * size * torch.finfo(values.dtype).eps
    return vectors[:, kept] / values[kept].sqrt()


@SCORES.register("mahalanobis")
@dataclass(frozen=True)
class Mahalanobis(FittedScore):
    """``-min_c (x - mu_c)^T S^-1 (x - mu_c)``, with one covariance S for all classes.

    Args:
        shrinkage: of S, see :func:`whitening`; ``None`` computes it from the boxes.
    """

    title: ClassVar[str] = "Mahalanobis"

    shrinkage: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise ValueError(
                f"score '{self.name}': shrinkage must lie in [0, 1], got {self.shrinkage!r}."
            )

    def _fit(self, boxes: FitBoxes) -> State:
        moments = Gaussians.of(boxes)
        white = whitening(moments.within, len(boxes), self.shrinkage)
        return {"mean": moments.mean, "whitening": white, "means": moments.means @ white}

    def _raw(self, state: State, ids: Tensor, embeddings: Tensor, images: Tensor | None) -> Tensor:
        return -in_blocks(embeddings[:, :-1], lambda part: _class_distance(state, part))


def _class_distance(state: State, feats: Tensor) -> Tensor:
    """Squared distance ``[n]`` to the nearest class."""
    boxes, means = (feats - state["mean"]) @ state["whitening"], state["means"]
    squares = boxes.square().sum(dim=1, keepdim=True) + means.square().sum(dim=1)
    return (squares - 2 * boxes @ means.T).clamp(min=0).amin(dim=1)


def in_blocks(feats: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """A score of rows, of some at a time."""
    return torch.cat([score(part) for part in feats.split(BLOCK)])
