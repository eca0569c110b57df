"""What every score shares: input checks, numpy <-> torch, temperature.

Shape letters: ... any leading axes (boxes, images, queries), K ID labels, M negative labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

ArrayLike = TypeVar("ArrayLike", Tensor, np.ndarray)


@dataclass(frozen=True)
class Score:
    """A callable ``(id_logits [..., K], neg_logits [..., M] | None) -> scores [...]``.

    Larger = more in-distribution (known). Torch tensors give a tensor on the same device, numpy
    arrays give an array; both in float64, because a float32 probability is 1.0 from logit 17 on
    and its ties fall exactly where the 95% threshold is.

    Args:
        temperature: every logit is divided by it, in the units of the logits that are handed in
            (head logits of a detector, ``scale * cosine`` of an image encoder, or plain cosines).

    Attributes:
        name: under which it is registered.
        title: what tables and plots call it.
    """

    temperature: float = 1.0

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    needs_negatives: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(
                f"score '{self.name}': temperature must be a positive number, "
                f"got {self.temperature!r}."
            )

    def __call__(self, id_logits: ArrayLike, neg_logits: ArrayLike | None = None) -> ArrayLike:
        """Score every row.

        Raises:
            ValueError: missing negatives, wrong shapes, NaN or infinite logits.
        """
        ids = self._prepare("id_logits", id_logits)
        negatives = None
        if self.needs_negatives:
            if neg_logits is None:
                raise ValueError(
                    f"score '{self.name}' needs neg_logits [..., M] and got None: give the model "
                    f"a negative label bank, or choose a score that works without one, such as "
                    f"'max_logit' or 'energy'."
                )
            negatives = self._prepare("neg_logits", neg_logits)
            if negatives.shape[:-1] != ids.shape[:-1]:
                raise ValueError(
                    f"score '{self.name}': id_logits [..., K] and neg_logits [..., M] must agree "
                    f"in all axes but the last, got {tuple(ids.shape)} and "
                    f"{tuple(negatives.shape)}."
                )
            negatives = negatives.to(ids.device)
        scores = self.compute(ids, negatives)
        return scores if isinstance(id_logits, Tensor) else scores.numpy()

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        """Score checked float64 tensors whose logits are already divided by the temperature."""
        raise NotImplementedError

    def _prepare(self, argument: str, logits: ArrayLike) -> Tensor:
        if not isinstance(logits, Tensor | np.ndarray):
            raise ValueError(
                f"score '{self.name}': {argument} must be a torch tensor or a numpy array, "
                f"got {type(logits).__name__}."
            )
        if logits.ndim == 0 or logits.shape[-1] == 0:
            raise ValueError(
                f"score '{self.name}': the last axis of {argument} must hold one logit per label, "
                f"got the shape {tuple(logits.shape)}."
            )
        if isinstance(logits, np.ndarray):
            logits = torch.from_numpy(np.array(logits, dtype=np.float64))
        values = logits.to(torch.float64)
        if not bool(torch.isfinite(values).all()):
            raise ValueError(
                f"score '{self.name}': {argument} holds NaN or infinite values; logits must be "
                f"finite (clamp probabilities away from 0 and 1 before taking their logit)."
            )
        return values / self.temperature


@dataclass(frozen=True)
class NegativeScore(Score):
    """A score that also reads the negative logits."""

    needs_negatives: ClassVar[bool] = True
