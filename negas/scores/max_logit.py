"""Max logit: the largest ID logit (Hendrycks et al., ICML 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Score
from .registry import SCORES


@SCORES.register("max_logit")
@dataclass(frozen=True)
class MaxLogit(Score):
    """``max_k z_k / T``, unbounded: the ranking of ``max_sigmoid`` without its saturation."""

    title: ClassVar[str] = "max logit"

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        return ids.amax(dim=-1)
