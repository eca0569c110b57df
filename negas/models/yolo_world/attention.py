"""Text-guided attention as YOLO-World's neck computes it.

Shapes: L texts, D text channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from negas.models.attention_maps import Layer, stride_of

from .layers import MaxSigmoidAttnBlock


def neck_layers(
    neck: nn.Module, image_feats: Sequence[Tensor], texts: Tensor, inputs: Tensor
) -> list[Layer]:
    """Attention of each text-guided layer of a neck, in the order in which they run.

    Args:
        neck: in eval mode.
        image_feats: backbone levels of one image.
        texts: that guide the neck, [L, D].
        inputs: the image [1, 3, h, w].

    Raises:
        ValueError: the neck has no such layers.
    """
    blocks = [
        ("top-down" if "top_down" in name else "bottom-up", module)
        for name, module in neck.named_modules()
        if isinstance(module, MaxSigmoidAttnBlock)
    ]
    if not blocks:
        raise ValueError(
            f"model.neck is a {type(neck).__name__} without text-guided layers, so there is no "
            "attention to show; use YOLOWorldPAFPN"
        )
    layers: list[Layer] = []
    hooks = [block.register_forward_hook(_recorder(layers, path, inputs)) for path, block in blocks]
    try:
        neck(image_feats, texts[None])
    finally:
        for hook in hooks:
            hook.remove()
    return layers


def _recorder(layers: list[Layer], path: str, inputs: Tensor) -> Callable:
    """A forward hook that keeps the attention of every text alone."""

    def record(block: MaxSigmoidAttnBlock, args: tuple, _: object) -> None:
        x, (guide,) = args
        embed = x if block.embed_conv is None else block.embed_conv(x)
        alone = [block.attention(embed, text[:, None]) for text in guide.unbind(1)]
        scores = torch.stack(alone, 2)[0].float().cpu()
        layers.append(Layer(path, scores, stride_of(inputs, x)))

    return record
