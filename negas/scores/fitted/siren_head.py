"""SIREN's head: box embeddings on a sphere, where each class is von Mises-Fisher distributed.

Du et al., "SIREN: Shaping Representations for Detecting Out-of-Distribution Objects", NeurIPS 2022.

Shapes: n boxes, D channels of a region embedding, K classes, S of the sphere (``dim``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vmf import MAX_KAPPA, log_bessel, log_normalizer

MOMENTUM = 0.95  # of a class's direction, as published
KAPPA = 10.0  # where concentrations start, as published


class LogNormalizer(torch.autograd.Function):
    """``log C_S(kappa)`` of each of K concentrations; its slope is ``-I_{S/2} / I_{S/2 - 1}``."""

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


def project(state: Mapping[str, Tensor], feats: Tensor) -> Tensor:
    """Region embeddings ``[n, D]`` on SIREN's sphere, ``[n, S]`` float32 of length 1."""
    hidden = F.relu(F.linear(feats.float() / state["scale"], state["weight1"], state["bias1"]))
    return F.normalize(F.linear(hidden, state["weight2"], state["bias2"]), dim=1)


def vmf_logits(units: Tensor, directions: Tensor, kappas: Tensor, constants: Tensor) -> Tensor:
    """``log C_S(kappa_c) + kappa_c mu_c . x``, ``[n, K]``."""
    return units @ (directions * kappas[:, None]).T + constants


def class_sums(units: Tensor, labels: Tensor, count: int) -> Tensor:
    """Sum of the units of each of ``count`` classes, ``[count, S]``."""
    return units.new_zeros(count, units.shape[1]).index_add_(0, labels, units)


class SIRENHead(nn.Module):
    """Two layers, a direction and a learned concentration of each class.

    Directions are moving averages of their boxes, so they are buffers; all else has gradients.

    Args:
        size: D.
        classes: K.
        dim: S; 64 as published.
        generator: source of the random start.
    """

    def __init__(
        self, size: int, classes: int, dim: int = 64, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.weight1 = nn.Parameter(
            torch.randn(size, size, generator=generator) * (2 / size) ** 0.5
        )
        self.bias1 = nn.Parameter(torch.zeros(size))
        self.weight2 = nn.Parameter(torch.randn(dim, size, generator=generator) * size**-0.5)
        self.bias2 = nn.Parameter(torch.zeros(dim))
        self.log_kappa = nn.Parameter(torch.full((classes,), KAPPA).log())
        self.register_buffer("scale", torch.zeros(()))
        self.register_buffer("directions", torch.zeros(classes, dim))

    @property
    def is_started(self) -> bool:
        """Whether embeddings have their scale, without which there is no sphere."""
        return bool(self.scale > 0)

    def start(self, norm: Tensor) -> None:
        """Take the mean length of embeddings, which the first layer is to see as ``sqrt(D)``."""
        self.scale.copy_(norm.clamp(min=1e-12) / self.weight1.shape[1] ** 0.5)

    def project(self, feats: Tensor) -> Tensor:
        """Embeddings ``[n, D]`` on the sphere, ``[n, S]``."""
        names = ("scale", "weight1", "bias1", "weight2", "bias2")
        return project({name: getattr(self, name) for name in names}, feats)

    def loss(self, units: Tensor, labels: Tensor) -> Tensor:
        """Mean of ``-log p(label | x)`` under the classes' distributions (the paper's Eq. 6).

        Args:
            units: of :meth:`project`.
            labels: ``[n]``, of K.
        """
        kappas = self.log_kappa.exp().clamp(max=MAX_KAPPA)
        constants = LogNormalizer.apply(kappas, self.directions.shape[1])
        return F.cross_entropy(vmf_logits(units, self.directions, kappas, constants), labels)

    def move(self, sums: Tensor) -> None:
        """Move the directions towards :func:`class_sums` of a batch, where it has some."""
        moved = MOMENTUM * self.directions + (1 - MOMENTUM) * F.normalize(sums, dim=1)
        there = sums.abs().sum(dim=1, keepdim=True) > 0
        # a new tensor: the old one is in the graph of this batch's loss
        self.directions = torch.where(there, F.normalize(moved, dim=1), self.directions)

    @torch.no_grad()
    def state(self) -> dict[str, Tensor]:
        """What the scores read.

        Returns:
            :func:`project`'s tensors; ``directions``, ``kappas`` and ``constants`` of the classes
            that had boxes.
        """
        kept = {key: value.detach().clone() for key, value in self.state_dict().items()}
        seen = kept["directions"].abs().sum(dim=1) > 0
        kappas = kept.pop("log_kappa")[seen].exp().clamp(max=MAX_KAPPA)
        kept["directions"] = kept["directions"][seen]
        size = kept["directions"].shape[1]
        return kept | dict(kappas=kappas, constants=LogNormalizer.apply(kappas, size))
