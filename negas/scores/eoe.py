"""EOE: envisioned outlier labels as a penalty (Cao et al., ICML 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from .base import NegativeScore
from .registry import SCORES
from .stable import (
    log_probability_difference,
    probability_difference,
    softmax_max_log_odds,
    top_and_rest,
)

OutlierRule = Literal["difference", "max", "energy"]


@SCORES.register("eoe")
@dataclass(frozen=True)
class EnvisionedOutlierExposure(NegativeScore):
    """``max_k p_k - beta * max_j p_(K+j)``, p = softmax of [ID, negative] / T, in (-beta, 1].

    The authors' setting is cosines with ``temperature=1`` and ``beta=0.25``.

    Args:
        beta: weight of the strongest negative label, at least 0.
        rule: ``difference`` is the method. The authors' ablations: ``max`` gives 1/K where a
            negative label beats all ID labels and otherwise MCM's score; ``energy`` is
            ``T * logsumexp(ID / T) - T * logsumexp(negative / T)``, unbounded.
        log_odds: return ``log((S + beta) / (1 - S))`` instead (``log(S / (1 - S))`` for ``max``):
            the same order, no saturation. ``energy`` never saturates and stays as it is.
    """

    title: ClassVar[str] = "EOE"

    beta: float = 0.25
    rule: OutlierRule = "difference"
    log_odds: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta >= 0:
            raise ValueError(f"score '{self.name}': beta must be at least 0, got {self.beta!r}.")
        if self.rule not in get_args(OutlierRule):
            raise ValueError(
                f"score '{self.name}': rule must be one of {', '.join(get_args(OutlierRule))}, "
                f"got {self.rule!r}."
            )

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        if self.rule == "energy":
            return self.temperature * (ids.logsumexp(dim=-1) - negatives.logsumexp(dim=-1))
        if self.rule == "max":
            beaten = negatives.amax(dim=-1, keepdim=True) > ids.amax(dim=-1, keepdim=True)
            odds = softmax_max_log_odds(torch.where(beaten, torch.zeros_like(ids), ids))
            return odds if self.log_odds else odds.sigmoid()
        return self.compute_from_parts(*top_and_rest(ids), *top_and_rest(negatives))

    def compute_from_parts(
        self, id_top: Tensor, id_rest: Tensor, neg_top: Tensor, neg_rest: Tensor
    ) -> Tensor:
        """The ``difference`` from each side's largest logit and log-sum-exp of its others.

        All four [...] and divided by the temperature, as :meth:`compute` has them.
        """
        id_odds = id_top - torch.logaddexp(id_rest, torch.logaddexp(neg_top, neg_rest))
        neg_odds = neg_top - torch.logaddexp(neg_rest, torch.logaddexp(id_top, id_rest))
        combine = log_probability_difference if self.log_odds else probability_difference
        return combine(id_odds, neg_odds, self.beta)
