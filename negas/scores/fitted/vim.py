"""ViM: virtual-logit matching (Wang et al., CVPR 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..registry import SCORES
from .base import FitBoxes, FittedScore, State
from .mahalanobis import in_blocks

BLOCK = 2**15
Matching = Literal["spread", "mean"]


@SCORES.register("vim")
@dataclass(frozen=True)
class ViM(FittedScore):
    """``logsumexp(z) - alpha * |residual of x|``, outside the principal subspace of the fit boxes.

    The origin of the paper, ``-pinv(W) b``, takes the head's weights: its ID text embeddings. They
    are what the fit boxes' own logits say, ``z = x W^T + b``, solved by least squares: exactly
    these embeddings where the boxes span the space, and the nearest linear head where a label is
    several tokens. b is the box's own (the last entry of its embedding).

    Args:
        dim: of the principal subspace; ``None``: the paper's rule, 1000 of D >= 2048 channels, 512
            of D >= 768, else D // 2.
        match: alpha. ``mean`` of the best logit over that of the residual is the paper's; logits of
            sigmoid heads have no fixed sign, and alpha neither. CHOICE: their ``spread`` (standard
            deviations) by default.
    """

    title: ClassVar[str] = "ViM"
    needs_logits: ClassVar[bool] = True

    dim: int | None = None
    match: Matching = "spread"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim is not None:
            self._whole("dim", 1)
        self._one_of("match", Matching)

    def _fit(self, boxes: FitBoxes) -> State:
        embeddings, size = boxes.embeddings, boxes.embeddings.shape[1] - 1
        square = torch.zeros(size, size, dtype=torch.float64)
        products = torch.zeros(size, boxes.id_logits.shape[1], dtype=torch.float64)
        parts = [slice(start, start + BLOCK) for start in range(0, len(boxes), BLOCK)]
        for rows in parts:
            feats, bias = embeddings[rows, :-1].double(), embeddings[rows, -1:].double()
            square += feats.T @ feats
            products += feats.T @ (boxes.id_logits[rows].double() - bias / self.temperature)
        weights = (
            torch.linalg.pinv(square, rtol=1e-8, hermitian=True) @ products
        )  # [D, K] over temperature
        # x - origin = x + b * pinv(W^T) 1, with the bias of the box
        shift = torch.linalg.pinv(weights.T, rtol=1e-6).sum(dim=1) / self.temperature
        covariance = torch.zeros_like(square)
        for rows in parts:
            feats = _centered(embeddings[rows].double(), shift)
            covariance += feats.T @ feats
        rest = torch.linalg.eigh(covariance).eigenvectors[:, : size - self._dim(size)]
        state = {"shift": shift, "rest": rest, "alpha": torch.tensor(1.0, dtype=torch.float64)}
        best = boxes.id_logits.double().amax(dim=1)
        lengths = torch.cat([_residual(state, embeddings[rows].double()) for rows in parts])
        if self.match == "mean":
            alpha = best.mean() / lengths.mean().clamp(min=1e-12)
        else:
            alpha = best.std(correction=0) / lengths.std(correction=0).clamp(min=1e-12)
        return state | {"alpha": alpha}

    def _dim(self, size: int) -> int:
        rule = 1000 if size >= 2048 else 512 if size >= 768 else size // 2
        dim = rule if self.dim is None else self.dim
        if dim >= size:
            raise ValueError(
                f"score '{self.name}': dim must be below the {size} channels of an embedding, got "
                f"{dim}."
            )
        return dim

    def _raw(self, state: State, ids: Tensor, embeddings: Tensor, images: Tensor | None) -> Tensor:
        length = in_blocks(embeddings, lambda part: _residual(state, part))
        return ids.logsumexp(dim=1) - state["alpha"] * length


def _centered(embeddings: Tensor, shift: Tensor) -> Tensor:
    """Region embeddings ``[n, D]`` about the head's origin."""
    return embeddings[:, :-1] + embeddings[:, -1:] * shift


def _residual(state: State, embeddings: Tensor) -> Tensor:
    """Length ``[n]`` outside the principal subspace."""
    return (_centered(embeddings, state["shift"]) @ state["rest"]).norm(dim=1)
