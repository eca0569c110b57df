"""Text-guided attention of an image, as every detector gives it.

Shapes: H heads, L texts of a branch, (h, w) a feature map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

ID, NEGATIVE = "ID texts", "negative texts"


@dataclass(frozen=True)
class Layer:
    """Attention of one text-guided layer.

    Attributes:
        path: part of the network, e.g. ``top-down``.
        scores: each text's own attention, in (0, 1), [H, L, h, w]; its maximum over L is shown. A
            YOLO-World layer multiplies its features with that maximum.
        stride: pixels of the network's input from one cell to the next.
    """

    path: str
    scores: Tensor
    stride: int


@dataclass(frozen=True)
class Branch:
    """The layers of a network guided by one list of texts, in the order in which they run."""

    name: str
    words: tuple[str, ...]
    layers: list[Layer]


def stride_of(inputs: Tensor, feat: Tensor) -> int:
    """Stride in pixels of a feature map [.., h, w] of an input [.., H, W]: a power of two.

    A map may have a cell more than fits the input: networks round up.
    """
    return 2 ** round(math.log2(inputs.shape[-1] / feat.shape[-1]))
