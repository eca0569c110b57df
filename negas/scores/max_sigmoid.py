"""Max sigmoid: the confidence of a detector with independent labels.

Of records that hold confidences only, it is the confidence, whatever that was made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Score
from .registry import SCORES


@SCORES.register("max_sigmoid")
@dataclass(frozen=True)
class MaxSigmoid(Score):
    """``max_k sigmoid(z_k / T)``, in [0, 1].

    Float64 holds no number between ``sigmoid(37)`` and 1, so larger logits tie; ``log_odds=True``
    (or ``max_logit``, the same thing) keeps them apart.

    Args:
        log_odds: return ``log(S / (1 - S))`` instead: the same order, but it does not saturate.
    """

    title: ClassVar[str] = "max sigmoid"
    needs_logits: ClassVar[bool] = False

    log_odds: bool = False

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        odds = ids.amax(dim=-1)
        return odds if self.log_odds else odds.sigmoid()
