"""Grounding DINO's attention from image cells to names, for attention pictures.

Shapes: H heads, K names, L caption tokens, N cells of all levels, (h, w) a level.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from negas import compat

compat.install()  # before mmdet, whoever imports this module first

from mmdet.models.utils.vlfuse_helper import BiMultiHeadAttention  # noqa: E402
from mmdet.structures import DetDataSample  # noqa: E402

from negas.models.yolo_world.attention import ID, NEGATIVE, Branch, Layer, read_branches, stride_of  # noqa: E402

from .captions import Caption  # noqa: E402
from .detector import GroundingDINODetector  # noqa: E402


@read_branches.register
def _(model: GroundingDINODetector, inputs: Tensor) -> list[Branch]:
    """One layer per fusion layer of the encoder and level; the encoder runs once per branch.

    A cell spreads its attention over all tokens of the caption; a name's score is the largest share
    that one of its tokens gets. As in NegA, negatives guide the encoder as a caption of their own.

    Raises:
        ValueError: the negatives do not fit one caption.
    """
    guides = [(ID, model.class_names, *model.id_text())]
    if negatives := getattr(model, "neg_labels", ()):
        caption = model.caption(negatives, model.prefix_negatives)
        guides.append((NEGATIVE, negatives, caption, model.encode_caption(caption)))
    feats = tuple(model.extract_feat(inputs))
    # One image is not padded, so it fills the input.
    meta = dict(img_shape=inputs.shape[-2:], batch_input_shape=inputs.shape[-2:])
    encoder_inputs, _ = model.pre_transformer(feats, [DetDataSample(metainfo=meta)])
    finest = stride_of(inputs, feats[0])
    branches = []
    for name, words, caption, text in guides:
        shares: list[Tensor] = []
        hooks = [
            layer.attn.register_forward_hook(_recorder(shares, caption))
            for layer in model.encoder.fusion_layers
        ]
        try:
            model.forward_encoder(**encoder_inputs, text_dict=text)
        finally:
            for hook in hooks:
                hook.remove()
        layers = [
            Layer(f"fusion-{number}", part, finest << level)
            for number, share in enumerate(shares, 1)
            for level, part in enumerate(_by_level(share, feats))
        ]
        branches.append(Branch(name, tuple(words), layers))
    return branches


def _by_level(share: Tensor, feats: tuple[Tensor, ...]) -> list[Tensor]:
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
