"""encode_tokens equals transformers' own forward, for old and new pooling, with gradients."""

import copy

import pytest
import torch

from negas.embeddings import encode_labels, encode_tokens, tokenize_labels

LABELS = ["cat", "potted plant", "washing machine"]


def with_eos(text_model, eos_token_id):
    """Copy of the model whose pooling uses `eos_token_id` (2 is transformers' legacy rule)."""
    model = copy.deepcopy(text_model)
    inner = model.text_model
    model.config.eos_token_id = inner.config.eos_token_id = inner.eos_token_id = eos_token_id
    return model


@pytest.mark.parametrize("legacy", [True, False])
def test_embeddings_path_equals_own_forward_bit_for_bit(text_model, tokenizer, legacy):
    model = with_eos(text_model, 2 if legacy else tokenizer.eos_token_id)
    ids, mask = tokenize_labels(tokenizer, LABELS)
    expected = model(input_ids=ids, attention_mask=mask).text_embeds
    embeds = model.get_input_embeddings()(ids)
    assert torch.equal(encode_tokens(model, ids, mask), expected)
    assert torch.equal(encode_tokens(model, ids, mask, embeds), expected)
    assert expected.shape == (3, 24)


def test_both_pooling_rules_agree_on_clip_tokens(text_model, tokenizer):
    ids, mask = tokenize_labels(tokenizer, LABELS)
    old = encode_tokens(with_eos(text_model, 2), ids, mask)
    new = encode_tokens(with_eos(text_model, tokenizer.eos_token_id), ids, mask)
    assert torch.equal(old, new)


def test_padding_to_the_longest_equals_padding_to_the_full_context(text_model, tokenizer):
    ids, mask = tokenize_labels(tokenizer, LABELS)
    full = torch.full((3, 32), tokenizer.pad_token_id)
    full[:, : ids.shape[1]] = ids
    full_mask = torch.zeros_like(full)
    full_mask[:, : ids.shape[1]] = mask
    short = encode_tokens(text_model, ids, mask)
    assert ids.shape[1] < 32
    torch.testing.assert_close(short, encode_tokens(text_model, full, full_mask), atol=1e-5, rtol=0)
    torch.testing.assert_close(short, encode_tokens(text_model, ids), atol=1e-5, rtol=0)


def test_gradient_reaches_the_embeddings_and_hook_is_gone(text_model, tokenizer):
    ids, mask = tokenize_labels(tokenizer, LABELS)
    embeds = text_model.get_input_embeddings()(ids).clone().requires_grad_()
    encode_tokens(text_model, ids, mask, embeds).square().sum().backward()
    last = mask.sum(-1) - 1
    assert embeds.grad[torch.arange(3), last].abs().sum() > 0
    assert embeds.grad[0, last[0] + 1 :].abs().sum() == 0  # nothing behind end-of-text matters
    assert not text_model.get_input_embeddings()._forward_hooks


def test_hook_is_gone_after_an_error(text_model, tokenizer):
    ids = torch.zeros(1, 40, dtype=torch.long)  # longer than the context of 32
    with pytest.raises(ValueError):
        encode_tokens(text_model, ids, None, torch.zeros(1, 40, 16))
    assert not text_model.get_input_embeddings()._forward_hooks


def test_wrong_shape_of_embeddings_is_named(text_model, tokenizer):
    ids, mask = tokenize_labels(tokenizer, LABELS)
    with pytest.raises(ValueError, match=r"inputs_embeds \[2, 4, 16\] must be \[L, T, H\]"):
        encode_tokens(text_model, ids, mask, torch.zeros(2, 4, 16))


def test_encode_labels_normalises_and_matches_single_rows(text_model, tokenizer):
    feats = encode_labels(text_model, tokenizer, LABELS)
    torch.testing.assert_close(feats.norm(dim=-1), torch.ones(3))
    for label, row in zip(LABELS, feats, strict=True):
        alone = encode_labels(text_model, tokenizer, [label])[0]
        torch.testing.assert_close(alone, row, atol=1e-5, rtol=0)
