"""NegS, the score of NegAS: ID confidence minus confidence in the negative labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from .base import NegativeScore
from .registry import SCORES
from .stable import log_probability_difference, mean_log_odds, probability_difference

NegativeReduction = Literal["max", "mean", "lse"]


@SCORES.register("negs")
@dataclass(frozen=True)
class NegS(NegativeScore):
    """``max_k sigmoid(f_k / T) - weight * reduce_j sigmoid(g_j / T)``, in (-weight, 1).

    The defaults are the paper's score. The difference is exact where both sigmoids round to 1.

    Args:
        weight: of the negative term, at least 0; 0.5 is the milder penalty.
        neg_reduce: ``max`` (paper); ``mean`` of the sigmoids; ``lse``:
            ``sigmoid(logsumexp_j g_j)``, where weakly fitting negatives add up (never below
            ``max``).
        log_odds: return ``log((S + weight) / (1 - S))`` instead: the same order, no saturation.
    """

    title: ClassVar[str] = "NegS"

    weight: float = 1.0
    neg_reduce: NegativeReduction = "max"
    log_odds: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weight >= 0:
            raise ValueError(
                f"score '{self.name}': weight must be at least 0, got {self.weight!r}."
            )
        if self.neg_reduce not in get_args(NegativeReduction):
            raise ValueError(
                f"score '{self.name}': neg_reduce must be one of "
                f"{', '.join(get_args(NegativeReduction))}, got {self.neg_reduce!r}."
            )

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        if self.neg_reduce == "max":
            neg_odds = negatives.amax(dim=-1)
        elif self.neg_reduce == "mean":
            neg_odds = mean_log_odds(negatives)
        else:
            neg_odds = negatives.logsumexp(dim=-1)
        combine = log_probability_difference if self.log_odds else probability_difference
        return combine(ids.amax(dim=-1), neg_odds, self.weight)
