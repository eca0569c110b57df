"""TANL: the negatives that the test images activate (CVPR 2026).

Written after the method as its released code runs it; there are no reference vectors for it.
Shape letters: B images, K ID labels, P labels of the pool, Q images of a queue, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from negas.embeddings import fingerprint
from negas.embeddings.encoders import Features, unit_features
from negas.options import option

from .method import CLIP_SCALE, Inputs, Method, OnlineOptions
from .online import OnlineBatch, OnlineScorer


def noise_images(size: int = 224, per_kind: int = 3, seed: int = 0) -> list:
    """Square RGB noise of five kinds (normal, uniform, Poisson, gamma, salt and pepper) for TANL.

    CHOICE: 8-bit images through the encoder's own preprocessing; the authors feed raw noise.

    Returns:
        ``5 * per_kind`` PIL images.
    """
    from PIL import Image

    rng, shape = np.random.default_rng(seed), (per_kind, size, size, 3)
    kinds = [
        rng.normal(0.5, 0.25, shape),
        rng.uniform(0, 1, shape),
        rng.poisson(4, shape) / 8,
        rng.gamma(2, 0.2, shape),
        rng.integers(0, 2, shape).astype(np.float64),
    ]
    pixels = (np.concatenate(kinds).clip(0, 1) * 255).astype(np.uint8)
    return [Image.fromarray(image) for image in pixels]


def least_variance_threshold(scores: np.ndarray) -> float:
    """The t of 0, 0.01, ..., 0.99 that best splits scores: least sum of squares within the halves.

    The middle one of equals. Scores [N] in [0, 1].
    """
    scores = np.sort(np.asarray(scores, dtype=np.float64))
    grid = np.arange(100) / 100
    below = np.searchsorted(scores, grid, side="left")
    sums = np.concatenate([[0.0], scores.cumsum()])
    squares = np.concatenate([[0.0], (scores**2).cumsum()])

    def within(count: np.ndarray, total: np.ndarray, square: np.ndarray) -> np.ndarray:
        return square - total**2 / np.maximum(count, 1)

    spread = within(below, sums[below], squares[below]) + within(
        len(scores) - below, sums[-1] - sums[below], squares[-1] - squares[below]
    )
    best = np.flatnonzero(spread <= spread.min() + 1e-12)
    return float(grid[best[len(best) // 2]])


@dataclass(frozen=True)
class TanlOptions(OnlineOptions):
    """Options of TANL.

    CHOICE: half of a pool of fewer than 2000 labels is used (the authors' has 69,554 of which they
    use 1000), and all of them are scored at once if these are fewer than the step.
    """

    num: int | None = option(
        None, help="negatives in use; default: 1000, or half of a smaller pool", ge=1
    )
    step: int | None = option(
        None, help="between the sets that are averaged, 0: num at once; default: 2, at most num",
        ge=0,
    )  # fmt: skip
    queue: int = option(300, help="most images of a queue", ge=1)
    gap: float = option(0.5, help="how clear an image must be, as in AdaNeg", ge=0, le=1)
    score_queue: int = option(20_000, help="scores that the split looks at", ge=1)

    def for_pool(self, pool: int) -> TanlOptions:
        """With the numbers that follow from the size of the pool.

        Raises:
            ValueError: the pool is too small for them.
        """
        num = min(1000, max(1, pool // 2)) if self.num is None else self.num
        step = min(2, num) if self.step is None else self.step
        if num > pool:
            raise ValueError(f"tanl: num must be in 1..{pool}, the size of the pool, got {num}.")
        if step > num:
            raise ValueError(f"tanl: step must be in 0..num={num}, got {step}.")
        return replace(self, num=num, step=step)


class TANL(OnlineScorer):
    """NegLabel's score against the ``num`` labels of a pool that OOD-like images activate most.

    An image's activations are ``softmax(scale * cosine)`` over ID labels and pool. A label's rank
    is its mean activation over OOD-like minus that over ID-like images. Two queues hold such
    images; they start with noise images and with the texts of the ID labels. Per batch: rank by
    the queues and score; split the scores so far in two (:func:`least_variance_threshold`); rank by
    the batch's own clearly ID and clearly OOD images (by a queue where there is none) and score
    again; queue these images.

    The score is the mean over the first ``step``, ``2 * step``, ..., ``num`` ranked negatives, so
    that the first weigh most. ``OnlineBatch.initial`` is the score by the queues.

    Args:
        id_feats: [K, D].
        neg_feats: [P, D], the pool: all candidates, not only the farthest.
        noise_feats: [n, D] image features of :func:`noise_images`.
        scale: multiple of the cosine.
        **options: see :class:`TanlOptions`; ``seed`` is that of the order in which the first
            entries of the queues leave.
    """

    name = "tanl"
    Options = TanlOptions
    options: TanlOptions

    def __init__(
        self,
        id_feats: Features,
        neg_feats: Features,
        noise_feats: Features,
        scale: float = CLIP_SCALE,
        **options: Any,
    ) -> None:
        super().__init__(id_feats, neg_feats, scale, **options)
        self.options = self.options.for_pool(len(self.neg_feats))
        noise = unit_features("noise_feats", noise_feats, self.id_feats.shape[1])
        self._noise = noise.to(self.id_feats.device)
        self.reset()

    def reset(self) -> None:  # noqa: D102
        generator = torch.Generator().manual_seed(self.options.seed)
        self._queues = {}
        for side, feats in (("id", self.id_feats), ("ood", self._noise)):
            order = torch.randperm(len(feats), generator=generator).to(feats.device)
            self._queues[side] = feats[order][-self.options.queue :]
        self._means = {side: self._activations(q).mean(dim=0) for side, q in self._queues.items()}
        self._scores = torch.zeros(0, dtype=torch.float64)

    def _update(self, images: Tensor, sources: Sequence[Any] | None) -> OnlineBatch:
        id_logits = self.scale * images @ self.id_feats.T
        neg_logits = self.scale * images @ self.neg_feats.T
        provisional = self._rank_and_score(id_logits, neg_logits, self._means)
        kept = torch.cat([self._scores, provisional.cpu()])[-self.options.score_queue :]
        self._scores = kept
        threshold, gap = least_variance_threshold(kept.numpy()), self.options.gap
        gates = {
            "id": provisional > threshold + gap * (1 - threshold),
            "ood": provisional < threshold - gap * threshold,
        }
        shares = torch.cat([id_logits, neg_logits], dim=1).softmax(dim=1)[:, len(self.id_feats) :]
        means = {
            side: shares[gate].mean(dim=0) if bool(gate.any()) else self._means[side]
            for side, gate in gates.items()
        }
        scores = self._rank_and_score(id_logits, neg_logits, means)
        for side, gate in gates.items():
            if bool(gate.any()):
                queue = torch.cat([self._queues[side], images[gate]])[-self.options.queue :]
                self._queues[side] = queue
                self._means[side] = self._activations(queue).mean(dim=0)
        log = {"threshold": threshold, **{f"gated_{s}": int(g.sum()) for s, g in gates.items()}}
        return OnlineBatch(scores, provisional, id_logits.argmax(dim=1), log)

    def _activations(self, feats: Tensor) -> Tensor:
        """[Q, P] shares of the pool's labels in the softmax over ID labels and pool."""
        texts = torch.cat([self.id_feats, self.neg_feats])
        return (self.scale * feats @ texts.T).softmax(dim=1)[:, len(self.id_feats) :]

    def _rank_and_score(
        self, id_logits: Tensor, neg_logits: Tensor, means: dict[str, Tensor]
    ) -> Tensor:
        """[B] float64 of logits [B, K] and [B, P]; ties go to the label that comes first."""
        num, step = self.options.num, self.options.step
        order = (means["ood"] - means["id"]).argsort(descending=True, stable=True)[:num]
        negatives = neg_logits[:, order].double()
        # log of the running sums: one pass gives the score of every prefix
        sums = negatives.logcumsumexp(dim=1)
        sums = sums[:, step - 1 :: step] if step else sums[:, -1:]
        return (id_logits.double().logsumexp(dim=1, keepdim=True) - sums).sigmoid().mean(dim=1)

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        queues = {f"queue_{side}": feats.clone() for side, feats in self._queues.items()}
        return {**queues, "scores": self._scores.clone()}, {}

    def _restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        self._queues = {side: tensors[f"queue_{side}"] for side in ("id", "ood")}
        self._means = {side: self._activations(q).mean(dim=0) for side, q in self._queues.items()}
        self._scores = tensors["scores"].cpu()

    def _identity(self) -> dict[str, Any]:
        return {**super()._identity(), "noise": fingerprint(self._noise)}


def _build(inputs: Inputs, options: TanlOptions) -> TANL:
    return TANL(inputs.id_feats, inputs.neg_feats, inputs.noise, **vars(options))


METHOD = Method("tanl", "TANL", TanlOptions, _build, frozenset({"negatives", "noise"}), online=True)
