"""The leakage audit by words, by embeddings, and the lists the repository ships."""

import json
from pathlib import Path

import numpy as np
import pytest

from negas.labels import NegativeLabelBank, overlap
from negas.labels import leakage as audit_module
from negas.labels.candidates import Candidates, read_candidates
from negas.labels.leakage import (
    audit,
    default_wordnet,
    leakage,
    leaking,
)
from negas.labels.names import read_ood_names, used_categories
from negas.labels.nearness import measure_nearness
from negas.labels.wordnet import WordNet

LABELS = Path(__file__).parents[2] / "data" / "labels"
SHIPPED = {"voc": (20, 200, 60), "bdd100k": (10, 300, 71)}  # classes, candidates, OOD classes


def kinds(label, *ood, **options):
    return {(f.ood_name, f.kind) for f in audit([label], ood, **options)}


@pytest.mark.parametrize(
    ("label", "name", "kind"),
    [
        ("Wine_Glass", "wine glass", "exact"),
        ("hotdog", "hot dog", "inflection"),
        ("wine glasses", "wine glass", "inflection"),
        ("sofa", "couch", "synonym"),
        ("park bench", "bench", "hyponym"),
        ("heron", "bird", "hyponym"),  # though "heron" is first of all a name
        ("vehicle", "truck", "hypernym"),
        ("rolling suitcase", "suitcase", "compound"),
        ("portable lavatory", "toilet", "compound"),  # ends in a synonym
        ("computer mouse", "mouse", "synonym"),  # rare meaning, but the label has no other
        ("mouse", "computer mouse", "synonym"),
        ("sign", "stop sign", "hypernym"),  # a class that WordNet lacks
    ],
)
def test_kind_of_a_pair(label, name, kind):
    assert kinds(label, name) == {(name, kind)}


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("fox", "dog"),  # siblings
        ("gift box", "stop sign"),  # neither in WordNet
        ("zebra crossing", "zebra"),  # what it ends in counts
        ("qwxyz", "bird"),
        ("truck", "pickup truck driver"),
    ],
)
def test_pairs_that_are_none(label, name):
    assert kinds(label, name) == set()


def test_rare_meanings_count_on_request_only():
    assert kinds("caterpillar", "cat") == set()
    assert kinds("caterpillar", "cat", senses=None) == {("cat", "synonym")}
    assert kinds("heron", "bird", senses=1) == set()


@pytest.mark.parametrize(
    ("label", "name", "usually", "as_thing"),
    [
        ("lion", "person", {"hyponym"}, set()),  # second meaning: a celebrity
        ("tiger", "person", {"hyponym"}, {"hyponym"}),  # first meaning: a fierce person
        ("wheel", "bicycle", {"synonym"}, set()),  # a meaning that only "bicycle" brings up
        ("nanny", "person", {"hyponym"}, {"hyponym"}),  # first meaning, though also a goat
        ("van", "car", set(), {"hyponym"}),  # third meaning, the first that is a thing
        ("heron", "bird", {"hyponym"}, {"hyponym"}),
        ("mouse", "computer mouse", {"synonym"}, {"synonym"}),  # a shared word: all meanings
        ("vehicle", "truck", {"hypernym"}, {"hypernym"}),
        ("plastic fork", "fork", {"compound"}, {"compound"}),
        ("sky", "person", set(), set()),  # no thing in any meaning
    ],
)
def test_labels_read_as_things(label, name, usually, as_thing):
    assert kinds(label, name) == {(name, kind) for kind in usually}
    assert kinds(label, name, as_things=True) == {(name, kind) for kind in as_thing}


def test_strongest_kind_per_pair_in_the_order_of_labels_and_classes():
    found = audit(["furniture", "bed", "sofas"], ["couch", "bed"])
    assert [(f.label, f.ood_name, f.kind) for f in found] == [
        ("furniture", "couch", "hypernym"),
        ("furniture", "bed", "hypernym"),
        ("bed", "bed", "exact"),
        ("sofas", "couch", "synonym"),
    ]
    assert [f.is_leak for f in found] == [False, False, True, True]
    assert "sofa" in found[-1].detail and "noun.artifact" in found[-1].detail


def test_a_class_may_have_several_names():
    assert kinds("footballs", ("sports ball", "football")) == {("sports ball", "synonym")}
    assert kinds("basketball", "sports ball") == set()
    assert kinds("basketball", ("sports ball", "ball")) == {("sports ball", "hyponym")}


def test_leaking_counts_what_names_a_class():
    bank = NegativeLabelBank(["dog"], ["vehicle", "sofa", "beds", "moon", "rolling suitcase"])
    names = ["couch", "bed", "truck", "suitcase"]
    assert leaking(bank, names) == ["sofa", "beds"]
    assert leaking(bank.neg_labels, names, by=("exact", "inflection")) == ["beds"]
    assert leaking(bank, names, by=["hypernym", "compound"]) == ["vehicle", "rolling suitcase"]
    assert leaking(bank, names, by="synonym") == ["sofa"]
    assert leaking(bank, []) == []


def test_spelling_alone_needs_no_wordnet():
    class NoWordNet(WordNet):
        def __init__(self):
            pass

        def synsets(self, *args, **kwargs):
            raise AssertionError("looked up")

    words = leaking(["beds", "sofa"], ["bed", "couch"], ("inflection",), wordnet=NoWordNet())
    assert words == ["beds"]


def test_leakage_for_result_files(monkeypatch):
    labels, names = ["vehicle", "sofas", "moon", "bed"], ["bed", "truck", "couch"]
    found = leakage(labels, names)
    assert found["leaks"] == ["sofas", "bed"] and found["wordnet"]
    assert list(found["kinds"].items()) == [
        ("vehicle", "hypernym"),
        ("sofas", "synonym"),
        ("bed", "exact"),
    ]
    monkeypatch.setattr(audit_module, "default_wordnet", lambda: WordNet.load("none.gz"))
    assert leakage(labels, names) == dict(leaks=["bed"], kinds={"bed": "exact"}, wordnet=False)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(dict(by=["similar"]), "unknown kinds"), (dict(senses=0), "at least 1")],
)
def test_bad_options(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        audit(["a"], ["b"], **options)


# --- similarity -----------------------------------------------------------------------------------
def degrees(*angles):
    return np.stack([np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles))], axis=-1)


ANGLES = {"a": 0, "b": 10, "c": 30, "d": 90, "x": 1, "y": 80, "z": 200}


def encode(names):
    return 3.0 * degrees(*(ANGLES[name] for name in names))


def test_nearness_by_hand():
    near = measure_nearness(["a", "b", "c", "d"], [("x", "other"), "y", "z"], encode, quantile=0.5)
    assert near.nearest == ("x", "x", "x", "y")
    assert near.cosines == pytest.approx(np.cos(np.deg2rad([1, 9, 29, 10])))
    assert near.baseline == pytest.approx(np.cos(np.deg2rad([10, 10, 20, 60])))
    middle = (np.cos(np.deg2rad(10)) + np.cos(np.deg2rad(20))) / 2
    assert near.threshold == pytest.approx(middle)
    assert [(f.label, f.ood_name) for f in near.findings()] == [("a", "x"), ("b", "x"), ("d", "y")]
    assert near.share_below(0.99) == 1 and near.share_below(0.6) == 0.25
    assert near.findings()[0].kind == "similar" and not near.findings()[0].is_leak


def test_a_given_threshold_needs_no_second_label():
    near = measure_nearness(["a"], ["x", "y"], encode, threshold=0.999)
    assert [f.label for f in near.findings()] == ["a"] and near.quantile is None
    assert measure_nearness(["b"], ["x"], encode, threshold=0.999).findings() == []


def test_blocks_of_many_labels_agree_with_one_matrix():
    rng = np.random.default_rng(0)
    table = dict(zip([f"w{i}" for i in range(2100)], rng.normal(size=(2100, 8)), strict=True))
    table["x"] = rng.normal(size=8)
    words = [name for name in table if name != "x"]
    near = measure_nearness(words, ["x"], lambda names: np.stack([table[n] for n in names]))
    feats = np.stack([table[n] / np.linalg.norm(table[n]) for n in words])
    among = feats @ feats.T
    np.fill_diagonal(among, -1)
    assert near.baseline == pytest.approx(among.max(1))
    assert near.threshold == pytest.approx(np.quantile(among.max(1), 0.95))


@pytest.mark.parametrize(
    ("labels", "options", "sentence"),
    [
        (["a"], {}, "two labels"),
        (["a", "b"], dict(quantile=1.5), "quantile"),
        (["a", "b"], dict(threshold=2.0), "cosine"),
        (["a", "b"], dict(encode=lambda names: np.zeros((len(names), 2))), "all-zero values"),
        (
            ["a", "b"],
            dict(encode=lambda names: np.ones((len(names), len(names)))),
            "channels where",
        ),
    ],
)
def test_similarity_refuses(labels, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        measure_nearness(labels, ["x"], **(dict(encode=encode) | options))


# --- names of OOD classes -------------------------------------------------------------------------
def test_names_from_text_json_and_coco(tmp_path):
    text = tmp_path / "names.txt"
    text.write_text("skis, ski\n\nsports ball , ball,\nkite\n")
    assert read_ood_names(text) == [("skis", "ski"), ("sports ball", "ball"), ("kite",)]
    listed = tmp_path / "names.json"
    listed.write_text(json.dumps([["skis", "ski"], "kite"]))
    assert read_ood_names(str(listed)) == [("skis", "ski"), ("kite",)]
    coco = tmp_path / "coco.json"
    categories = [dict(id=i, name=name) for i, name in enumerate(["dog", "kite", "skis"])]
    coco.write_text(json.dumps(dict(categories=categories, annotations=[dict(category_id=2)])))
    assert read_ood_names(coco) == [("skis",)]
    assert used_categories(dict(categories=categories)) == ["dog", "kite", "skis"]
    assert read_ood_names(["kite", "a, b"]) == [("kite",), ("a, b",)]


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("names.txt", "\n", "no name"),
        ("names.txt", ",\nkite", "expected a non-empty name"),
        ("names.txt", "kite\nKite", "twice"),
        ("names.json", "{", "JSON"),
        ("names.json", "3", "JSON list"),
        ("names.json", '{"images": []}', "COCO"),
        ("names.json", '["kite", 3]', "expected a non-empty name"),
    ],
)
def test_names_that_are_none(tmp_path, file, text, sentence):
    (tmp_path / file).write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_ood_names(tmp_path / file)


@pytest.mark.parametrize("name", ["none.txt", "none.json"])
def test_no_file_of_names(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=name):
        read_ood_names(tmp_path / name)


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "names.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match="UTF-8"):
        read_ood_names(tmp_path / "names.txt")


# --- the shipped lists ----------------------------------------------------------------------------
def candidates(name):
    data = json.loads((LABELS / "candidates" / f"{name}.json").read_text(encoding="utf-8"))
    return data, read_candidates(LABELS / "candidates" / f"{name}.json")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_candidates_are_many_distinct_and_no_id_label(name):
    num_classes, at_least, _ = SHIPPED[name]
    data, words = candidates(name)
    assert len(data["id_labels"]) == num_classes and len(words) >= at_least
    assert Candidates(data["id_labels"]).add(words)[0] == words  # nothing dropped or cleaned
    assert set(data["resembles"]) == set(words)
    assert set(data["resembles"].values()) == set(data["id_labels"])  # no class without look-alikes
    assert min(len(group) for group in data["candidates"].values()) >= 5
    for word in words:
        assert not overlap(words[words.index(word) + 1 :], [word])
    page = (LABELS / "candidates" / f"{name}.md").read_text(encoding="utf-8")
    listed = [line[2:] for line in page.splitlines() if line.startswith("- ")]
    assert listed == [f"{word} ({data['resembles'][word]})" for word in words]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_twenty_are_candidates_and_no_relatives_of_an_id_class(name):
    data, words = candidates(name)
    bank = NegativeLabelBank.load(LABELS / f"{name}.json")
    assert list(bank.id_labels) == data["id_labels"]
    assert len(bank) == 20 and set(bank.neg_labels) <= set(words)
    assert bank.provenance["num_candidates"] == len(words)
    resembles = bank.provenance["resembles"]
    assert resembles == {label: data["resembles"][label] for label in bank.neg_labels}
    assert set(resembles.values()) == set(bank.id_labels)
    relatives = audit(
        bank.neg_labels,
        bank.id_labels,
        by=("exact", "inflection", "synonym", "hyponym", "hypernym"),
        senses=None,
    )
    assert {finding.label for finding in relatives} == set(bank.provenance["wordnet_exceptions"])


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_ood_names(name):
    bank = NegativeLabelBank.load(LABELS / f"{name}.json")
    classes = read_ood_names(LABELS / "ood_names" / f"coco_ood_{name}.txt")
    assert len(classes) == SHIPPED[name][2]
    assert not {names[0] for names in classes} & set(bank.id_labels)
    for names in classes:  # every class can be looked up under one of its names
        assert any(name in default_wordnet() for name in names) or names == ("stop sign",)
