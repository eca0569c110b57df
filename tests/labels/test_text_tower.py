"""Which words the built-in text towers were trained on."""

import json

import pytest

from negas.labels import Vocabulary
from negas.labels.names import read_names
from negas.labels.text_tower import NAMES_FILE, seen_by_text_tower
from tests.helpers.yolo_world import ROOT

TOWERS = {"tiny_clip": "text_log.json", "tiny_bert": "bert_log.json"}


def test_words_are_seen_in_this_form_only(tmp_path):
    (tmp_path / NAMES_FILE).write_text("traffic light\ncat\n")
    words = ["Traffic_Light", "cats", "cat", "light"]
    assert seen_by_text_tower(words, tmp_path) == (True, False, True, False)
    assert seen_by_text_tower([], tmp_path) == ()


def test_a_tower_that_does_not_say(tmp_path):
    assert seen_by_text_tower(["cat"], tmp_path) is None
    assert seen_by_text_tower(["cat"], "openai/clip-vit-base-patch32") is None


@pytest.mark.parametrize("tower", TOWERS)
def test_the_shipped_towers_name_what_their_logs_count(tower):
    folder = ROOT / "data/emoji_world" / tower
    names = read_names(str(folder / NAMES_FILE))
    assert len(set(names)) == json.loads((folder / TOWERS[tower]).read_text())["names"]
    # the README of tiny_bert: every word of the names is one token
    tokens = set((ROOT / "data/emoji_world/tiny_bert/vocab.txt").read_text().split("\n"))
    words = {word for name in names for word in name.split() if word.isalpha()}
    assert len(words) > 1000 and words <= tokens
    # README of tiny_clip
    assert seen_by_text_tower(["aeroplane", "sofa"], folder) == (False, True)
    seen = seen_by_text_tower(Vocabulary.load("common").words, folder)
    readme = (ROOT / "data/labels/README.md").read_text()
    assert f"{sum(seen)} of the words are names that EmojiWorld's" in readme
