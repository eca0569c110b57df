"""The text tower in data/emoji_world/tiny_clip: loads offline, names mean what they should."""

import json
from pathlib import Path

import pytest
import torch
from tiny_tokenizer import load_tokenizer

from negas.embeddings import encode_labels

DATA = Path(__file__).resolve().parents[2] / "data" / "emoji_world"


def load():
    from transformers import CLIPTextModelWithProjection

    directory = DATA / "tiny_clip"
    model = CLIPTextModelWithProjection.from_pretrained(directory, local_files_only=True)
    return model.float().eval().requires_grad_(False), load_tokenizer(directory)


@pytest.fixture(scope="module")
def clip():
    return load()


@pytest.fixture(scope="module")
def class_names():
    return [row["name"] for row in json.loads((DATA / "classes.json").read_text())["classes"]]


def test_every_class_has_a_direction_of_its_own(clip, class_names):
    feats = encode_labels(*clip, class_names)
    cosines = feats @ feats.T - 2 * torch.eye(len(feats))
    assert feats.shape[1] == 512
    assert cosines.max() < 0.9
    assert cosines[cosines > -1].mean().abs() < 0.1  # centred


@pytest.mark.parametrize(
    ("name", "near", "far"),
    [
        ("couch", "sofa", "cow"),
        ("horse", "donkey", "bicycle"),
        ("dog", "puppy", "bus"),
        ("zebra", "tiger", "tv"),
        ("bus", "truck", "banana"),
    ],
)
def test_relatives_are_closer_than_strangers(clip, name, near, far):
    anchor, close, distant = encode_labels(*clip, [name, near, far])
    assert anchor @ close > anchor @ distant + 0.2
