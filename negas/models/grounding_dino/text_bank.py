"""Label banks that bypass image-text fusion and meet queries only.

Shapes: M labels, L caption tokens, T tokens of the longest label, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from mmdet.models.layers.transformer.utils import get_text_sine_pos_embed
from torch import Tensor, nn

from negas.embeddings.text import with_bar

from .captions import Caption, chunk_names
from .language import BertTextModel

NEG_PATHS = ("normed", "text_layers", "projected")


class CaptionEncoder(Protocol):
    """As much of a detector as a bank needs: captions, and the layers that encode them."""

    language_model: BertTextModel
    encoder: nn.Module
    embed_dims: int
    prefix: str
    device: torch.device

    def caption(self, names: Sequence[str], prefix: bool = True) -> Caption:
        """One caption of names."""

    def encode_caption(self, caption: Caption) -> dict[str, Tensor]:
        """MMDetection's ``text_dict`` of a caption."""


@torch.no_grad()
def encode_bank(
    detector: CaptionEncoder, labels: Sequence[str], path: str = "normed", prefix: bool = True
) -> Tensor:
    """Token embeddings [M, T, D] of labels; rows of NaN where one has fewer than T tokens.

    A label's embeddings do not depend on the others of its caption, so any number of labels is
    encoded, caption by caption.

    Args:
        detector: whose text encoder and layers are used.
        labels: M names.
        path: ``normed`` sends them through the encoder as ID tokens go, text layers and the norms
            in front of them, all but the cross attention to the image: what ID tokens would be
            without an image. ``text_layers`` leaves out the fusion layers' norms of the text as
            well, so the text layers see another scale than they were trained on. ``projected``
            stops before the encoder. All three are readings of the paper's "bypass feature fusion
            entirely".
        prefix: put the detector's prefix in front of every label.
    """
    rows: list[Tensor] = []
    # Kept for many images, so never in a caller's half precision.
    with torch.autocast(detector.device.type, enabled=False):
        put = detector.prefix if prefix else ""
        for part in with_bar(chunk_names(detector.language_model, labels, put), len(labels)):
            caption = detector.caption(part, prefix)
            text = detector.encode_caption(caption)
            tokens = text["embedded"]
            if path != "projected":
                tokens = _text_layers(detector.encoder, text, normed=path == "normed")
            rows += [tokens[0, columns] for columns in caption.name_map]
    longest = max((len(row) for row in rows), default=1)
    feats = torch.full((len(rows), longest, detector.embed_dims), torch.nan)
    feats = feats.to(detector.device)
    for feat, row in zip(feats, rows, strict=True):
        feat[: len(row)] = row
    return feats


def _text_layers(encoder: nn.Module, text: dict[str, Tensor], normed: bool) -> Tensor:
    """Based on ``GroundingDinoTransformerEncoder.forward``, its text layers alone."""
    position = get_text_sine_pos_embed(
        text["position_ids"][..., None], num_pos_feats=256, exchange_xy=False
    )
    tokens = text["embedded"]
    for fusion, layer in zip(encoder.fusion_layers, encoder.text_layers, strict=True):
        if normed:
            tokens = fusion.layer_norm_l(tokens)
        heads = layer.self_attn_cfg.num_heads
        tokens = layer(
            query=tokens,
            query_pos=position,
            attn_mask=~text["masks"].repeat(heads, 1, 1),
            key_padding_mask=None,
        )
    return tokens
