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
    rows = [row for row in rows if "neg_labels" in row]  # the vocabulary is no bank
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
    assert max(lengths) <= 7
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
