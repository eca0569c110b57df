"""What the decoder found in a batch, and boxes and embeddings of it.

Shapes: B images, Q queries, n boxes, K ID labels, M negative labels, L caption tokens,
T tokens of the longest label, D channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor, nn


@dataclass
class LabelBoxes:
    """The decoder's last layer, in full precision.

    Attributes:
        queries: hidden states [B, Q, D].
        boxes: cxcywh in 0..1, [B, Q, 4].
        id_logits: [B, Q, K].
        id_tokens: caption tokens after fusion, [B, L, D].
        columns: where the labels' tokens stand in the caption, [K, T].
        real: which of these are tokens, bool [K, T].
    """

    queries: Tensor
    boxes: Tensor
    id_logits: Tensor
    id_tokens: Tensor
    columns: Tensor
    real: Tensor


def image_boxes(boxes: Tensor, meta: dict, rescale: bool) -> Tensor:
    """Boxes cxcywh in 0..1 [n, 4] as xyxy pixels; based on ``_predict_by_feat_single``."""
    height, width = meta["img_shape"][:2]
    pixels = bbox_cxcywh_to_xyxy(boxes) * boxes.new_tensor([width, height, width, height])
    pixels[:, 0::2].clamp_(min=0, max=width)
    pixels[:, 1::2].clamp_(min=0, max=height)
    return pixels / pixels.new_tensor(meta["scale_factor"]).repeat(2) if rescale else pixels


def region_embeddings(contrast: nn.Module, queries: Tensor) -> Tensor:
    """``[n, D+1]``: a token w has the logit ``e[:-1] @ w + e[-1]``.

    Args:
        contrast: MMDetection's ``ContrastiveEmbed`` of the decoder's last layer.
        queries: of that layer, [n, D].
    """
    scale = 1.0
    if isinstance(contrast.log_scale, Tensor):
        scale = contrast.log_scale.exp()
    elif contrast.log_scale == "auto":
        scale = queries.shape[-1] ** -0.5
    bias = queries.new_zeros(1) if contrast.bias is None else contrast.bias
    return torch.cat([queries * scale, bias.expand(queries.shape[0], 1)], dim=1)


def split_bank(feats: Tensor) -> tuple[Tensor, Tensor]:
    """A bank [M, T, D] with zeros for its NaN rows, and which rows are tokens, bool [M, T]."""
    return feats.nan_to_num(0.0), ~feats[..., 0].isnan()
