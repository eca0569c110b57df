"""Class-conditional von Mises-Fisher: SIREN's test-time score (Du et al., NeurIPS 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..registry import SCORES
from .base import FitBoxes, FittedScore, State
from .mahalanobis import in_blocks
from .neighbors import unit

MAX_KAPPA = 1e4  # a class of equal boxes would have an infinite one


def log_bessel(order: float, kappa: float) -> float:
    """``log I_order(kappa)`` by its series, for kappa > 0: exact for any order."""
    peak = (math.hypot(order, kappa) - order) / 2  # where the terms are largest
    terms = torch.arange(int(peak + 12 * math.sqrt(peak + 1) + 40), dtype=torch.float64)
    logs = (2 * terms + order) * math.log(kappa / 2)
    return float((logs - torch.lgamma(terms + 1) - torch.lgamma(terms + order + 1)).logsumexp(0))


def log_normalizer(size: int, kappa: float) -> float:
    """Log of the density's constant ``C_D(kappa)`` on the sphere in D = ``size`` dimensions."""
    order = size / 2 - 1
    constant = order * math.log(kappa) - size / 2 * math.log(2 * math.pi)
    return constant - log_bessel(order, kappa)


@SCORES.register("vmf")
@dataclass(frozen=True)
class VonMisesFisher(FittedScore):
    """``max_c log C_D(kappa_c) + kappa_c mu_c . x / |x|``.

    SIREN learns directions and concentrations with embeddings of its own; here both are estimated
    from the detector's: ``kappa = r (D - r^2) / (1 - r^2)`` (Banerjee et al., JMLR 2005) of the
    mean resultant length r. r^2 is estimated without its bias, ``(N r^2 - 1) / (N - 1)``: it
    matters with few boxes. A class of one box has the concentration of all classes together.
    """

    title: ClassVar[str] = "vMF"

    def _fit(self, boxes: FitBoxes) -> State:
        classes, place, counts = boxes.labels.unique(return_inverse=True, return_counts=True)
        size = boxes.feats.shape[1]
        sums = torch.zeros(len(classes), size, dtype=torch.float64)
        start = 0
        for part in boxes.feats.split(2**15):
            rows = place[start : start + len(part)]
            sums.index_add_(0, rows, unit(part).double())
            start += len(part)
        squares = sums.square().sum(dim=1)  # (N r)^2
        pairs = counts.double() * (counts - 1)
        pooled = float((squares - counts).sum() / pairs.sum().clamp(min=1))
        kappas = []
        for square, count, pair in zip(
            squares.tolist(), counts.tolist(), pairs.tolist(), strict=True
        ):
            r2 = (square - count) / pair if pair else pooled
            r2 = min(max(r2, 1e-6), 1 - 1e-9)
            kappas.append(min(math.sqrt(r2) * (size - r2) / (1 - r2), MAX_KAPPA))
        constants = [log_normalizer(size, kappa) for kappa in kappas]
        directions = sums / squares.sqrt().clamp(min=1e-12)[:, None]
        kappa = torch.tensor(kappas, dtype=torch.float64)
        return {
            "directions": directions * kappa[:, None],
            "constants": torch.tensor(constants, dtype=torch.float64),
        }

    def _raw(self, state: State, ids: Tensor, embeddings: Tensor, images: Tensor | None) -> Tensor:
        def density(part: Tensor) -> Tensor:
            return (unit(part).double() @ state["directions"].T + state["constants"]).amax(dim=1)

        return in_blocks(embeddings[:, :-1], density)
