"""KNN: the distance to the k-th nearest ID box (Sun et al., ICML 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from ..registry import SCORES
from .neighbors import NeighborScore, last_found, mean_found

Reduction = Literal["kth", "mean"]


@SCORES.register("knn")
@dataclass(frozen=True)
class KNN(NeighborScore):
    """``-(1 - cos(x, x_(k)))``, in [-2, 0]: the order of the paper's distance of unit vectors.

    The paper's Euclidean distance is ``sqrt(2 (1 - cos))``. SIREN-KNN (Du et al., NeurIPS 2022) is
    this score on embeddings of its own.

    Args:
        reduce: ``kth`` (paper), or ``mean`` of the k distances.
    """

    title: ClassVar[str] = "KNN"

    reduce: Reduction = "kth"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("reduce", Reduction)

    def _guidance(self, products: Tensor, ids: Tensor) -> Tensor:
        return (last_found(products) if self.reduce == "kth" else mean_found(products)) - 1
