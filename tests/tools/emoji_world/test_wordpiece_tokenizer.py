"""The WordPiece vocabulary: words whole, any ASCII text readable, the file reproducible."""

import string

import pytest
from tiny_tokenizer import load_tokenizer
from wordpiece_tokenizer import build_vocabulary, split_words, write_tokenizer

NAMES = ["cat", "potted plant", "T-shirt", "crème brûlée"]
TEMPLATES = ["a photo of {}", "{}"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wordpiece")
    write_tokenizer(build_vocabulary(NAMES, TEMPLATES, 150), directory)
    return load_tokenizer(directory)


def test_words_of_names_and_templates_are_one_token_each(tokenizer):
    assert tokenizer.tokenize("A photo of Potted  Plant") == ["a", "photo", "of", "potted", "plant"]
    assert tokenizer.tokenize("crème brûlée t-shirt") == ["creme", "brulee", "t", "-", "shirt"]
    assert split_words("T-shirt") == ["t", "-", "shirt"]


def test_special_tokens_frame_a_caption(tokenizer):
    ids = tokenizer("cat.")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "cat", ".", "[SEP]"]
    assert tokenizer.pad_token_id == 0 and tokenizer.mask_token == "[MASK]"
    assert tokenizer.model_max_length == 256


def test_no_ascii_text_is_unknown(tokenizer):
    characters = string.ascii_letters + string.digits + string.punctuation
    text = " ".join(f"{left}{right}" for left in characters for right in characters[:70])
    assert tokenizer.unk_token_id not in tokenizer(text, verbose=False)["input_ids"]


def test_unknown_words_fall_into_pieces_of_known_ones(tokenizer):
    assert tokenizer.tokenize("catplant")[0] == "cat"
    pieces = tokenizer.tokenize("replant")
    assert len(pieces) < len("replant")
    assert "".join(piece.removeprefix("##") for piece in pieces) == "replant"


def test_vocabulary_has_the_size_asked_for_without_repeats():
    vocabulary = build_vocabulary(NAMES, TEMPLATES, 150)
    assert len(vocabulary) == len(set(vocabulary)) == 150
    assert vocabulary == build_vocabulary(NAMES, TEMPLATES, 150)
    assert vocabulary[:3] == ["[PAD]", "[UNK]", "[CLS]"]


def test_too_small_a_size_names_what_is_needed():
    with pytest.raises(ValueError, match=r"need \d+ WordPiece tokens, --vocab-size is 50"):
        build_vocabulary(NAMES, TEMPLATES, 50)
