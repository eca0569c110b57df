"""CSP's pool of conjugated adjectives and its rule for near copies of ID labels."""

import random
from pathlib import Path

import numpy as np
import pytest

from negas.labels.corpus import CSP_EXCLUDED, Corpus, load_corpus
from negas.labels.selection.csp import SUPER_CLASSES, conjugate, select_csp
from negas.labels.selection.neglabel import id_similarity

CORPUS = Corpus(("cat", "gaudy", "dog", "red", "wide"), ("noun", "adj", "noun", "adj", "adj"))


def test_adjectives_get_a_super_class_each():
    pool = conjugate(CORPUS)
    assert pool.parts == CORPUS.parts and pool.of("noun") == ["cat", "dog"]
    random.seed(0)  # the released code draws from Python's global generator with this seed
    drawn = [random.choice(SUPER_CLASSES) for _ in range(3)]
    assert pool.of("adj") == [
        f"{a} {n}" for a, n in zip(["gaudy", "red", "wide"], drawn, strict=True)
    ]


def test_drawing_is_local_and_seeded():
    random.seed(5)
    state = random.getstate()
    assert conjugate(CORPUS, seed=1) == conjugate(CORPUS, seed=1)
    assert random.getstate() == state
    many = Corpus(("red",) * 100, ("adj",) * 100)
    assert conjugate(many, seed=1) != conjugate(many, seed=2)
    assert {word.removeprefix("red ") for word in conjugate(many).words} <= set(SUPER_CLASSES)
    with pytest.raises(ValueError, match="super_classes is empty"):
        conjugate(CORPUS, super_classes=())


def test_a_pair_that_is_a_noun_or_an_id_label_already_goes():
    corpus = Corpus(("red scene", "cat", "red", "wide"), ("noun", "noun", "adj", "adj"))
    pool = conjugate(corpus, super_classes=("scene",), drop=["Wide_Scene"])
    assert pool == Corpus(("red scene", "cat"), ("noun", "noun"))
    real = conjugate(load_corpus(exclude_files=CSP_EXCLUDED))
    assert len(set(real.words)) == len(real) > 57_000


def test_scores_are_the_golden_ones():
    path = Path(__file__).parents[2] / "data" / "neglabel_mining.npz"
    with np.load(path, allow_pickle=False) as golden:
        for part in ("noun", "adj"):
            found = id_similarity(
                golden[f"{part}_text_features"], golden["id_text_features"], max_similarity=0.95
            )
            np.testing.assert_allclose(found, golden[f"expected_csp_{part}_score"], 0, 1e-6)
        assert (golden["expected_csp_noun_score"] == 1).any()


def test_copies_of_an_id_label_come_last():
    ids = np.eye(4)
    feats = np.array([ids[0], [0.5, 0.5, 0.5, 0.5], [-1.0, 0, 0, 0]])
    ranked = select_csp(feats, ids, mode="top", num=3, percentile=0.5)
    assert ranked.chosen == (2, 1, 0) and ranked.scores["similarity"][0] == 1.0
    assert ranked.settings["method"] == "csp" and ranked.settings["max_similarity"] == 0.95
    assert len(select_csp(feats, ids, percentile=1.0, fraction=0.4)) == 1
