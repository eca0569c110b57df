"""AdaNeg: proxies of labels that follow the test images (Zhang & Zhang, NeurIPS 2024).

Shape letters: B images, K ID labels, M negative labels, C labels of both kinds, R labels with
images in memory, L slots, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from negas.embeddings.encoders import Features
from negas.options import option
from negas.scores import NegLabel

from .method import CLIP_SCALE, Inputs, Method, OnlineOptions
from .online import OnlineBatch, OnlineScorer


class SlotMemory:
    """Up to L image features for each of C labels; confident images push out doubtful ones.

    Only labels that hold an image take a row, so 11,000 labels cost nothing until they are used.

    Attributes:
        row_of: [C] int64, the row of a label, -1 without one.
        filled: [R] int64, slots in use.
    """

    def __init__(self, labels: int, slots: int, channels: int, device: torch.device) -> None:
        self.row_of = torch.full((labels,), -1, dtype=torch.int64)
        self.slots = slots
        self._feats = torch.zeros(0, slots, channels, device=device)
        self._entropy = torch.zeros(0, slots, dtype=torch.float64)
        self.filled = torch.zeros(0, dtype=torch.int64)

    @property
    def labels(self) -> Tensor:
        """[R] the labels that have a row, in the order of their rows."""
        used = (self.row_of >= 0).nonzero()[:, 0]
        return used[self.row_of[used].argsort()]

    @property
    def feats(self) -> Tensor:
        """[R, L, D], zero where a slot is empty."""
        return self._feats[: len(self.filled)]

    def counts(self) -> Tensor:
        """[C] number of images of every label."""
        counts = torch.zeros(len(self.row_of), dtype=torch.int64)
        counts[self.labels] = self.filled
        return counts

    def offer(self, label: int, feature: Tensor, entropy: float) -> bool:
        """Store a feature [D]; say whether it was taken.

        A full label takes an image of less entropy than one that it holds, in the place of the
        most doubtful one (of equals, the last).
        """
        if self.slots == 0:
            return False
        row = int(self.row_of[label])
        if row < 0:
            row = self._new_row(label)
        slot = int(self.filled[row])
        if slot == self.slots:
            values = self._entropy[row]
            worst = values.max()
            if not entropy < worst:
                return False
            slot = int((values == worst).nonzero()[-1])
        else:
            self.filled[row] += 1
        self._feats[row, slot] = feature
        self._entropy[row, slot] = entropy
        return True

    def _new_row(self, label: int) -> int:
        row = len(self.filled)
        if row == len(self._feats):  # double, so that growing costs little in total
            extra = max(16, row)
            self._feats = torch.cat(
                [self._feats, self._feats.new_zeros(extra, *self._feats.shape[1:])]
            )
            self._entropy = torch.cat([self._entropy, self._entropy.new_zeros(extra, self.slots)])
        self.row_of[label] = row
        self.filled = torch.cat([self.filled, self.filled.new_zeros(1)])
        return row

    def tensors(self) -> dict[str, Tensor]:
        """What :meth:`restore` needs."""
        entropy = self._entropy[: len(self.filled)]
        return {
            "row_of": self.row_of.clone(),
            "filled": self.filled.clone(),
            "feats": self.feats.clone(),
            "entropy": entropy.clone(),
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what :meth:`tensors` gave."""
        self.row_of, self.filled = tensors["row_of"].cpu(), tensors["filled"].cpu()
        self._feats = tensors["feats"].to(self._feats.device)
        self._entropy = tensors["entropy"].cpu()


@dataclass(frozen=True)
class AdaNegOptions(OnlineOptions):
    """Options of AdaNeg.

    The defaults are those of the released ImageNet setting as its code takes them: its beta of 5.5
    is cut to 5, and one of its 10 slots for images is never used.
    """

    proxies: Literal["task", "sample"] = option(
        "task",
        help="task weighs text and images equally; sample by exp(-beta (1 - cosine to the image))",
    )
    threshold: float = option(0.5, help="centre of the scores S0", ge=0, le=1)
    gap: float = option(
        0.5,
        help="images with S0 > threshold + gap (1 - threshold) or S0 < threshold - gap threshold "
        "are stored",
        ge=0,
        le=1,
    )
    images_per_label: int = option(9, help="slots of a label besides its text; 0: none", ge=0)
    static_weight: float = option(0.1, help="of S0", ge=0)
    beta: float = option(5.0, help="sharpness of sample", ge=0)
    groups: int = option(5, help="of negatives, as in NegLabel", ge=1)


class AdaNeg(OnlineScorer):
    """``S1 + static_weight * S0``, in (0, 1 + static_weight).

    S0 is NegLabel's score. Images that it finds clearly ID (clearly OOD) are stored with their
    best ID (negative) label; S1 is the same score with each label's text replaced by the mean of
    its text and its images. A batch is taken in before it is scored, so the batch size matters.

    Args:
        id_feats: [K, D].
        neg_feats: [M, D].
        scale: multiple of the cosine.
        **options: see :class:`AdaNegOptions`; ``seed`` is that of the groups' permutation.
    """

    name = "adaneg"
    Options = AdaNegOptions
    options: AdaNegOptions

    def __init__(
        self, id_feats: Features, neg_feats: Features, scale: float = CLIP_SCALE, **options: Any
    ) -> None:
        super().__init__(id_feats, neg_feats, scale, **options)
        self._score = NegLabel(groups=self.options.groups, generator=self.options.seed)
        self._score.group_order(len(self.neg_feats))  # too many groups: say so before the stream
        self._texts = torch.cat([self.id_feats, self.neg_feats])
        self.reset()

    def reset(self) -> None:  # noqa: D102
        labels, channels = self._texts.shape
        slots = self.options.images_per_label
        self.memory = SlotMemory(labels, slots, channels, self._texts.device)

    def _update(self, images: Tensor, sources: Sequence[Any] | None) -> OnlineBatch:
        count, weight = len(self.id_feats), self.options.static_weight
        static = self.scale * images @ self._texts.T
        initial = self._score(static[:, :count], static[:, count:])
        stored = self._store(images, static, initial)
        adaptive = self._adaptive_logits(images, static)
        scores = self._score(adaptive[:, :count], adaptive[:, count:]) + weight * initial
        share = static.double().softmax(dim=1) + weight * adaptive.double().softmax(dim=1)
        return OnlineBatch(scores, initial, share[:, :count].argmax(dim=1), stored)

    def _store(self, images: Tensor, static: Tensor, initial: Tensor) -> dict[str, int]:
        """Offer the clearly ID images to the memory, then the clearly OOD ones."""
        threshold, gap = self.options.threshold, self.options.gap
        count = len(self.id_feats)
        sides = {
            "id": (initial > threshold + gap * (1 - threshold), 0, static[:, :count]),
            "ood": (initial < threshold - gap * threshold, count, static[:, count:]),
        }
        log = {}
        for side, (gate, offset, logits) in sides.items():
            chosen = gate.nonzero()[:, 0]
            logits = logits[chosen].double()
            labels = (logits.argmax(dim=1) + offset).tolist()
            log_share = logits.log_softmax(dim=1)
            entropies = -(log_share.exp() * log_share).sum(dim=1)
            taken = [
                self.memory.offer(label, images[i], entropy)
                for i, label, entropy in zip(
                    chosen.tolist(), labels, entropies.tolist(), strict=True
                )
            ]
            log |= {f"gated_{side}": len(taken), f"stored_{side}": sum(taken)}
        return log

    def _adaptive_logits(self, images: Tensor, static: Tensor) -> Tensor:
        """[B, K + M] logits against the proxies; labels without images keep their text's."""
        labels = self.memory.labels.to(images.device)
        if len(labels) == 0:
            return static
        slots = torch.cat([self._texts[labels, None], self.memory.feats], dim=1)
        logits = static.clone()
        if self.options.proxies == "task":
            proxies = F.normalize(slots.sum(dim=1), dim=-1)
            logits[:, labels] = self.scale * images @ proxies.T
            return logits
        # sample: the proxy of image b is sum_l w_bl slot_l. Its length follows from the slots'
        # inner products, so that no [B, R, L, D] tensor is needed; empty slots are zero vectors
        cosines = torch.einsum("bd,rld->brl", images, slots)
        weights = torch.exp(-self.options.beta * (1 - cosines))
        inner = torch.einsum("rld,rmd->rlm", slots, slots)
        length = torch.einsum("brl,rlm,brm->br", weights, inner, weights).clamp_min(1e-12).sqrt()
        logits[:, labels] = self.scale * (weights * cosines).sum(dim=-1) / length
        return logits

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.memory.tensors(), {}

    def _restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        self.memory.restore(tensors)


def _build(inputs: Inputs, options: AdaNegOptions) -> AdaNeg:
    return AdaNeg(inputs.id_feats, inputs.neg_feats, **vars(options))


METHOD = Method("adaneg", "AdaNeg", AdaNegOptions, _build, frozenset({"negatives"}), online=True)
