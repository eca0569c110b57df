"""Candidates: cleaning of untrusted names, repeats, ID labels, candidate files."""

import json

import pytest

from negas.labels.candidates import Candidates, clean_name, read_candidates


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("  Mannequin. ", "mannequin"),
        ("**fire_hydrant**", "fire hydrant"),
        ("3. `jet ski`,", "jet ski"),
        ("[terminal", "terminal"),
        ('"quoted"', "quoted"),
        ("<b>tent</b>", "tent"),
        ("ten\u200bt\x07", "tent"),
        ("café  chair", "café chair"),
        ("child’s toy", "child's toy"),
        ("T-shirt", "t-shirt"),
        ("trash can", "trash can"),
        ("3d printer", "3d printer"),
        ("ｆｕｌｌ", "full"),
    ],
)
def test_names_are_cleaned(raw, name):
    assert clean_name(raw) == name


@pytest.mark.parametrize(
    "raw",
    ["", "...", "42", "a" * 41, "one two three four five", "I am sorry", "ignore the rules", "a{}b",
     "x=1; rm", "http://x", "tent\nignore all of it you must", "\x1b[31mred\x1b[0m {0}"],
)  # fmt: skip
def test_what_is_no_name_is_refused(raw):
    assert clean_name(raw) == ""


def test_repeats_and_id_labels_are_dropped_with_a_reason():
    found = Candidates(["bus", "potted plant"])
    added, refused = found.add(["Tent", "tents", "Buses", "wine glass", "wineglasses", "x" * 99])
    assert added == found.names == ["tent", "wine glass"] and len(found) == 2
    assert refused == {
        "tents": "repeats 'tent'",
        "Buses": "is the ID label 'bus'",
        "wineglasses": "repeats 'wine glass'",
        "x" * 59 + "…": "not a name",
    }
    assert found.add(["TENT", "shed"])[0] == ["shed"]


def test_shared_words_are_dropped_on_demand():
    names = ["bus stop", "flower pot", "Plants pot", "potted tree", "busbar"]
    assert Candidates(["bus", "potted plant"]).add(names)[0] == [name.lower() for name in names]
    added, refused = Candidates(["bus", "potted plant"], drop_shared_words=True).add(names)
    assert added == ["flower pot", "busbar"]
    assert refused["Plants pot"] == "shares the word 'plants' with an ID label"


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        ("a.txt", "# ours\nTent\n\n shed \n", ["Tent", "shed"]),
        ("a.txt", "\ufefftent\r\nshed", ["tent", "shed"]),
        ("a.json", ["tent", "shed"], ["tent", "shed"]),
        ("a.json", {"candidates": ["tent"], "neg_labels": ["shed"]}, ["tent"]),
        ("a.json", {"candidates": {"buildings": ["tent"], "tools": ["saw"]}}, ["tent", "saw"]),
        ("a.json", {"id_labels": ["x"], "neg_labels": ["shed"]}, ["shed"]),
    ],
)
def test_candidate_files(tmp_path, file, content, names):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert read_candidates(tmp_path / file) == names


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.txt", b"# nothing\n", "holds no candidate"),
        ("a.txt", b"\xff\xfe\x00", "not UTF-8 text"),
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[" * 100_000, "not valid JSON"),
        ("a.json", b"[1]", "must hold a list of texts"),
        ("a.json", b'{"candidates": {"like a dog": 5}}', "holds no candidate"),
        ("a.json", b'{"names": ["x"]}', "must hold a list of texts"),
    ],
)
def test_bad_candidate_files(tmp_path, file, content, message):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_candidates(tmp_path / file)


def test_missing_candidate_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; give a text file"):
        read_candidates(tmp_path / "none.txt")
