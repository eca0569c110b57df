"""Energy score (Liu et al., NeurIPS 2020), negated so that larger = in-distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Score
from .registry import SCORES


@SCORES.register("energy")
@dataclass(frozen=True)
class Energy(Score):
    """``T * logsumexp_k(z_k / T)`` over the ID labels, unbounded; no background logit enters."""

    title: ClassVar[str] = "energy"

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        return self.temperature * ids.logsumexp(dim=-1)
