"""InterNeg: negatives inverted from test images, in the distances of both modalities (CVPR 2026).

Shape letters: B images, K ID labels, M negative labels, E extra negatives in memory, V embeddings,
D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from negas.image_level.checks import Features, unit_features
from negas.image_level.inversion import Inverted
from negas.image_level.online import OnlineBatch, OnlineScorer
from negas.image_level.scorers import CLIP_SCALE
from negas.labels.interneg import base_distances, deviations
from negas.scores import NegLabel
from negas.text import fingerprint


class InterNeg(OnlineScorer):
    """NegLabel's score with the M negatives and up to E texts inverted from doubtful images.

    An image with a score of at most ``threshold`` is inverted to a text embedding v. With the
    image proxy p_k of each ID class and its base distance ``d_k = 1 - cos(t_k, p_k)``, v is kept
    if ``1 - cos(v, p_k) > d_k`` for all k; of the kept ones the ``max_extra`` with the largest
    ``Dev(v) = sum_k (1 - cos(v, p_k) - d_k)`` stay. The image is then scored again.

    ``update="image"`` is the paper: one image after another, so the batch size does not matter.
    ``update="batch"`` is the authors' code: the memory is updated once with all doubtful images of
    a batch, and then the whole batch is scored again if there was one. In batches of one image the
    two agree, but for a score that equals the threshold.

    The paper states a temperature of 1, its code does not use it; with it all scores would be
    near K / (K + M). Here ``scale`` is CLIP's 100.

    Args:
        id_feats: [K, D].
        neg_feats: [M, D], say of ``negas.labels.interneg.select_interneg``.
        image_proxies: [K, D] of ``negas.labels.interneg.image_proxies``.
        invert: ``image_feats [V, D] -> text feats [V, D]`` (or :class:`Inverted`), say a
            ``ModalityInversion``.
        scale: multiple of the cosine.
        threshold: scores up to it are doubtful; in [0, 1].
        max_extra: E, most texts in memory.
        groups: of all negatives, 1 in the paper; the code uses 5 for far sets.
        update: see above.
        seed: of the groups' permutation.
    """

    name = "interneg"

    def __init__(
        self,
        id_feats: Features,
        neg_feats: Features,
        image_proxies: Features,
        invert: Callable[[Tensor], Tensor | Inverted],
        scale: float = CLIP_SCALE,
        *,
        threshold: float = 0.35,
        max_extra: int = 2000,
        groups: int = 1,
        update: Literal["image", "batch"] = "image",
        seed: int = 0,
    ) -> None:
        super().__init__(id_feats, neg_feats, scale)
        width = self.id_feats.shape[1]
        self.proxies = unit_features("image_proxies", image_proxies, width).cpu()
        self.base_distance = base_distances(self.id_feats, self.proxies)
        self._require("threshold", threshold, 0 <= threshold <= 1, "in [0, 1]")
        self._require("max_extra", max_extra, max_extra >= 0, "at least 0")
        self._require("update", update, update in ("image", "batch"), "'image' or 'batch'")
        self._options = dict(
            scale=self.scale,
            threshold=threshold,
            max_extra=max_extra,
            groups=groups,
            update=update,
            seed=seed,
        )
        self._invert = invert
        self._score = NegLabel(groups=groups, generator=seed)
        self._score.group_order(len(self.neg_feats))  # too many groups: say so before the stream
        self.reset()

    def reset(self) -> None:  # noqa: D102
        #: [E, D] extra negatives, largest deviation first; [E] deviations and stream positions
        self.extra_feats = self.neg_feats.new_zeros(0, self.neg_feats.shape[1])
        self.extra_deviation = torch.zeros(0, dtype=torch.float64)
        self.extra_source = torch.zeros(0, dtype=torch.int64)
        self.seen = self.accepted = 0

    def settings(self) -> dict[str, Any]:  # noqa: D102
        inversion = getattr(self._invert, "options", None)
        return {**self._options, **({} if inversion is None else {"inversion": inversion})}

    def _update(self, images: Tensor, sources: Sequence[Any] | None) -> OnlineBatch:
        logits = self.scale * images @ torch.cat([self.id_feats, self.neg_feats]).T
        by_image = self._options["update"] == "image"
        before = self.accepted
        initial, scores, doubtful = (self._by_image if by_image else self._by_batch)(images, logits)
        self.seen += len(images)
        log = {
            "doubtful": int(doubtful.sum()),
            "accepted": self.accepted - before,
            "in_memory": len(self.extra_feats),
        }
        return OnlineBatch(scores, initial, logits[:, : len(self.id_feats)].argmax(dim=1), log)

    def _by_image(self, images: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        threshold = self._options["threshold"]
        initial = torch.empty(len(images), dtype=torch.float64, device=images.device)
        scores = initial.clone()
        # one call for all that the present memory finds doubtful; the others as they turn up
        first = (self._scores(images, logits) <= threshold).nonzero()[:, 0]
        inverted = dict(zip(first.tolist(), self._texts(images[first]), strict=True))
        for i in range(len(images)):
            row = slice(i, i + 1)
            initial[row] = scores[row] = self._scores(images[row], logits[row])
            if initial[i] <= threshold:
                if i not in inverted:
                    inverted[i] = self._texts(images[row])[0]
                self._insert(inverted[i][None], torch.tensor([self.seen + i]))
                scores[row] = self._scores(images[row], logits[row])
        return initial, scores, initial <= threshold

    def _by_batch(self, images: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        initial = self._scores(images, logits)
        doubtful = initial < self._options["threshold"]
        if not bool(doubtful.any()):
            return initial, initial, doubtful
        chosen = doubtful.nonzero()[:, 0]
        self._insert(self._texts(images[chosen]), self.seen + chosen.cpu())
        return initial, self._scores(images, logits), doubtful

    def _scores(self, images: Tensor, logits: Tensor) -> Tensor:
        """[B] of logits [B, K + M] together with the extra negatives."""
        extra = self.scale * images @ self.extra_feats.T
        count = len(self.id_feats)
        return self._score(logits[:, :count], torch.cat([logits[:, count:], extra], dim=1))

    def _texts(self, images: Tensor) -> Tensor:
        if len(images) == 0:
            return images
        inverted = self._invert(images)
        feats = inverted.feats if isinstance(inverted, Inverted) else inverted
        feats = unit_features("inverted features", feats, images.shape[1]).to(images.device)
        if len(feats) != len(images):
            raise ValueError(
                f"{self.name}: invert returned {len(feats)} rows for {len(images)} images; it must "
                f"return one text feature per image."
            )
        return feats

    def _insert(self, feats: Tensor, sources: Tensor) -> None:
        """Keep those of [V, D] that are farther from every proxy than its own text is."""
        passes, deviation = map(
            torch.from_numpy, deviations(feats, self.proxies, self.base_distance)
        )
        self.accepted += int(passes.sum())
        deviation = torch.cat([self.extra_deviation, deviation[passes]])
        # stable: a new text comes behind an older one of equal deviation
        order = deviation.argsort(descending=True, stable=True)[: self._options["max_extra"]]
        feats = torch.cat([self.extra_feats, feats[passes.to(feats.device)]])
        self.extra_feats = feats[order.to(feats.device)]
        self.extra_deviation = deviation[order]
        self.extra_source = torch.cat([self.extra_source, sources[passes]])[order]

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {
            "extra_feats": self.extra_feats.clone(),
            "extra_deviation": self.extra_deviation.clone(),
            "extra_source": self.extra_source.clone(),
        }
        return tensors, {"seen": self.seen, "accepted": self.accepted}

    def _restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        self.extra_feats = tensors["extra_feats"]
        self.extra_deviation = tensors["extra_deviation"].cpu()
        self.extra_source = tensors["extra_source"].cpu()
        self.seen, self.accepted = values["seen"], values["accepted"]

    def _identity(self) -> dict[str, Any]:
        return {**super()._identity(), "proxies": fingerprint(self.proxies)}
