"""MCM: maximum concept matching (Ming et al., NeurIPS 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Score
from .registry import SCORES
from .stable import softmax_max_log_odds


@SCORES.register("mcm")
@dataclass(frozen=True)
class MaximumConceptMatching(Score):
    """``max_k softmax_k(s / T)`` over the ID texts, in [1/K, 1].

    The authors' setting is cosines with ``temperature=1``. With CLIP logits (100 * cosine) the
    same number needs ``temperature=100``; other code bases call 100 * cosine with temperature 1
    "MCM" too, a hundred times sharper.

    Args:
        log_odds: return ``log(S / (1 - S))`` instead: the same order, but it does not saturate.
    """

    title: ClassVar[str] = "MCM"

    log_odds: bool = False

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        odds = softmax_max_log_odds(ids)
        return odds if self.log_odds else odds.sigmoid()
