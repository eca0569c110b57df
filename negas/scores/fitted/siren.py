"""SIREN: embeddings of its own on a sphere, learned with a von Mises-Fisher loss.

Du et al., "SIREN: Shaping Representations for Detecting Out-of-Distribution Objects", NeurIPS 2022.
CHOICE: SIREN trains its head beside the detector. Here the detector is frozen, so that nothing but
the head depends on the loss, and the head is trained on the recorded embeddings of ID boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..registry import SCORES
from .base import FitBoxes, FittedScore, State
from .mahalanobis import in_blocks
from .neighbors import largest_products, last_found
from .vmf import MAX_KAPPA, log_bessel, log_normalizer

MOMENTUM = 0.95  # of a class's direction, as published
KAPPA = 10.0  # where concentrations start, as published
BATCH = 256


class LogNormalizer(torch.autograd.Function):
    """``log C_D(kappa)`` of each of K concentrations; its slope is ``-I_{D/2} / I_{D/2 - 1}``."""

    @staticmethod
    def forward(ctx: Any, kappas: Tensor, size: int) -> Tensor:
        values = kappas.tolist()
        slopes = [log_bessel(size / 2, k) - log_bessel(size / 2 - 1, k) for k in values]
        ctx.save_for_backward(-kappas.new_tensor(slopes).exp())
        return kappas.new_tensor([log_normalizer(size, k) for k in values])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (slopes,) = ctx.saved_tensors
        return grad * slopes, None


def project(state: State, feats: Tensor) -> Tensor:
    """Region embeddings ``[n, D]`` on SIREN's sphere, ``[n, dim]`` float32 of length 1."""
    hidden = F.relu(F.linear(feats.float() / state["scale"], state["weight1"], state["bias1"]))
    return F.normalize(F.linear(hidden, state["weight2"], state["bias2"]), dim=1)


def vmf_logits(units: Tensor, directions: Tensor, kappas: Tensor, constants: Tensor) -> Tensor:
    """``log C_D(kappa_c) + kappa_c mu_c . x``, ``[n, K]``."""
    return units @ (directions * kappas[:, None]).T + constants


@dataclass(frozen=True)
class Siren(FittedScore):
    """A head of two layers on a box's embedding, trained so that classes are vMF-distributed.

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
        turn = torch.Generator().manual_seed(self.seed)
        classes, labels = boxes.labels.unique(return_inverse=True)
        feats = boxes.feats.float()
        scale = feats.norm(dim=1).mean().clamp(min=1e-12) / feats.shape[1] ** 0.5
        size = feats.shape[1]
        head = dict(
            weight1=torch.randn(size, size, generator=turn) * (2 / size) ** 0.5,
            bias1=torch.zeros(size),
            weight2=torch.randn(self.dim, size, generator=turn) * size**-0.5,
            bias2=torch.zeros(self.dim),
        )
        log_kappa = torch.full((len(classes),), KAPPA).log()
        trained = [value.requires_grad_() for value in (*head.values(), log_kappa)]
        state = {**head, "scale": scale}
        with torch.no_grad():
            directions = _means(project(state, feats), labels, len(classes))
        steps = self.epochs * -(-len(feats) // BATCH)
        optimizer = torch.optim.AdamW(trained, lr=self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        with torch.enable_grad():
            for _ in range(self.epochs):
                for rows in torch.randperm(len(feats), generator=turn).split(BATCH):
                    units = project(state, feats[rows])
                    kappas = log_kappa.exp().clamp(max=MAX_KAPPA)
                    constants = LogNormalizer.apply(kappas, self.dim)
                    logits = vmf_logits(units, directions, kappas, constants)
                    optimizer.zero_grad()
                    F.cross_entropy(logits, labels[rows]).backward()
                    optimizer.step()
                    schedule.step()
                    directions = _moved(directions, units.detach(), labels[rows])
        kappas = log_kappa.detach().exp().clamp(max=MAX_KAPPA)
        state = {key: value.detach() for key, value in state.items()}
        state |= dict(directions=directions, kappas=kappas)
        state["constants"] = LogNormalizer.apply(kappas, self.dim)
        return state | self._bank(project(state, feats))

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


def _means(units: Tensor, labels: Tensor, count: int) -> Tensor:
    """Mean direction of each of ``count`` classes, ``[count, dim]``."""
    return F.normalize(units.new_zeros(count, units.shape[1]).index_add_(0, labels, units), dim=1)


def _moved(directions: Tensor, units: Tensor, labels: Tensor) -> Tensor:
    """Directions, moved towards the boxes of a batch where it has some of the class."""
    batch = _means(units, labels, len(directions))
    there = torch.bincount(labels, minlength=len(directions)) > 0
    moved = F.normalize(MOMENTUM * directions + (1 - MOMENTUM) * batch, dim=1)
    return torch.where(there[:, None], moved, directions)
