"""The label bank: round trip, what it refuses, and whom it was made for."""

import json

import pytest

from negas.labels import NegativeLabelBank

IDS, NEGS = ["person", "potted plant"], ["cloud", "Brick wall"]


def test_round_trip_keeps_order_and_text(tmp_path):
    bank = NegativeLabelBank(IDS, [*NEGS, "café"], {"model": "none", "date": "2025-01-01"})
    bank.save(tmp_path / "new" / "bank.json")
    assert NegativeLabelBank.load(tmp_path / "new" / "bank.json") == bank
    text = (tmp_path / "new" / "bank.json").read_text(encoding="utf-8")
    assert "café" in text and text.index("cloud") < text.index("Brick wall")
    assert (bank.id_labels, len(bank)) == (("person", "potted plant"), 3)


def test_provenance_is_optional(tmp_path):
    path = tmp_path / "bank.json"
    path.write_text(json.dumps({"id_labels": IDS, "neg_labels": NEGS}))
    assert NegativeLabelBank.load(path).provenance == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "a JSON object with 'id_labels' and 'neg_labels', got list"),
        ({"id_labels": IDS}, "the key 'neg_labels' is missing"),
        ({"neg_labels": NEGS}, "the key 'id_labels' is missing"),
        ({"id_labels": IDS, "neg_labels": []}, "'neg_labels' is empty"),
        ({"id_labels": [], "neg_labels": NEGS}, "'id_labels' is empty"),
        ({"id_labels": IDS, "neg_labels": "cloud"}, "'neg_labels' must be a list of labels, got s"),
        ({"id_labels": IDS, "neg_labels": ["a", " "]}, "'neg_labels' entry 1 is ' '"),
        ({"id_labels": IDS, "neg_labels": ["a", 3]}, "'neg_labels' entry 1 is 3"),
        ({"id_labels": IDS, "neg_labels": ["sky", "b", "SKY "]}, r"twice \(entries 0 and 2"),
        ({"id_labels": ["cat", "Cat"], "neg_labels": NEGS}, "'id_labels' holds 'Cat' twice"),
        ({"id_labels": IDS, "neg_labels": ["Person"]}, "'Person', which is the ID label 'person'"),
        ({"id_labels": IDS, "neg_labels": NEGS, "provenance": []}, "'provenance' must be a dict"),
    ],
)
def test_refusals_name_file_key_and_value(tmp_path, content, message):
    path = tmp_path / "bank.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        NegativeLabelBank.load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such label bank"):
        NegativeLabelBank.load(tmp_path / "none.json")


def test_check_id_labels():
    bank = NegativeLabelBank(IDS, NEGS)
    bank.check_id_labels(["Potted plant", "person"])
    with pytest.raises(ValueError, match="lacks boat and has besides potted plant"):
        bank.check_id_labels(["person", "boat"])
    with pytest.raises(ValueError, match="negative label 'cloud' is one of the detector's"):
        bank.check_id_labels([*IDS, "cloud"])
