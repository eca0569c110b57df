"""NegLabel's mining against the released code's results, and by brute force."""

from pathlib import Path

import numpy as np
import pytest
import torch

from negas.labels.selection.neglabel import id_similarity, select_neglabel

GOLDEN = Path(__file__).parents[2] / "data" / "neglabel_mining.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def pool(golden):
    """Features of nouns, then adjectives, and their parts of speech."""
    nouns, adjectives = golden["noun_text_features"], golden["adj_text_features"]
    parts = ["noun"] * len(nouns) + ["adj"] * len(adjectives)
    return np.concatenate([nouns, adjectives]), parts


def test_similarity_is_the_released_codes(golden):
    for part in ("noun", "adj"):
        found = id_similarity(golden[f"{part}_text_features"], golden["id_text_features"])
        np.testing.assert_allclose(found, golden[f"expected_{part}_quantile_sim"], 0, 1e-6)


def test_fraction_per_part_is_the_released_codes_choice(golden, pool):
    fraction = float(golden["keep_fraction"])
    chosen = select_neglabel(pool[0], golden["id_text_features"], pool[1], fraction=fraction).chosen
    adjectives = golden["expected_adj_selected"] + len(golden["noun_text_features"])
    assert chosen == (*golden["expected_noun_selected"], *adjectives)


def test_top_of_the_union_is_the_papers_choice(golden, pool):
    ids, num = golden["id_text_features"], int(golden["num_negatives"])
    top = select_neglabel(pool[0], ids, pool[1], mode="top", num=num)
    assert top.chosen == tuple(golden["expected_union_selected"])
    nearest = select_neglabel(pool[0], ids, pool[1], percentile=1.0, mode="top", num=num)
    assert nearest.chosen == tuple(golden["expected_union_selected_min_distance"])


def test_proportional_is_openood_vlms_choice(golden, pool):
    num = int(golden["num_negatives"])
    ids = golden["id_text_features"]
    assert int(0.95 * len(ids)) == golden["expected_openood_sort_index"]
    chosen = select_neglabel(
        pool[0], ids, pool[1], interpolation="index", mode="proportional", num=num
    ).chosen
    adjectives = golden["expected_openood_adj_selected"] + len(golden["noun_text_features"])
    assert chosen == (*adjectives, *golden["expected_openood_noun_selected"])


def test_similarity_by_brute_force(golden, pool):
    unit = [
        f / np.linalg.norm(f, axis=1, keepdims=True) for f in (pool[0], golden["id_text_features"])
    ]
    cosines = np.sort(unit[0] @ unit[1].T, axis=1)
    at = 0.7 * (cosines.shape[1] - 1)
    low, share = int(at), at - int(at)
    expected = cosines[:, low] * (1 - share) + cosines[:, low + 1] * share
    for chunk in (1, 37, 4096):
        found = id_similarity(pool[0], golden["id_text_features"], percentile=0.7, chunk=chunk)
        np.testing.assert_allclose(found, expected, 0, 1e-6)


def test_tensors_and_scale_do_not_matter(golden, pool):
    ids = golden["id_text_features"]
    plain = select_neglabel(pool[0], ids, pool[1])
    tensors = select_neglabel(torch.tensor(pool[0] * 7), torch.tensor(ids).double(), pool[1])
    assert tensors.chosen == plain.chosen


def test_every_candidate_is_chosen_or_dropped_and_says_how(golden, pool):
    selection = select_neglabel(pool[0], golden["id_text_features"], mode="top", num=10)
    assert sorted([*selection.chosen, *selection.dropped]) == list(range(165))
    assert len(selection.scores["similarity"]) == 165 and len(selection) == 10
    assert selection.settings == {
        "method": "neglabel",
        "percentile": 0.95,
        "interpolation": "linear",
        "mode": "top",
        "num": 10,
    }


def test_ties_keep_the_order_and_few_candidates_are_all_kept():
    feats, ids = np.ones((5, 3)), np.eye(3)
    assert select_neglabel(feats, ids, mode="top", num=3).chosen == (0, 1, 2)
    assert select_neglabel(feats, ids, mode="top", num=9).chosen == (0, 1, 2, 3, 4)
    pos = ["noun", "adj", "noun", "adj", "noun"]
    assert select_neglabel(feats, ids, pos, mode="proportional", num=9).chosen == (1, 3, 0, 2, 4)
    assert select_neglabel(feats, ids, pos, mode="proportional", num=3).chosen == (1, 0, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"percentile": 95}, "percentile must be in"),
        ({"interpolation": "nearest"}, "interpolation must be one of linear, index, got 'nearest'"),
        ({"mode": "all"}, "mode must be one of fraction, top, proportional, got 'all'"),
        ({"mode": "top"}, "mode 'top' needs num"),
        ({"fraction": 0}, "fraction must be in"),
        ({"fraction": 0.01}, "fraction 0.01 of 4 candidates is none"),
        ({"pos": ["noun"]}, "pos has 1 entries for 4 candidates"),
        ({"pos": ["verb"] * 4}, "pos holds 'verb'"),
        ({"id_feats": np.ones((2, 5))}, "candidate_feats has 3 channels where 5 are expected"),
        ({"id_feats": np.zeros((0, 3))}, "id_feats must be"),
        ({"candidate_feats": np.ones(3)}, "candidate_feats must be"),
        ({"candidate_feats": []}, "candidate_feats must be"),
        (
            {"candidate_feats": np.full((4, 3), np.nan)},
            "NaN, infinite or all-zero values in 4 of 4",
        ),
        ({"candidate_feats": np.zeros((4, 3))}, "all-zero"),
    ],
)
def test_bad_input(changes, message):
    given = {"candidate_feats": np.ones((4, 3)), "id_feats": np.eye(3), "fraction": 0.5} | changes
    with pytest.raises(ValueError, match=message) as caught:
        select_neglabel(**given)
    assert "\n" not in str(caught.value)
