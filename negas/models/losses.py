"""The background-only loss of NegA.

Shapes: B images, N cells, K ID labels.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from mmengine.registry import MODELS
from torch import Tensor, nn


def masked_bce(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """``sum_k m_k BCE(q_k, sigmoid(logit_k))`` (NegAS, the loss of the OOD branch).

    Args:
        logits: ID logits of the OOD branch's features, [B, N, K].
        targets: soft targets of the ID branch's assigner in [0, 1], [B, N, K]; zero on background.
        mask: True = background cell, bool [B, N].

    Returns:
        Scalar sum, not normalised.
    """
    # Selecting rows instead of multiplying by the mask: no work, and no gradient, on foreground.
    picked = logits[mask]
    return F.binary_cross_entropy_with_logits(picked, targets[mask], reduction="sum")


def check_weight(name: str, value: float) -> float:
    """A weight of a loss: a finite number, 0 or more.

    A negative one would train the detector to believe in background, silently.

    Raises:
        ValueError: it is none.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number, 0 or more, got {value!r}")
    return float(value)


@MODELS.register_module()
class MaskedBCELoss(nn.Module):
    """:func:`masked_bce`, weighted and normalised as the ID branch's loss is.

    Args:
        loss_weight: the classification loss's weight (YOLOv8: 0.5).
        alpha: balance against the ID loss (NegAS: 3).

    Raises:
        ValueError: a weight is negative or no finite number.
    """

    def __init__(self, loss_weight: float = 0.5, alpha: float = 3.0) -> None:
        super().__init__()
        self.loss_weight = check_weight("loss_weight", loss_weight)
        self.alpha = check_weight("alpha", alpha)

    def forward(
        self, logits: Tensor, targets: Tensor, mask: Tensor, avg_factor: Tensor | float = 1.0
    ) -> Tensor:
        """Scalar loss; see :func:`masked_bce` for the shapes."""
        total = masked_bce(logits, targets, mask)
        return self.alpha * self.loss_weight * total / avg_factor


@MODELS.register_module()
class MaskedFocalLoss(nn.Module):
    """Focal loss of background queries whose targets are zero (NegA on Grounding DINO).

    The focal form of :func:`masked_bce`, so that ``alpha`` weighs it against a focal ID loss as it
    weighs BCE against BCE.

    Args:
        loss_weight: the classification loss's weight (Grounding DINO: 1).
        alpha: balance against the ID loss (NegAS: 3).
        gamma: focusing power of the classification loss.
        focal_alpha: its weight of positives, in [0, 1]; negatives have the rest.

    Raises:
        ValueError: a weight or ``gamma`` is negative or no finite number, or ``focal_alpha`` is
            outside [0, 1].
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        alpha: float = 3.0,
        gamma: float = 2.0,
        focal_alpha: float = 0.25,
    ) -> None:
        super().__init__()
        self.loss_weight = check_weight("loss_weight", loss_weight)
        self.alpha = check_weight("alpha", alpha)
        self.gamma = check_weight("gamma", gamma)
        self.focal_alpha = check_weight("focal_alpha", focal_alpha)
        if self.focal_alpha > 1:
            raise ValueError(f"focal_alpha must lie in [0, 1], got {focal_alpha!r}")

    def forward(
        self, logits: Tensor, targets: Tensor, mask: Tensor, avg_factor: Tensor | float = 1.0
    ) -> Tensor:
        """Scalar loss; see :func:`masked_bce` for the shapes (N queries, K tokens)."""
        total = py_sigmoid_focal_loss(
            logits[mask],
            targets[mask],
            gamma=self.gamma,
            alpha=self.focal_alpha,
            reduction="sum",
        )
        return self.alpha * self.loss_weight * total / avg_factor
