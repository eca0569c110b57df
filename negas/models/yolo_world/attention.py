"""Text-guided attention as a detector computes it: its layers under each list of texts.

Shapes: H heads, L texts of a branch, (h, w) a feature map.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor, nn

from .detector import YOLOWorldDetector
from .layers import MaxSigmoidAttnBlock

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


@singledispatch
def read_branches(model: nn.Module, inputs: Tensor) -> list[Branch]:
    """Attention of a detector under its ID texts and, if it has any, its negative texts.

    Another family of detectors joins with ``@read_branches.register``.

    Args:
        model: detector in eval mode.
        inputs: one preprocessed image [1, 3, h, w].

    Raises:
        ValueError: the detector has no text-guided attention.
    """
    raise ValueError(
        f"{type(model).__name__} has no text-guided attention that could be shown; use a config "
        "with model.type='NegASYOLOWorldDetector' or 'NegASGroundingDINO', or their stock "
        "'YOLOWorldDetector' or 'GroundingDINODetector'"
    )


@read_branches.register
def _(model: YOLOWorldDetector, inputs: Tensor) -> list[Branch]:
    """The neck runs once per branch, as from its first layer on each has features of its own."""
    texts, neg_texts = model.text_feats()
    guides = [(ID, model.class_names, texts)]
    if neg_texts is not None:
        guides.append((NEGATIVE, model.neg_labels, neg_texts))
    image_feats = model.image_feats(inputs)
    branches = []
    for name, words, guide in guides:
        layers: list[Layer] = []
        hooks = [
            block.register_forward_hook(_recorder(layers, path, inputs))
            for path, block in _blocks(model)
        ]
        try:
            model.neck(image_feats, guide[None])
        finally:
            for hook in hooks:
                hook.remove()
        branches.append(Branch(name, tuple(words), layers))
    return branches


def _blocks(model: YOLOWorldDetector) -> list[tuple[str, MaxSigmoidAttnBlock]]:
    found = [
        ("top-down" if "top_down" in name else "bottom-up", module)
        for name, module in model.neck.named_modules()
        if isinstance(module, MaxSigmoidAttnBlock)
    ]
    if not found:
        raise ValueError(
            f"model.neck is a {type(model.neck).__name__} without text-guided layers, so there is "
            "no attention to show; use YOLOWorldPAFPN"
        )
    return found


def _recorder(layers: list[Layer], path: str, inputs: Tensor) -> Callable:
    """A forward hook that keeps the attention of every text alone."""

    def record(block: MaxSigmoidAttnBlock, args: tuple, _: object) -> None:
        x, (guide,) = args
        embed = x if block.embed_conv is None else block.embed_conv(x)
        alone = [block.attention(embed, text[:, None]) for text in guide.unbind(1)]
        scores = torch.stack(alone, 2)[0].float().cpu()
        layers.append(Layer(path, scores, stride_of(inputs, x)))

    return record
