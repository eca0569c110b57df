"""tokenize_labels: ids, padding, and one sentence for labels that cannot be used."""

import pytest
import torch

from negas.embeddings import tokenize_labels


def test_rows_are_begin_text_end_and_padding(tokenizer):
    ids, mask = tokenize_labels(tokenizer, ["cat", "washing machine"])
    assert ids.dtype == torch.long and ids.shape == mask.shape
    assert (ids[:, 0] == tokenizer.bos_token_id).all()
    last = mask.sum(-1) - 1
    assert (ids[torch.arange(2), last] == tokenizer.eos_token_id).all()
    assert int(mask.sum(-1).max()) == ids.shape[1]
    for row, text in zip(ids, ["a photo of cat", "a photo of washing machine"], strict=True):
        expected = tokenizer(text)["input_ids"]
        assert row[: len(expected)].tolist() == expected
        assert (row[len(expected) :] == tokenizer.pad_token_id).all()


def test_case_and_outer_spaces_do_not_matter(tokenizer):
    ids, _ = tokenize_labels(tokenizer, ["Cat ", "cat"])
    assert torch.equal(ids[0], ids[1])


@pytest.mark.parametrize(
    ("labels", "template", "message"),
    [
        ([], "a {}", "got no labels"),
        (["cat", "  "], "a {}", "label 1 is '  '"),
        (["cat", 3], "a {}", "label 1 is 3"),
        ("cat", "a {}", "expected a list of labels"),
        (["cat"], "a photo", "exactly one"),
        (["cat", "a very long name " * 9], "a {}", "label 'a very long name .* needs"),
    ],
)
def test_unusable_input_is_named(tokenizer, labels, template, message):
    with pytest.raises(ValueError, match=message):
        tokenize_labels(tokenizer, labels, template)


def test_context_length_can_be_given(tokenizer):
    with pytest.raises(ValueError, match="the text encoder takes 5"):
        tokenize_labels(tokenizer, ["washing machine"], context_length=5)
