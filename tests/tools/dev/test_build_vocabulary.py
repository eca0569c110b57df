"""tools/dev/build_vocabulary.py on a few tags: what stays, in which order, the same file twice."""

import json

import pytest
from build_vocabulary import read_counts

from tests.helpers.commands import tool_said

TAGS = """lion
tiger
dog
sofa
couch
t shirt
t-shirt
aquarium
airport
bathroom
road
floor
silk
towel
tail
big ben
person
sky
qwxyz
chainsaw
"""
# Senses as WordNet 3.0 has them: "tiger" is a person once and an animal once; "person" and "sky"
# are no things; "sofa" and "couch" are the same.
COUNTS = """couch%1:06:00:: 1 5
dog%1:05:00:: 1 42
lion%1:05:00:: 1 4
tiger%1:05:00:: 2 1
tiger%1:18:00:: 1 1
sky%1:17:00:: 1 25
sky%2:38:00:: 1 99
silk%1:06:00:: 1 5
"""


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "dict").mkdir()
    (tmp_path / "dict" / "cntlist.rev").write_text(COUNTS)
    (tmp_path / "tags.txt").write_text(TAGS)
    return tmp_path / "tags.txt", tmp_path / "dict"


def build(capsys, *args):
    return tool_said(capsys, "dev/build_vocabulary", *args)


def test_things_stay_in_the_order_of_their_frequency(capsys, sources, tmp_path):
    code, out, error = build(capsys, *sources, "--out", tmp_path / "out.json")
    assert code == 0, error
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["words"][:4] == ["dog", "couch", "lion", "tiger"]
    assert sorted(data["words"][4:]) == ["aquarium", "chainsaw", "t-shirt", "towel"]
    provenance = data["provenance"]
    assert provenance["taken_out_words"] == {
        "place": ["airport", "bathroom"],
        "way or surface": ["road", "floor"],
        "fabric": ["silk"],  # but a towel is a piece of cloth
        "part of a body": ["tail"],
        "one named individual": ["big ben"],
        "another word for a meaning that a word before it has": ["sofa"],
        "another spelling of a word before it": ["t shirt"],
    }
    assert provenance["taken_out"] | provenance["counts"] == {
        **{why: len(words) for why, words in provenance["taken_out_words"].items()},
        "not a noun of WordNet": 1,
        "its usual meaning is no artifact, food, animal or plant": 2,
        **{"words": 8, "artifact": 5, "food": 0, "animal": 3, "plant": 0},
        "found_in_tagged_texts": 4,
    }
    assert "8 of 20 tags" in out and "left out: 2 (place)" in out


def test_the_same_input_gives_the_same_file_wherever_it_lies(capsys, sources, tmp_path):
    moved = tmp_path / "elsewhere.txt"
    moved.write_text(TAGS)
    for tags, name in ((sources[0], "a.json"), (moved, "b.json")):
        assert build(capsys, tags, sources[1], "--out", tmp_path / name)[0] == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_frequencies_of_nouns():
    assert read_counts("hot_dog%1:13:00:: 2 3\ndog%2:38:00:: 1 2\n") == {("hot dog", 2): 3}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tags.txt", None, "no such file"),
        ("dict/cntlist.rev", None, "holds no cntlist.rev"),
        ("dict/cntlist.rev", "no counts\n", "cntlist.rev holds no count of a noun"),
        ("tags.txt", "sky\n", "'words' is empty"),
    ],
)
def test_bad_input_is_one_sentence(capsys, sources, tmp_path, name, content, message):
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    code, _, error = build(capsys, *sources, "--out", tmp_path / "out.json")
    assert code == 2 and message in error and "Traceback" not in error
    assert not (tmp_path / "out.json").exists()
