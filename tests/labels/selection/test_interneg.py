"""InterNeg's selection against the released code's results."""

from pathlib import Path

import numpy as np
import pytest

from negas.labels.selection.interneg import (
    base_distances,
    deviations,
    image_proxies,
    select_interneg,
)

GOLDEN = Path(__file__).parents[2] / "data" / "interneg_selection.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def proxies(golden):
    return image_proxies(golden["id_image_features"])


@pytest.fixture(scope="module")
def pool(golden):
    """Features of nouns, then adjectives, and their parts of speech."""
    nouns, adjectives = golden["noun_text_features"], golden["adj_text_features"]
    return np.concatenate([nouns, adjectives]), ["noun"] * len(nouns) + ["adj"] * len(adjectives)


def test_proxies_and_base_distances(golden, proxies):
    np.testing.assert_allclose(proxies, golden["expected_image_proxies"], 0, 1e-5)
    base = base_distances(golden["id_text_features"], proxies)
    np.testing.assert_allclose(base, golden["expected_base_distance"], 0, 1e-5)


@pytest.mark.parametrize("part", ["noun", "adj"])
@pytest.mark.parametrize("chunk", [7, 4096])
def test_who_passes_and_how_far_they_deviate(golden, proxies, part, chunk):
    base = base_distances(golden["id_text_features"], proxies)
    passes, deviation = deviations(golden[f"{part}_text_features"], proxies, base, chunk)
    assert (passes == golden[f"expected_{part}_mask"]).all()
    np.testing.assert_allclose(deviation, golden[f"expected_{part}_deviation"], 0, 1e-5)


def test_both_selections(golden, proxies, pool):
    num, ids = int(golden["num_negatives"]), golden["id_text_features"]
    released = select_interneg(pool[0], ids, proxies, pool[1], num=num)
    adjectives = golden["expected_adj_selected"] + len(golden["noun_text_features"])
    assert released.chosen == (*adjectives, *golden["expected_noun_selected"])
    paper = select_interneg(pool[0], ids, proxies, num=num, mode="top")
    assert paper.chosen == tuple(golden["expected_union_selected"])
    assert paper.settings["passed"] == sum(
        golden[f"expected_{part}_mask"].sum() for part in ("noun", "adj")
    )


def test_all_survivors_are_kept_when_there_are_few(golden, proxies, pool):
    with pytest.warns(UserWarning, match="and 10000 were asked for; give more"):
        selection = select_interneg(
            pool[0], golden["id_text_features"], proxies, pool[1], num=10_000
        )
    mask = np.concatenate([golden["expected_noun_mask"], golden["expected_adj_mask"]])
    assert sorted(selection.chosen) == np.flatnonzero(mask).tolist()
    assert sorted(selection.dropped) == np.flatnonzero(~mask).tolist()
    assert set(selection.dropped.values()) == {
        "as close to an ID class's images as the class's own name"
    }


def test_classes_may_have_different_numbers_of_images(golden, proxies):
    images = list(golden["id_image_features"])
    images[3] = np.concatenate([images[3], images[3] * 5])  # the same directions twice
    np.testing.assert_allclose(image_proxies(images), proxies, 0, 1e-6)


def test_the_test_for_all_classes_is_strict():
    ids = proxies = np.eye(2)
    texts = np.array([[1.0, 0.0], [-1.0, -1.0]])  # the first is as close to class 0 as its name
    assert select_interneg(texts, ids, proxies, mode="top", num=2).chosen == (1,)
    with pytest.raises(ValueError, match="no candidate is farther"):
        select_interneg(texts[:1], ids, proxies)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "fraction"}, "mode must be 'proportional' or 'top'"),
        ({"num": 0}, "needs num"),
        ({"proxies": np.eye(2)[:1]}, "proxies has 1 rows for 2 ID labels"),
        ({"proxies": np.eye(3)}, "proxies has 3 channels where 2 are expected"),
        ({"candidate_feats": -np.ones((2, 3))}, "candidate_feats has 3 channels"),
        ({"candidate_feats": np.full((2, 2), np.inf)}, "candidate_feats holds NaN"),
    ],
)
def test_bad_input(changes, message):
    given = {"candidate_feats": -np.ones((3, 2)), "id_feats": np.eye(2), "proxies": np.eye(2)}
    with pytest.raises(ValueError, match=message):
        select_interneg(**(given | changes))


def test_bad_images_and_bases():
    with pytest.raises(ValueError, match="image_feats is empty"):
        image_proxies([])
    with pytest.raises(ValueError, match=r"image_feats\[1\] must be"):
        image_proxies([np.eye(2), np.zeros((0, 2))])
    with pytest.raises(ValueError, match=r"base must be \[2\]"):
        deviations(np.eye(2), np.eye(2), np.zeros(3))
