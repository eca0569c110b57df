"""Grounding DINO's attention from image cells to names, for attention pictures.

Shapes: H heads, K names, L caption tokens, N cells of all levels, (h, w) a level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from mmdet.models.utils.vlfuse_helper import BiMultiHeadAttention
from torch import Tensor, nn

from negas.models.attention_maps import Layer

from .captions import Caption


@contextmanager
def recorded_shares(fusion_layers: Sequence[nn.Module], caption: Caption) -> Iterator[list[Tensor]]:
    """What the encoder's fusion layers attend to while it runs in this context.

    A cell spreads its attention over all tokens of the caption; a name's score is the largest share
    that one of its tokens gets.

    Yields:
        A list to which each layer adds its names' shares [H, K, N] when it runs.
    """
    shares: list[Tensor] = []
    handles = [
        layer.attn.register_forward_hook(_recorder(shares, caption)) for layer in fusion_layers
    ]
    try:
        yield shares
    finally:
        for handle in handles:
            handle.remove()


def fusion_maps(shares: Sequence[Tensor], feats: Sequence[Tensor], finest: int) -> list[Layer]:
    """One layer per fusion layer and level.

    Args:
        shares: of :func:`recorded_shares`.
        feats: levels [1, C, h, w] of the image, fine to coarse.
        finest: stride of the first, in pixels.
    """
    return [
        Layer(f"fusion-{number}", part, finest << level)
        for number, share in enumerate(shares, 1)
        for level, part in enumerate(_by_level(share, feats))
    ]


def _by_level(share: Tensor, feats: Sequence[Tensor]) -> list[Tensor]:
    """Split [H, K, N] into levels [H, K, h, w]."""
    sizes = [tuple(feat.shape[-2:]) for feat in feats]
    parts = share.split([height * width for height, width in sizes], dim=-1)
    return [part.unflatten(-1, size) for part, size in zip(parts, sizes, strict=True)]


def _recorder(shares: list[Tensor], caption: Caption) -> Callable:
    """A forward hook that keeps each name's share of the cells' attention, [H, K, N]."""

    def record(attn: BiMultiHeadAttention, args: tuple, _: object) -> None:
        weights = token_shares(attn, *args[:2])
        names = [weights[:, :, tokens].amax(-1) for tokens in caption.name_map]
        shares.append(torch.stack(names, 1).float().cpu())

    return record


def token_shares(attn: BiMultiHeadAttention, vision: Tensor, text: Tensor) -> Tensor:
    """How a fusion layer's cells spread their attention over tokens, [H, N, L]; a cell's sum is 1.

    Based on ``BiMultiHeadAttention.forward``, which keeps its weights to itself. Its token mask is
    left out: a caption that stands alone has no padding.

    Args:
        attn: of a fusion layer.
        vision: its image input [1, N, D].
        text: its text input [1, L, D].
    """
    queries, keys = (
        one[0].unflatten(-1, (attn.num_heads, attn.head_dim)).transpose(0, 1)
        for one in (attn.v_proj(vision) * attn.scale, attn.l_proj(text))
    )
    return (queries @ keys.transpose(1, 2)).softmax(-1)
