"""A learned prompt through a CLIP text transformer: what all labels begin with is encoded once.

Attention is causal, so begin-of-text and the context vectors never see the name behind them: their
keys and values are the same for every label.

Shapes: L labels, T tokens of the longest, P of the prefix, S = T - P of the rest, H channels of the
transformer, D of the projection.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


def has_clip_layers(text_model: nn.Module) -> bool:
    """Whether the modules of a transformers `CLIPTextModelWithProjection` lie where they used to.

    They are no public interface; where they lie elsewhere, :func:`encode_tokens` serves.
    """
    try:
        inner = text_model.text_model
        layer = inner.encoder.layers[0]
        attention = layer.self_attn
        used = [layer.layer_norm1, layer.layer_norm2, layer.mlp, inner.final_layer_norm]
        used += [attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj]
        used += [inner.embeddings.position_embedding, text_model.text_projection]
        return isinstance(attention.num_heads, int) and all(isinstance(m, nn.Module) for m in used)
    except (AttributeError, IndexError, TypeError):
        return False


def encode_behind_prefix(
    text_model: nn.Module, inputs_embeds: Tensor, attention_mask: Tensor, num_prefix: int
) -> Tensor:
    """Encode texts whose first tokens are the same.

    Args:
        text_model: The encoder, see :func:`has_clip_layers`; call it under no_grad if no gradient
            is wanted.
        inputs_embeds: [L, T, H] token embeddings before positions are added; the first P columns
            are equal in all rows.
        attention_mask: [L, T] of 0/1, 1 up to and including end-of-text, which lies behind the
            prefix.
        num_prefix: P, at least 1.

    Returns:
        [L, D] projected text embeddings, not normalised; those of `encode_tokens` up to rounding.
    """
    inner = text_model.text_model
    tokens = inputs_embeds.shape[1]
    embeds = inputs_embeds + inner.embeddings.position_embedding.weight[:tokens]
    prefix, rest = embeds[:1, :num_prefix], embeds[:, num_prefix:]
    causal = torch.ones(tokens, tokens, dtype=torch.bool, device=embeds.device).tril()
    for layer in inner.encoder.layers:
        first = _project(layer, prefix)
        query, *own = _project(layer, rest)
        seen = [
            torch.cat([a.expand(rest.shape[0], -1, -1, -1), b], dim=2)
            for a, b in zip(first[1:], own, strict=True)
        ]
        prefix = _rest_of_layer(layer, prefix, scaled_dot_product_attention(*first, is_causal=True))
        mixed = scaled_dot_product_attention(query, *seen, attn_mask=causal[num_prefix:])
        rest = _rest_of_layer(layer, rest, mixed)
    ends = attention_mask.sum(dim=1) - 1 - num_prefix
    pooled = rest[torch.arange(rest.shape[0], device=rest.device), ends]
    return text_model.text_projection(inner.final_layer_norm(pooled))


def _project(layer: nn.Module, states: Tensor) -> list[Tensor]:
    """Queries, keys and values, each [B, heads, tokens, channels of a head]."""
    attention, normed = layer.self_attn, layer.layer_norm1(states)
    return [
        project(normed).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    ]


def _rest_of_layer(layer: nn.Module, states: Tensor, mixed: Tensor) -> Tensor:
    """A layer's output [B, tokens, H] from its input and what its attention mixed."""
    states = states + layer.self_attn.out_proj(mixed.transpose(1, 2).flatten(2))
    return states + layer.mlp(layer.layer_norm2(states))
