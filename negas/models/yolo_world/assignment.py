"""Classification and box targets of a batch.

Shapes: B images, N cells of all levels, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Assignment:
    """Targets of one batch.

    Attributes:
        scores: soft classification targets in [0, 1], [B, N, K].
        bboxes: xyxy in input pixels, [B, N, 4].
        foreground: positive cells, bool [B, N].
        avg_factor: sum of the assigner's scores, at least 1, mean over processes.
        num_images: B.
        world_size: processes.
    """

    scores: Tensor
    bboxes: Tensor
    foreground: Tensor
    avg_factor: Tensor
    num_images: int
    world_size: int

    def normalize(self, loss_sum: Tensor) -> Tensor:
        """``loss_sum / avg_factor * batch size``, YOLO's normalisation."""
        return loss_sum / self.avg_factor * self.num_images * self.world_size
