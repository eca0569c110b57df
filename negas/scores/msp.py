"""MSP: the largest softmax probability over the ID labels (Hendrycks & Gimpel, ICLR 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Score
from .registry import SCORES
from .stable import softmax_max_log_odds


@SCORES.register("msp")
@dataclass(frozen=True)
class MaxSoftmaxProbability(Score):
    """``max_k softmax_k(z / T)``, in [1/K, 1]; no background logit enters.

    Args:
        log_odds: return ``log(S / (1 - S))`` instead: the same order, but it does not saturate.
    """

    title: ClassVar[str] = "MSP"

    log_odds: bool = False

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        odds = softmax_max_log_odds(ids)
        return odds if self.log_odds else odds.sigmoid()
