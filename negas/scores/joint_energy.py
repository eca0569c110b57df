"""JointEnergy: the energy of independent (multi-label) heads (Wang et al., NeurIPS 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Score
from .registry import SCORES


@SCORES.register("joint_energy")
@dataclass(frozen=True)
class JointEnergy(Score):
    """``T * sum_k log(1 + e^(z_k / T))``, in [0, inf).

    Args:
        top_k: sum only the largest ``top_k`` terms; ``None`` sums all K.
    """

    title: ClassVar[str] = "JointEnergy"

    top_k: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"score '{self.name}': top_k must be at least 1, got {self.top_k!r}.")

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        if self.top_k is not None and self.top_k < ids.shape[-1]:
            ids = ids.topk(self.top_k, dim=-1).values
        # logaddexp and not softplus: torch's softplus turns linear at 20 and drops e^-20
        return self.temperature * torch.logaddexp(ids, torch.zeros_like(ids)).sum(dim=-1)
