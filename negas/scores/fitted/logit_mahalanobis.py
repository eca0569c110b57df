"""Confidence and Mahalanobis distance together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..registry import SCORES
from .mahalanobis import Mahalanobis


@SCORES.register("logit_mahalanobis")
@dataclass(frozen=True)
class LogitMahalanobis(Mahalanobis):
    """``z(max_k z_k) - z(distance)``, squared Mahalanobis, both standardised on the fit set.

    Ours, as :class:`~negas.scores.fitted.logit_knn.LogitKNN`.
    """

    title: ClassVar[str] = "logit - Mahalanobis"
    with_logit: ClassVar[bool] = True
