"""The vocabulary: what it is loaded from, what is cut for ID names, what it refuses."""

import json

import pytest

from negas.labels import NegativeLabelBank, Vocabulary
from negas.labels import leakage as leakage_module
from negas.labels import vocabulary as vocabulary_module
from negas.labels.names import name_forms, read_names, read_ood_names
from negas.labels.wordnet import THINGS, WordNet
from tests.helpers.yolo_world import ROOT

WORDS = ("zebra", "traffic cone", "café table")


def test_round_trip_keeps_order_and_provenance(tmp_path):
    vocabulary = Vocabulary(WORDS, {"source": "me"})
    vocabulary.save(tmp_path / "new" / "words.json")
    loaded = Vocabulary.load(tmp_path / "new" / "words.json")
    assert loaded == vocabulary and len(loaded) == 3
    data = json.loads((tmp_path / "new" / "words.json").read_text())
    assert data == {"words": list(WORDS), "provenance": {"source": "me"}}


def test_a_bank_a_list_and_a_text_file_do_as_well(tmp_path):
    NegativeLabelBank(["dog"], WORDS, {"model": "none"}).save(tmp_path / "bank.json")
    bank = Vocabulary.load(str(tmp_path / "bank.json"))
    assert bank.words == WORDS
    assert bank.provenance == {"bank": str(tmp_path / "bank.json"), "model": "none"}
    (tmp_path / "words.txt").write_text("zebra\n\ntraffic cone\r\ncafé table\n", encoding="utf-8")
    (tmp_path / "list.json").write_text(json.dumps(WORDS))
    for name in ("words.txt", "list.json"):
        loaded = Vocabulary.load(tmp_path / name)
        assert (loaded.words, loaded.provenance) == (WORDS, {"file": str(tmp_path / name)})
    assert Vocabulary.load(list(WORDS)) == Vocabulary(WORDS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.json", "{", "not valid JSON"),
        ("v.json", '"zebra"', "'words', a label bank one with 'id_labels' and 'neg_labels'"),
        ("v.json", '{"labels": ["a"], "b": 1}', "this one has the keys labels, b"),
        ("v.json", "{}", "has the keys none"),
        ("v.json", '{"words": []}', "'words' is empty; a vocabulary needs"),
        ("v.json", '{"words": "zebra"}', "'words' must be a list of labels, got str"),
        ("v.json", '{"words": ["a", "A "]}', "'words' holds 'A ' twice"),
        ("v.json", '{"words": ["a", ""]}', "'words' entry 1 is ''"),
        ("v.json", '{"words": ["a"], "provenance": 1}', "'provenance' must be a dict, got int"),
        ("v.json", "[]", "'words' is empty"),
        ("v.json", '{"neg_labels": ["a"]}', "the key 'id_labels' is missing"),
        ("v.txt", "\n\n", "'words' is empty"),
        ("v.txt", "zebra\nZebra\n", "'words' holds 'Zebra' twice"),
        ("v.txt", "dog . cat .\n", "looks like a caption"),
    ],
)
def test_refusals_are_one_sentence_with_the_file(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        Vocabulary.load(path)
    said = str(caught.value)
    assert said.count(str(path)) == 1 and "\n" not in said


def test_a_file_that_is_not_text_or_not_there(tmp_path, monkeypatch):
    (tmp_path / "words.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match=r"words\.txt.*not UTF-8"):
        Vocabulary.load(tmp_path / "words.txt")
    with pytest.raises(FileNotFoundError, match=r"^comon: no such vocabulary.*'common'"):
        Vocabulary.load("comon")
    monkeypatch.setattr(vocabulary_module, "SHIPPED", tmp_path / "vocabulary.json")
    with pytest.raises(FileNotFoundError, match=r"vocabulary\.json: the vocabulary 'common' is"):
        Vocabulary.load("common")
    with pytest.raises(ValueError, match="'words' is empty"):
        Vocabulary.load([])


def test_without_cuts_what_names_an_id_class_and_says_why():
    words = ["lion", "sofas", "Car", "cars", "sports car", "my plastic fork", "vehicle", "zebra"]
    vocabulary = Vocabulary(words, {"source": "me"})
    cut = vocabulary.without(["person", "couch", "car", "fork"])
    assert cut.words == ("lion", "zebra")
    assert cut.provenance["source"] == "me" and "without" not in vocabulary.provenance
    (record,) = cut.provenance["without"]
    assert record["id_names"] == ["person", "couch", "car", "fork"]
    assert (record["ood_names"], record["wordnet"]) == ([], True)
    assert [tuple(row.values()) for row in record["cut"]] == [
        ("sofas", "couch", "synonym", "id"),
        ("Car", "car", "exact", "id"),
        ("cars", "car", "inflection", "id"),
        ("sports car", "car", "hyponym", "id"),
        ("my plastic fork", "fork", "compound", "id"),
        ("vehicle", "car", "hypernym", "id"),
    ]
    assert list(record["cut"][0]) == ["word", "class", "kind", "of"]


def test_without_ood_classes_and_names_of_a_class():
    vocabulary = Vocabulary(["heron", "houseplant", "plains zebra", "drum", "zebra"])
    cut = vocabulary.without([("potted plant", "houseplant")], [("zebra", "stripes"), "bird"])
    assert cut.words == ("drum",)
    (record,) = cut.provenance["without"]
    assert (record["id_names"], record["ood_names"]) == (["potted plant"], ["zebra", "bird"])
    assert [(row["word"], row["class"], row["of"]) for row in record["cut"]] == [
        ("houseplant", "potted plant", "id"),
        ("heron", "bird", "ood"),
        ("plains zebra", "zebra", "ood"),
        ("zebra", "zebra", "ood"),
    ]
    again = Vocabulary(["drum", "zebra", "heron"]).without(["zebra"]).without(["bird"])
    assert again.words == ("drum",) and len(again.provenance["without"]) == 2


def test_only_names_of_the_classes(tmp_path):
    (tmp_path / "words.txt").write_text("sofa\ncar\n")
    vocabulary = Vocabulary.load(tmp_path / "words.txt")
    with pytest.raises(ValueError, match=r"words\.txt: every word \(sofa, car\) names an ID class"):
        vocabulary.without(["couch", "car"])
    with pytest.raises(ValueError, match="names an ID class or an OOD test class"):
        vocabulary.without(["couch"], ["car"])


def test_without_a_lexicon_spelling_alone_counts(monkeypatch):
    monkeypatch.setattr(leakage_module, "default_wordnet", lambda: WordNet.load("none.gz"))
    cut = Vocabulary(["sofa", "couches"]).without(["couch"])
    assert cut.words == ("sofa",) and cut.provenance["without"][0]["wordnet"] is False


def test_words_meet_the_same_classes_once(monkeypatch):
    calls = []

    def audit(words, names, as_things):
        calls.append((words, names))
        return [], True

    monkeypatch.setattr(vocabulary_module, "audit_as_far_as_possible", audit)
    words, names = ["kettle of fish", "sextant"], [["yawl", "dandy"], "zither"]
    for vocabulary in (Vocabulary(words), Vocabulary(words, where="another file")):
        assert vocabulary.without((), names).words == tuple(words)
    once = (tuple(words), (("yawl", "dandy"), "zither"))
    assert calls.count(once) == 1
    assert Vocabulary(words).without((), names[:1]).words == tuple(words) and len(calls) <= 3


def test_top():
    vocabulary = Vocabulary(WORDS, {"source": "me"})
    assert vocabulary.top(2) == Vocabulary(WORDS[:2], {"source": "me", "top": 2})
    assert vocabulary.top(9).words == WORDS
    with pytest.raises(ValueError, match="at least one word, got 0"):
        vocabulary.top(0)


# --- the shipped vocabulary -----------------------------------------------------------------------
def test_the_shipped_vocabulary_holds_things_once_each():
    vocabulary = Vocabulary.load("common")
    counts = vocabulary.provenance["counts"]
    assert 1500 < len(vocabulary) == counts["words"]
    assert sum(counts[file.partition(".")[2]] for file in THINGS) == len(vocabulary)
    total = int(vocabulary.provenance["source"].split()[-2])
    assert len(vocabulary) + sum(vocabulary.provenance["taken_out"].values()) == total
    wordnet, seen = WordNet.load(), set()
    for word in vocabulary.words:
        assert not name_forms(word) & seen, word
        seen |= name_forms(word)
        assert {synset.file for synset in wordnet.synsets(word)} & set(THINGS), word
    assert {"dog", "tiger", "hot dog", "helicopter"} <= set(vocabulary.words)
    assert not {"airport", "kitchen", "road", "floor", "wall", "sky"} & set(vocabulary.words)
    assert (ROOT / "data/labels/vocabulary.NOTICE.txt").is_file()
    readme = (ROOT / "data/labels/README.md").read_text()
    assert f"{len(vocabulary):,} common things" in readme
    assert f"({counts['found_in_tagged_texts']} of the words" in readme


def test_the_shipped_vocabulary_is_left_with_most_words_by_the_built_in_benchmark():
    ids = read_names(str(ROOT / "data/emoji_world/id_names.txt"))
    ood = read_ood_names(ROOT / "data/labels/ood_names/coco_ood_voc.txt")
    vocabulary = Vocabulary.load("common")
    without_id, without_both = vocabulary.without(ids), vocabulary.without(ids, ood)
    assert 1500 < len(without_both) < len(without_id) < len(vocabulary)
    gone = set(vocabulary.words) - set(without_id.words)
    assert {"sports car", "vehicle", "motorbike", "owl", "cattle"} <= gone
    assert {"lion", "zebra", "wheel"} <= set(without_id.words)
    assert "zebra" not in without_both.words
