"""A learned prompt is encoded once for all labels: embeddings and gradients as row by row."""

import pytest
import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from negas.embeddings import PromptLearner, encode_labels, encode_tokens, text, tokenize_labels
from negas.embeddings.shared_prefix import encode_behind_prefix, has_clip_layers

LABELS = ["cat", "potted plant", "washing machine", "zebra", "a very long name of a thing"]


@pytest.fixture(scope="module")
def clip_size():
    """A text tower of CLIP ViT-B/32's size, random but for larger weights than CLIP starts with."""
    torch.manual_seed(0)
    sizes = dict(hidden_size=512, intermediate_size=2048, num_hidden_layers=12)
    model = CLIPTextModelWithProjection(
        CLIPTextConfig(
            **sizes, num_attention_heads=8, vocab_size=1000, projection_dim=512, eos_token_id=999
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.requires_grad_(False).eval()


@pytest.mark.parametrize("prefix", [1, 4])
def test_embeddings_and_gradients_of_a_tower_of_clip_s_size(clip_size, prefix):
    lengths = torch.tensor([3, 1, 6, 2])
    ids = torch.randint(1, 900, (4, prefix + 6))
    ids[:, :prefix] = ids[0, :prefix]
    mask = (torch.arange(prefix + 6) < prefix + lengths[:, None]).long()
    ids[torch.arange(4), prefix + lengths - 1] = 999  # the largest id is end-of-text
    ctx = clip_size.get_input_embeddings()(ids[:1, :prefix]).requires_grad_()
    names = clip_size.get_input_embeddings()(ids[:, prefix:])
    embeds = torch.cat([ctx.expand(4, -1, -1), names], dim=1)
    want = encode_tokens(clip_size, ids, mask, embeds)
    found = encode_behind_prefix(clip_size, embeds, mask, prefix)
    assert (found - want).abs().max() < 1e-5 * want.abs().max()
    loss = torch.randn_like(want)
    grads = [torch.autograd.grad(feats, ctx, loss, retain_graph=True)[0] for feats in (want, found)]
    assert (grads[0] - grads[1]).abs().max() < 1e-5 * grads[0].abs().max()


def test_labels_behind_a_learned_prompt_take_this_way(text_model, tokenizer, monkeypatch):
    prompt = PromptLearner(text_model, tokenizer)
    with torch.no_grad():
        prompt.ctx.add_(torch.randn(prompt.ctx.shape, generator=torch.Generator().manual_seed(1)))
    ids, mask = tokenize_labels(tokenizer, LABELS, prompt.template)
    want = encode_tokens(text_model, ids, mask, prompt(ids, text_model))
    (want_grad,) = torch.autograd.grad(want.square().sum(), prompt.ctx)
    monkeypatch.setattr(text, "encode_tokens", None)
    found = encode_labels(text_model, tokenizer, LABELS, prompt=prompt, normalize=False)
    assert (found - want).abs().max() < 1e-5
    (grad,) = torch.autograd.grad(found.square().sum(), prompt.ctx)
    assert (grad - want_grad).abs().max() < 1e-5 * want_grad.abs().max()


def test_a_model_built_otherwise_is_encoded_by_its_own_forward(text_model, tokenizer, monkeypatch):
    prompt = PromptLearner(text_model, tokenizer)
    want = encode_labels(text_model, tokenizer, LABELS, prompt=prompt)
    monkeypatch.delattr(text_model.text_model.encoder.layers[0].self_attn, "num_heads")
    assert not has_clip_layers(text_model) and not has_clip_layers(nn.Linear(2, 2))
    found = encode_labels(text_model, tokenizer, LABELS, prompt=prompt)
    assert (found - want).abs().max() < 1e-5
