"""SIREN's scores: how near a box lies to a class, or to ID boxes, on a sphere learned for that.

Du et al., "SIREN: Shaping Representations for Detecting Out-of-Distribution Objects", NeurIPS 2022.
CHOICE: SIREN trains its head beside the detector. Here the detector is frozen, so that nothing but
the head depends on the loss: it is trained on the detector's cells by a ``siren`` config, or else
on the recorded embeddings of the fit set, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..registry import SCORES
from .base import FitBoxes, FittedScore, State
from .mahalanobis import in_blocks
from .neighbors import largest_products, last_found
from .siren_head import SIRENHead, class_sums, project, vmf_logits

BATCH = 256


@dataclass(frozen=True)
class Siren(FittedScore):
    """A head of two layers on a box's embedding, trained so that classes are vMF-distributed.

    With the head of a detector that a ``siren`` config trained, ``dim``, ``epochs`` and ``lr`` are
    that training's, and only what the score keeps of the fit set is fitted.

    Args:
        dim: of the sphere; 64 as published.
        epochs: passes over the fit boxes.
        lr: of AdamW, falling to 0 by a cosine.
    """

    dim: int = 64
    epochs: int = 30
    lr: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._whole("dim", 2)
        self._whole("epochs", 1)
        if not self.lr > 0:
            raise ValueError(f"score '{self.name}': lr must be over 0, got {self.lr!r}.")

    def _fit(self, boxes: FitBoxes) -> State:
        state = dict(boxes.head) if boxes.head else self._trained(boxes)
        return state | self._bank(project(state, boxes.feats))

    def _trained(self, boxes: FitBoxes) -> State:
        """A head of one's own, trained on the fit boxes."""
        turn = torch.Generator().manual_seed(self.seed)
        classes, labels = boxes.labels.unique(return_inverse=True)
        feats = boxes.feats.float()
        head = SIRENHead(feats.shape[1], len(classes), self.dim, turn)
        head.start(feats.norm(dim=1).mean())
        with torch.no_grad():
            sums = class_sums(head.project(feats), labels, len(classes))
            head.directions.copy_(F.normalize(sums, dim=1))
        steps = self.epochs * -(-len(feats) // BATCH)
        optimizer = torch.optim.AdamW(head.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        with torch.enable_grad():
            for _ in range(self.epochs):
                for rows in torch.randperm(len(feats), generator=turn).split(BATCH):
                    units = head.project(feats[rows])
                    optimizer.zero_grad()
                    head.loss(units, labels[rows]).backward()
                    optimizer.step()
                    schedule.step()
                    head.move(class_sums(units.detach(), labels[rows], len(classes)))
        return head.state()

    def _bank(self, units: Tensor) -> State:
        """What is kept of the fit boxes ``[N, dim]`` themselves."""
        return {}


@SCORES.register("siren_vmf")
@dataclass(frozen=True)
class SirenVMF(Siren):
    """``max_c log C_D(kappa_c) + kappa_c mu_c . x`` on SIREN's sphere: SIREN-vMF."""

    title: ClassVar[str] = "SIREN-vMF"

    def _raw(self, state: State, ids: Tensor, embeddings: Tensor, images: Tensor | None) -> Tensor:
        learned = [state[key] for key in ("directions", "kappas", "constants")]
        return in_blocks(
            embeddings[:, :-1],
            lambda part: vmf_logits(project(state, part), *learned).amax(dim=1).double(),
        )


@SCORES.register("siren_knn")
@dataclass(frozen=True)
class SirenKNN(Siren):
    """``-(1 - cos(x, x_(k)))`` on SIREN's sphere: SIREN-KNN.

    Args:
        k: neighbors, 10 as published.
    """

    title: ClassVar[str] = "SIREN-KNN"

    k: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        self._whole("k", 1)

    def _bank(self, units: Tensor) -> State:
        return {"bank": units.half()}

    def _raw(self, state: State, ids: Tensor, embeddings: Tensor, images: Tensor | None) -> Tensor:
        units = project(state, embeddings[:, :-1])
        return last_found(largest_products(units, state["bank"], self.k).double()) - 1
