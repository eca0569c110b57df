"""Text vectors of a file in the place of an encoder, and the banks ranked by such vectors."""

import json
from pathlib import Path

import numpy as np
import pytest

from negas.labels import NegativeLabelBank
from negas.labels.candidates import read_candidates
from negas.labels.mining.options import MiningOptions
from negas.labels.mining.run import mine
from negas.labels.text_vectors import TextVectors

LABELS = Path(__file__).parents[2] / "data/labels"
NAMES = ["Dog", "wolf", "kite", "oil_lamp", "person", "bus", "WOLF"]
FEATS = np.array([[3, 0, 0], [2, 1, 0], [0, 0, 5], [0, 1, 9], [1, 1, 1], [0, 1, 0], [0, 9, 9]])


@pytest.fixture
def file(tmp_path):
    np.savez(tmp_path / "vectors.npz", names=NAMES, embeddings=FEATS.astype(np.float16))
    return tmp_path / "vectors.npz"


@pytest.fixture
def options(tmp_path, file):
    def build(**given):
        (tmp_path / "words.txt").write_text("wolf\nkite\noil lamp\nspaceship\n")
        base = dict(class_names=("dog", "bus"), source="file", out=tmp_path / "bank.json", num=2)
        base |= dict(candidates_file=str(tmp_path / "words.txt"), work_dir=tmp_path / "work")
        return MiningOptions(**base | dict(encoder=str(file), prototypes=False) | given)

    return build


def test_rows_are_unit_vectors_of_the_first_spelling_without_underscores(file):
    vectors = TextVectors.load(file)
    rows = vectors.rows(["WOLF", "dog"])
    assert rows == pytest.approx(np.array([[2, 1, 0], [5**0.5, 0, 0]]) / 5**0.5, abs=1e-3)
    assert "oil lamp" not in vectors and "oil_lamp" not in vectors
    stand_in = vectors.rows(["pedestrian"], {"pedestrian": "person"})
    assert stand_in == pytest.approx(vectors.rows(["person"]))
    with pytest.raises(ValueError, match=r'none of rider; .*--stand-ins "rider=NAME"'):
        vectors.rows(["dog", "rider"])


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (dict(names=["a"]), "holds no embeddings"),
        (dict(names=["a"], embeddings=np.ones((2, 3))), "1 names for 2 rows"),
        (dict(names=["a"], embeddings=np.zeros((1, 3))), "all-zero"),
    ],
)
def test_what_is_no_file_of_vectors(tmp_path, arrays, sentence):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=rf"bad\.npz: .*{sentence}"):
        TextVectors.load(tmp_path / "bad.npz")


def test_mining_ranks_the_candidates_that_have_a_vector(options):
    report = mine(options())
    assert report.counts["candidates"] == 4 and report.counts["with a vector"] == 2
    assert "after the visual filter" not in report.counts
    bank = NegativeLabelBank.load(options().out)
    assert bank.neg_labels == ("kite", "wolf"), "the least like an ID name first"
    assert bank.provenance["candidates"]["with a vector"] == 2
    assert set(bank.provenance["encoder"]) == {"text vectors", "SHA-256"}


def test_stand_ins_are_recorded_and_change_the_ranking(options):
    given = dict(class_names=("dog", "rider"), stand_ins=("rider=kite",))
    bank = mine(options(**given)).bank
    assert bank.neg_labels == ("wolf", "kite")
    assert bank.provenance["options"]["stand_ins"] == ["rider=kite"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (dict(prototypes=True, ann_file="a.json", img_dir="a"), "holds texts only"),
        (dict(select="csp"), "holds texts only"),
        (dict(encoder="missing.npz"), "missing.npz' does not exist"),
        (dict(stand_ins=("rider",)), "--stand-ins 'rider' is no pair"),
    ],
)
def test_options_that_do_not_go_together(options, given, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        options(**given).check()


def test_a_draw_by_lot_needs_no_encoder_and_follows_the_seed(options):
    draw = dict(select="random", encoder=None, source="wordnet", num=20)
    first, again, other = (
        mine(options(**draw, seed=seed, work_dir=options().work_dir / str(seed))).bank.neg_labels
        for seed in (1, 1, 2)
    )
    assert first == again and len(first) == 20 and not set(first) & set(other)


@pytest.mark.parametrize(
    ("name", "ranked", "num_candidates"), [("voc", 138, 300), ("bdd100k", 144, 372)]
)
def test_ranked_banks_are_candidates_in_the_order_of_dissimilarity(name, ranked, num_candidates):
    bank, by_hand = NegativeLabelBank.load(f"{name}_ranked"), NegativeLabelBank.load(name)
    assert bank.id_labels == by_hand.id_labels and len(bank) == 30
    assert set(bank.neg_labels) <= set(read_candidates(LABELS / f"candidates/{name}.json"))
    counts = bank.provenance["candidates"]
    assert (counts["candidates"], counts["with a vector"]) == (num_candidates, ranked)
    rows = [bank.provenance["similarities"][label]["dissimilarity"] for label in bank.neg_labels]
    assert rows == sorted(rows, reverse=True)
    assert "No visual filter" in bank.provenance["note"]


def test_top_takes_the_best_ones():
    bank = NegativeLabelBank.load("voc_ranked")
    top = bank.top(5)
    assert top.neg_labels == bank.neg_labels[:5] and top.provenance["top"] == "the first 5 of 30"
    assert json.loads(json.dumps(top.provenance)) == top.provenance
    for num in (0, 31):
        with pytest.raises(ValueError, match=f"has 30 labels where {num} are asked"):
            bank.top(num)
