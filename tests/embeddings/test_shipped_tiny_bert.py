"""The BERT encoder in data/emoji_world/tiny_bert: loads offline, its tokens mean their names."""

import json
from pathlib import Path

import pytest
import torch
from tiny_tokenizer import load_tokenizer
from torch.nn.functional import normalize

from negas.embeddings import encode_labels

DATA = Path(__file__).resolve().parents[2] / "data"
DIRECTORY = DATA / "emoji_world" / "tiny_bert"


def load():
    from transformers import BertModel

    model = BertModel.from_pretrained(DIRECTORY, add_pooling_layer=False, local_files_only=True)
    return model.eval().requires_grad_(False), load_tokenizer(DIRECTORY)


@pytest.fixture(scope="module")
def bert():
    return load()


@pytest.fixture(scope="module")
def class_names():
    table = json.loads((DATA / "emoji_world" / "classes.json").read_text())
    return [row["name"] for row in table["classes"]]


@pytest.fixture(scope="module")
def bank_names():
    banks = [*DATA.glob("labels/emoji_world/*.json"), *DATA.glob("labels/*.json")]
    rows = [json.loads(path.read_text()) for path in banks]
    assert len(rows) >= 6
    return sorted({name for row in rows for name in row["id_labels"] + row["neg_labels"]})


def name_features(bert, names, prefix=""):
    """Per name the features [tokens, W] of its own tokens in the phrase "prefix name ."."""
    model, tokenizer = bert
    before = len(tokenizer(prefix, add_special_tokens=False)["input_ids"])
    rows = []
    for name in names:
        ids = tokenizer(f"{prefix} {name} .", add_special_tokens=False, return_tensors="pt")
        rows.append(model(ids["input_ids"]).last_hidden_state[0, before:-1])
    return rows


def means(rows):
    return normalize(torch.stack([row.mean(0) for row in rows]), dim=-1)


def test_two_loads_give_the_same_bits_in_float32(bert, class_names):
    first = means(name_features(bert, class_names[:20]))
    assert first.dtype == torch.float32
    assert torch.equal(first, means(name_features(load(), class_names[:20])))


def test_is_small_and_complete():
    from transformers import BertModel

    assert (DIRECTORY / "model.safetensors").stat().st_size < 2e6
    _, loading = BertModel.from_pretrained(
        DIRECTORY, add_pooling_layer=False, output_loading_info=True
    )
    assert not loading["missing_keys"] and not loading["unexpected_keys"]


def test_names_are_short_and_known(bert, class_names, bank_names):
    tokenizer = bert[1]
    lengths = []
    for name in class_names + bank_names:
        ids = tokenizer(name, add_special_tokens=False)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        lengths.append(len(ids))
    classes = lengths[: len(class_names)]
    assert max(classes) <= 3 and sum(classes) / len(classes) < 1.25
    assert max(lengths) <= 6
    assert tokenizer.tokenize("a photo of . ?") == ["a", "photo", "of", ".", "?"]


def test_geometry_is_that_of_the_clip_text_tower(bert, class_names):
    from transformers import CLIPTextModelWithProjection

    clip = DATA / "emoji_world" / "tiny_clip"  # distilled from the same teacher
    tower = CLIPTextModelWithProjection.from_pretrained(clip, local_files_only=True)
    theirs = encode_labels(tower.float().eval(), load_tokenizer(clip), class_names).detach()
    ours = means(name_features(bert, class_names))
    upper = torch.triu_indices(len(class_names), len(class_names), offset=1).unbind()
    cosines = torch.stack([(ours @ ours.T)[upper], (theirs @ theirs.T)[upper]])
    assert torch.corrcoef(cosines)[0, 1] > 0.98
    assert cosines[0].mean().abs() < 0.1  # centred


@pytest.mark.parametrize("prefix", ["", "a photo of"])
def test_each_single_token_says_its_name(bert, class_names, prefix):
    rows = name_features(bert, class_names, prefix)
    table = means(name_features(bert, class_names))
    owner = torch.tensor([index for index, row in enumerate(rows) for _ in row])
    cosine = normalize(torch.cat(rows), dim=-1) @ table.T
    assert cosine[torch.arange(len(owner)), owner].mean() > 0.99
    assert (cosine.argmax(1) == owner).float().mean() > 0.97


def test_a_photo_of_changes_little_and_an_icon_of_more(bert, class_names):
    plain = means(name_features(bert, class_names))
    photo = (means(name_features(bert, class_names, "a photo of")) * plain).sum(-1)
    icon = (means(name_features(bert, class_names, "an icon of")) * plain).sum(-1)
    assert photo.mean() > 0.999 and photo.min() > 0.99
    assert 0.9 < icon.mean() < 0.985


def test_a_phrase_alone_equals_the_phrase_in_a_caption(bert):
    """With the masks and positions that MMDetection makes for a caption of many names."""
    from negas import compat

    compat.install()
    from mmdet.models.language_models.bert import (
        generate_masks_with_special_tokens_and_transfer_map as caption_masks,
    )

    model, tokenizer = bert
    names = ["cat", "potted plant", "traffic light", "tv"]
    tokens = tokenizer(". ".join(names) + ".", return_tensors="pt")
    special = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", ".", "?"])
    allowed, positions = caption_masks(tokens, special)
    blocked = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo().min)
    embedded = model.embeddings(tokens["input_ids"], position_ids=positions)
    hidden = model.encoder(embedded, attention_mask=blocked[:, None]).last_hidden_state[0]
    in_names = ~torch.isin(tokens["input_ids"][0], torch.tensor(special))
    torch.testing.assert_close(
        hidden[in_names], torch.cat(name_features(bert, names)), atol=1e-4, rtol=1e-4
    )
