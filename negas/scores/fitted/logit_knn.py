"""Confidence and KNN together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..registry import SCORES
from .knn import KNN


@SCORES.register("logit_knn")
@dataclass(frozen=True)
class LogitKNN(KNN):
    """``z(max_k z_k) - z(distance)``, the KNN distance, both standardised on the fit set.

    Ours: the two tell different mistakes, and standardising takes the place of a weight.
    """

    title: ClassVar[str] = "logit - KNN"
    with_logit: ClassVar[bool] = True
