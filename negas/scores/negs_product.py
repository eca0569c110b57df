"""Product score, ours and experimental: confident, and not better explained by a negative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import NegativeScore
from .registry import SCORES
from .stable import softmax_max_log_odds


@SCORES.register("negs_product")
@dataclass(frozen=True)
class NegSProduct(NegativeScore):
    """``max_k sigmoid(f_k / T) * max_k softmax_k([f, g] / T)``, k over the ID labels, in (0, 1).

    The sigmoid asks "is it an ID label at all", the softmax "does an ID label explain it better
    than every negative". Meant for banks of some hundred words.

    Args:
        log_odds: return ``log(S / (1 - S))`` instead: the same order, but it does not saturate.
    """

    title: ClassVar[str] = "NegS product"

    log_odds: bool = False

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        confidence = ids.amax(dim=-1)
        share = softmax_max_log_odds(ids, negatives)
        log_product = F.logsigmoid(confidence) + F.logsigmoid(share)
        if not self.log_odds:
            return log_product.exp()
        # 1 - p q = (1 - p) + p (1 - q), a sum of positive terms: no cancellation
        log_rest = torch.logaddexp(
            F.logsigmoid(-confidence), F.logsigmoid(confidence) + F.logsigmoid(-share)
        )
        return log_product - log_rest
