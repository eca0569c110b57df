"""EOE: envisioned outlier labels as a penalty (Cao et al., ICML 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from negas.scores.base import NegativeScore
from negas.scores.registry import SCORES
from negas.scores.stable import (
    log_probability_difference,
    probability_difference,
    softmax_max_log_odds,
)


@SCORES.register("eoe")
@dataclass(frozen=True)
class EnvisionedOutlierExposure(NegativeScore):
    """``max_k p_k - beta * max_j p_(K+j)``, p = softmax of [ID, negative] / T, in (-beta, 1].

    The authors' setting is cosines with ``temperature=1`` and ``beta=0.25``.

    Args:
        beta: weight of the strongest negative label, at least 0.
        log_odds: return ``log((S + beta) / (1 - S))`` instead: the same order, no saturation.
    """

    beta: float = 0.25
    log_odds: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta >= 0:
            raise ValueError(f"score '{self.name}': beta must be at least 0, got {self.beta!r}.")

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        id_odds = softmax_max_log_odds(ids, negatives)
        neg_odds = softmax_max_log_odds(negatives, ids)
        combine = log_probability_difference if self.log_odds else probability_difference
        return combine(id_odds, neg_odds, self.beta)
