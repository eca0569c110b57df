"""The tokenizer reads any text, has CLIP's special ids, and loads the same twice."""

from tiny_tokenizer import BEGIN, END, load_tokenizer


def test_special_ids_are_the_two_highest(tokenizer):
    assert len(tokenizer) == 640
    assert tokenizer.convert_tokens_to_ids([BEGIN, END]) == [638, 639]
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 639
    assert tokenizer.model_max_length == 32


def test_any_text_is_lower_cased_and_never_unknown(tokenizer):
    text = "Ünknown Wörds, 42 \N{PILE OF POO}"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids).replace(" ", "") == text.lower().replace(" ", "")


def test_two_loads_agree(tokenizer, tokenizer_dir):
    again = load_tokenizer(tokenizer_dir)
    for text in ("a photo of cat", "Washing  machine", "zebra-crossing"):
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
