"""The background-only loss of NegA.

Shapes: B images, N cells, K ID labels.
"""

from __future__ import annotations

import torch.nn.functional as F
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


@MODELS.register_module()
class MaskedBCELoss(nn.Module):
    """:func:`masked_bce`, weighted and normalised as the ID branch's loss is.

    Args:
        loss_weight: the classification loss's weight (YOLOv8: 0.5).
        alpha: balance against the ID loss (NegAS: 3).
    """

    def __init__(self, loss_weight: float = 0.5, alpha: float = 3.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.alpha = alpha

    def forward(
        self, logits: Tensor, targets: Tensor, mask: Tensor, avg_factor: Tensor | float = 1.0
    ) -> Tensor:
        """Scalar loss; see :func:`masked_bce` for the shapes."""
        total = masked_bce(logits, targets, mask)
        return self.alpha * self.loss_weight * total / avg_factor
