"""PromptLearner: step 0 equals the plain encoder, gradients, errors."""

import pytest
import torch

from negas.embeddings import PromptLearner, encode_labels, encode_tokens, tokenize_labels

LABELS = ["cat", "potted plant", "washing machine", "zebra"]


def test_step_zero_equals_the_plain_encoder(text_model, tokenizer):
    prompt = PromptLearner(text_model, tokenizer)
    assert prompt.num_ctx == 3 and prompt.template == "a photo of {}"
    plain = encode_labels(text_model, tokenizer, LABELS, normalize=False)
    learned = encode_labels(text_model, tokenizer, LABELS, prompt=prompt, normalize=False)
    assert (plain - learned).abs().max() < 1e-5


def test_ctx_is_the_only_state_and_the_only_thing_trained(text_model, tokenizer):
    prompt = PromptLearner(text_model, tokenizer)
    assert list(prompt.state_dict()) == ["ctx"]
    assert prompt.ctx.shape == (3, 16)
    before = {name: value.clone() for name, value in text_model.state_dict().items()}
    ids, mask = tokenize_labels(tokenizer, LABELS, prompt.template)
    start = prompt.ctx.detach().clone()
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=0.01)
    encode_tokens(text_model, ids, mask, prompt(ids, text_model)).square().sum().backward()
    assert (prompt.ctx.grad.abs().sum(-1) > 0).all()
    optimizer.step()
    assert (prompt.ctx != start).any()
    assert all(torch.equal(before[name], value) for name, value in text_model.state_dict().items())


def test_context_moves_every_label(text_model, tokenizer):
    prompt = PromptLearner(text_model, tokenizer)
    plain = encode_labels(text_model, tokenizer, LABELS)
    with torch.no_grad():
        prompt.ctx[:, ::2].add_(0.5)  # a constant would vanish in the layer norm
    moved = encode_labels(text_model, tokenizer, LABELS, prompt=prompt)
    assert ((plain - moved).abs().amax(-1) > 1e-3).all()


def test_other_words_and_number_follow_the_words(text_model, tokenizer):
    prompt = PromptLearner(text_model, tokenizer, num_ctx=None, ctx_init="a")
    assert prompt.num_ctx == 1
    plain = encode_labels(text_model, tokenizer, LABELS, template="a {}")
    learned = encode_labels(text_model, tokenizer, LABELS, prompt=prompt)
    assert (plain - learned).abs().max() < 1e-5


def test_number_that_does_not_fit_the_words(text_model, tokenizer):
    with pytest.raises(ValueError, match="'a photo of' has 3 tokens but num_ctx is 4"):
        PromptLearner(text_model, tokenizer, num_ctx=4)


def test_random_start_is_seeded_and_needs_a_generator(text_model, tokenizer):
    def make(seed):
        generator = torch.Generator().manual_seed(seed)
        return PromptLearner(text_model, tokenizer, 5, None, generator)

    assert torch.equal(make(1).ctx, make(1).ctx)
    assert not torch.equal(make(1).ctx, make(2).ctx)
    assert encode_labels(text_model, tokenizer, LABELS, prompt=make(1)).shape == (4, 24)
    with pytest.raises(ValueError, match="random start needs num_ctx >= 1"):
        PromptLearner(text_model, tokenizer, 5, None)


def test_rows_without_room_for_the_context(text_model, tokenizer):
    prompt = PromptLearner(text_model, tokenizer)
    with pytest.raises(ValueError, match="cannot hold 3 context tokens"):
        prompt(torch.zeros(1, 4, dtype=torch.long), text_model)
