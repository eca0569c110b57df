"""What every score shares: input checks, numpy <-> torch, temperature.

Shape letters: ... any leading axes (boxes, images, queries), K ID labels, M negative labels,
E embedding size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
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
        needs_negatives: whether it reads negative logits.
        needs_embeddings: whether it reads the embedding of a box, too (:class:`EmbeddingScore`).
        needs_logits: whether the logit of the best ID label is not enough.
        needs_fit: whether it is fitted on ID boxes first (:mod:`negas.scores.fitted`).
    """

    temperature: float = 1.0

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    needs_negatives: ClassVar[bool] = False
    needs_embeddings: ClassVar[bool] = False
    needs_logits: ClassVar[bool] = True
    needs_fit: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"score '{self.name}': {each.name} must be finite, got {value}.")
        if not self.temperature > 0:
            raise ValueError(
                f"score '{self.name}': temperature must be a positive number, "
                f"got {self.temperature!r}."
            )

    def __call__(
        self,
        id_logits: ArrayLike,
        neg_logits: ArrayLike | None = None,
        embeddings: ArrayLike | None = None,
    ) -> ArrayLike:
        """Score every row.

        Args:
            id_logits: ``[..., K]``.
            neg_logits: ``[..., M]``, for scores that read them.
            embeddings: ``[..., E]``, for scores that read them.

        Raises:
            ValueError: missing negatives or embeddings, wrong shapes, NaN or infinite values.
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
            negatives = self._beside(ids, "neg_logits", "M", neg_logits) / self.temperature
        more = {}
        if self.needs_embeddings:
            if embeddings is None:
                raise ValueError(
                    f"score '{self.name}' needs embeddings [..., E] and got None: test with "
                    f"model.test_cfg.keep_embeddings=True, or choose a score that reads logits."
                )
            more["embeddings"] = self._beside(ids, "embeddings", "E", embeddings)
        scores = self.compute(ids / self.temperature, negatives, **more)
        return scores if isinstance(id_logits, Tensor) else scores.numpy()

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        """Score checked float64 tensors whose logits are already divided by the temperature."""
        raise NotImplementedError

    def traced(self, num_negatives: int | None) -> Score:
        """The score as exporters can follow it: :meth:`compute` without chance and without checks.

        Args:
            num_negatives: M; ``None``: any number.

        Raises:
            ValueError: there is no such form.
        """
        return self

    def _beside(self, ids: Tensor, argument: str, letter: str, values: ArrayLike) -> Tensor:
        """Checked values of the same rows, on the same device."""
        checked = self._prepare(argument, values)
        if checked.shape[:-1] != ids.shape[:-1]:
            raise ValueError(
                f"score '{self.name}': id_logits [..., K] and {argument} [..., {letter}] must "
                f"agree in all axes but the last, got {tuple(ids.shape)} and "
                f"{tuple(checked.shape)}."
            )
        return checked.to(ids.device)

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
        # a sum, which is fast, is finite only if all are; it may overflow where they are, too
        if not (torch.isfinite(values.sum()) or torch.isfinite(values).all()):
            raise ValueError(
                f"score '{self.name}': {argument} holds NaN or infinite values; logits must be "
                f"finite (clamp probabilities away from 0 and 1 before taking their logit)."
            )
        return values


@dataclass(frozen=True)
class NegativeScore(Score):
    """A score that also reads the negative logits."""

    needs_negatives: ClassVar[bool] = True


@dataclass(frozen=True)
class EmbeddingScore(Score):
    """A score that also reads the embedding of a box.

    Its ``compute(ids, negatives, embeddings)`` gets them as float64 ``[..., E]``: the logit of the
    box against any text embedding w (of length E - 1) is ``embeddings[..., :-1] @ w +
    embeddings[..., -1]``, see :class:`negas.records.BoxRecords`.
    """

    needs_embeddings: ClassVar[bool] = True

    def traced(self, num_negatives: int | None) -> Score:
        """Refused; see :meth:`Score.traced`."""
        raise ValueError(
            f"score '{self.name}' reads the embedding of a box and cannot be exported; choose one "
            "that reads logits, such as 'negs'"
        )

    def compute(self, ids: Tensor, negatives: Tensor | None, embeddings: Tensor) -> Tensor:
        """As :meth:`Score.compute`, with the embeddings of the same rows."""
        raise NotImplementedError
