"""Relative Mahalanobis distance (Ren et al., 2021, arXiv:2106.09022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..registry import SCORES
from .base import FitBoxes, State
from .mahalanobis import Gaussians, Mahalanobis, in_blocks, whitening


@SCORES.register("relative_mahalanobis")
@dataclass(frozen=True)
class RelativeMahalanobis(Mahalanobis):
    """``-(min_c MD_c(x) - MD_0(x))``, with MD_0 that of one Gaussian of all fit boxes."""

    title: ClassVar[str] = "relative Mahalanobis"

    def _fit(self, boxes: FitBoxes) -> State:
        total = Gaussians.of(boxes).total
        return super()._fit(boxes) | {"background": whitening(total, len(boxes), self.shrinkage)}

    def _raw(self, state: State, ids: Tensor, embeddings: Tensor, images: Tensor | None) -> Tensor:
        def background(part: Tensor) -> Tensor:
            return ((part - state["mean"]) @ state["background"]).square().sum(dim=1)

        return super()._raw(state, ids, embeddings, images) + in_blocks(
            embeddings[:, :-1], background
        )
