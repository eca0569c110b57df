"""What scores share that look for the nearest fit boxes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import FitBoxes, FittedScore, State
from .sampling import centroids

# A block of products takes 8 MB, so that it is still in the cache when it is searched.
QUERIES, BANK = 512, 4096
Store = Literal["boxes", "centroids"]
Precision = Literal["float16", "float32"]


def largest_products(
    queries: Tensor,
    bank: Tensor,
    k: int,
    images: Tensor | None = None,
    bank_images: Tensor | None = None,
) -> Tensor:
    """The k largest products of every query with a bank, without holding all products.

    Args:
        queries: ``[n, D]`` float32.
        bank: ``[N, D]`` float16 or float32.
        k: at most N are found.
        images: ``[n]`` int64 of the queries; entries of the same image are left out.
        bank_images: ``[N]`` int64 of the bank.

    Returns:
        ``[n, min(k, N)]`` float32, falling; ``-inf`` where there are no more.
    """
    k = min(k, len(bank))
    best = queries.new_full((len(queries), k), -torch.inf)
    for start in range(0, len(bank), BANK):
        part = bank[start : start + BANK].float().T
        for first in range(0, len(queries), QUERIES):
            rows = slice(first, first + QUERIES)
            products = queries[rows] @ part
            if images is not None:
                own = images[rows, None] == bank_images[None, start : start + BANK]
                products.masked_fill_(own, -torch.inf)
            found = products.topk(min(k, products.shape[1]), dim=1).values
            best[rows] = torch.cat([best[rows], found], dim=1).topk(k, dim=1).values
    return best


def unit(feats: Tensor) -> Tensor:
    """Rows of length 1, float32; a row of zeros stays."""
    return F.normalize(feats.float(), dim=1)


@dataclass(frozen=True)
class NeighborScore(FittedScore):
    """A score of the products with the nearest fit boxes, all of length 1.

    Args:
        k: neighbors.
        store: ``boxes``, of which ``max_boxes`` are drawn; ``centroids``: ``max_boxes`` k-means
            centroids take their place.
        dtype: of what is stored: ``float16`` takes half the memory, and moves a cosine by up to
            0.0005.
    """

    k: int = 10
    store: Store = "boxes"
    dtype: Precision = "float16"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._whole("k", 1)
        self._one_of("store", Store)
        self._one_of("dtype", Precision)
        if self._by_folds and self.max_boxes is None:
            raise ValueError(
                f"score '{self.name}': store='centroids' needs max_boxes, their number."
            )

    @property
    def _by_folds(self) -> bool:
        return self.store == "centroids"

    def _chosen(self, boxes: FitBoxes) -> FitBoxes:
        return boxes if self._by_folds else super()._chosen(boxes)

    def _fit(self, boxes: FitBoxes) -> State:
        weights = self._weights(boxes.id_logits.double()).float()
        kind = getattr(torch, self.dtype)
        if self._by_folds:
            units = torch.cat([unit(part) for part in boxes.feats.split(2**16)])
            made = centroids(units, weights, boxes.labels, self.max_boxes, self.seed)
            return {"bank": made.to(kind)}
        bank = torch.empty(boxes.feats.shape, dtype=kind)
        for start in range(0, len(boxes), 2**16):  # a copy in float32 would be twice as large
            rows = slice(start, start + 2**16)
            bank[rows] = unit(boxes.feats[rows]) * weights[rows, None]
        return {"bank": bank, "bank_images": boxes.images}

    def _raw(self, state: State, ids: Tensor, embeddings: Tensor, images: Tensor | None) -> Tensor:
        of_bank = state.get("bank_images")
        if images is not None and (of_bank is None or not torch.isin(images, of_bank).any()):
            images = None  # none is of the fit set
        found = largest_products(unit(embeddings[:, :-1]), state["bank"], self.k, images, of_bank)
        return self._guidance(found.double(), ids)

    def _weights(self, ids: Tensor) -> Tensor:
        """Length ``[N]`` of each fit box in the bank."""
        return torch.ones(len(ids))

    @abstractmethod
    def _guidance(self, products: Tensor, ids: Tensor) -> Tensor:
        """Score ``[n]`` of the k largest products ``[n, k]``, falling, perhaps ending in -inf."""


def mean_found(products: Tensor) -> Tensor:
    """Mean ``[n]`` of the products ``[n, k]`` that there are."""
    there = products.isfinite()
    return products.where(there, 0.0).sum(dim=1) / there.sum(dim=1).clamp(min=1)


def last_found(products: Tensor) -> Tensor:
    """The smallest ``[n]`` of the products ``[n, k]`` that there are."""
    there = products.isfinite().sum(dim=1, keepdim=True).clamp(min=1)
    return products.gather(1, there - 1).squeeze(1)
