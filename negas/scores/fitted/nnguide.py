"""NNGuide: confidence guided by that of the nearest ID boxes (Park et al., ICCV 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from ..registry import SCORES
from .neighbors import NeighborScore, mean_found

Confidence = Literal["joint_energy", "energy"]


@SCORES.register("nnguide")
@dataclass(frozen=True)
class NNGuide(NeighborScore):
    """``E(x) * mean of the k largest E(x_i) cos(x, x_i)``.

    Args:
        confidence: E. ``energy``, the paper's log-sum-exp of the logits, is negative where all
            sigmoids are small, and the product of two negatives would be large. CHOICE:
            ``joint_energy``, ``sum_k softplus(z_k)``, which is positive, by default.
    """

    title: ClassVar[str] = "NNGuide"
    needs_logits: ClassVar[bool] = True

    confidence: Confidence = "joint_energy"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("confidence", Confidence)

    def _weights(self, ids: Tensor) -> Tensor:
        if self.confidence == "energy":
            return ids.logsumexp(dim=-1)
        return F.softplus(ids).sum(dim=-1)

    def _guidance(self, products: Tensor, ids: Tensor) -> Tensor:
        return self._weights(ids) * mean_found(products)
