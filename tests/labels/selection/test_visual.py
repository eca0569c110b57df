"""The selection of NegAS on hand-made vectors and against a brute-force loop."""

import warnings

import numpy as np
import pytest
import torch

from negas.labels.selection import visual as room
from negas.labels.selection.visual import select_visual


def plane(*degrees):
    """Unit vectors in a plane, by angle."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


IDS = plane(0)
PROTOTYPES = plane(60)


def test_filter_then_rank_by_hand():
    # visual cosine to 60 degrees, text cosine to 0 degrees
    candidates = plane(50, 100, 150, 10, 125)
    chosen = select_visual(candidates, IDS, PROTOTYPES, 2, min_similarity=0.7, scale="cosine")
    # 150 (cosine 0) and 10 (.643) and 125 (.423) fall; 100 is less like the text than 50
    assert chosen.chosen == (1, 0)
    assert sorted(chosen.dropped) == [2, 3, 4]
    assert all("visual similarity" in why and "0.7" in why for why in chosen.dropped.values())
    np.testing.assert_allclose(
        chosen.scores["visual_similarity"], np.cos(np.deg2rad([10, 40, 90, 50, 65])), atol=2e-6
    )
    np.testing.assert_allclose(
        chosen.scores["dissimilarity"], 1 - np.cos(np.deg2rad([50, 100, 150, 10, 125])), atol=2e-6
    )
    assert chosen.settings["survivors"] == 2
    assert "warning" not in chosen.settings
    assert chosen.words(list("abcde")) == ["b", "a"]


def test_num_drops_the_least_dissimilar():
    chosen = select_visual(plane(50, 100, 80), IDS, PROTOTYPES, 2, 0.0)
    assert chosen.chosen == (1, 2)
    assert chosen.dropped.keys() == {0} and "rank 3" in chosen.dropped[0]


def test_clip_score_is_two_and_a_half_cosines():
    # cosines .5 .3 .19 -.5 to the prototype
    candidates = np.array([[0.5, 1], [0.3, 1], [0.19, 1], [-0.5, 1]])
    candidates[:, 1] = np.sqrt(1 - candidates[:, 0] ** 2)
    prototypes = plane(0)
    ids = plane(-90)
    kept = select_visual(candidates, ids, prototypes, 2, 0.5)
    assert set(kept.chosen) == {0, 1}
    np.testing.assert_allclose(
        kept.scores["visual_similarity"], [1.25, 0.75, 0.475, 0], rtol=0, atol=2e-6
    )
    with pytest.raises(ValueError, match=r"no candidate .*cosine.* of 0.6 .*largest is 0.500"):
        select_visual(candidates, ids, prototypes, 2, 0.6, scale="cosine")


@pytest.mark.parametrize("scale", ["clip_score", "cosine"])
def test_against_a_loop(scale):
    rng = np.random.default_rng(3)
    texts, ids, prototypes = (rng.normal(size=(n, 8)) for n in (60, 5, 4))
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (texts, ids, prototypes)]
    found = select_visual(
        torch.from_numpy(texts).float(), ids, torch.from_numpy(prototypes), 7, 0.4, scale
    )
    kept = []
    for i, text in enumerate(unit[0]):
        cosine = max(float(text @ p) for p in unit[2])
        visual = cosine if scale == "cosine" else 2.5 * max(cosine, 0)
        if visual >= 0.4:
            kept.append((max(float(text @ y) for y in unit[1]), i))
    assert found.chosen == tuple(i for _, i in sorted(kept)[:7])
    assert len(found.dropped) == 60 - 7 and set(found.dropped).isdisjoint(found.chosen)
    assert found.settings["survivors"] == len(kept)
    likes = [int((unit[2] @ text).argmax()) for text in unit[0]]
    assert found.scores["looks_like"] == likes


def test_ties_keep_the_order_of_candidates():
    # the same vector at many places of a large matrix, where BLAS may round differently
    rng = np.random.default_rng(0)
    texts = np.repeat(rng.normal(size=(3, 64)), 20, axis=0).astype(np.float32)
    ids = rng.normal(size=(7, 64)).astype(np.float32)
    chosen = select_visual(texts, ids, None, 60).chosen
    blocks = [chosen[i : i + 20] for i in (0, 20, 40)]
    assert all(list(block) == sorted(block) for block in blocks)
    assert {block[0] % 20 for block in blocks} == {0}


def test_chunks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(5)
    texts, ids, prototypes = (rng.normal(size=(n, 8)) for n in (50, 5, 5))
    whole = select_visual(texts, ids, prototypes, 9, 0.3)
    monkeypatch.setattr(room, "_CHUNK", 7)
    assert select_visual(texts, ids, prototypes, 9, 0.3).chosen == whole.chosen


def test_too_few_survivors_are_told():
    with pytest.warns(UserWarning, match=r"only 2 of 4 .*lower min_similarity.*more candidates"):
        found = select_visual(plane(50, 100, 150, 10, 125), IDS, PROTOTYPES, 4, 0.7, "cosine")
    assert len(found) == 2
    assert found.settings["warning"].startswith("only 2 of 4")
    with pytest.warns(UserWarning, match="2 candidates for 4"):
        select_visual(plane(50, 100), IDS, None, 4)


def test_without_prototypes_and_with_a_share():
    candidates = plane(50, 100, 150, 10, 125)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bare = select_visual(candidates, IDS, None, 5)
        share = select_visual(candidates, IDS, PROTOTYPES, 3, keep_fraction=0.6)
    assert bare.chosen == (2, 4, 1, 0, 3)
    assert np.isnan(bare.scores["visual_similarity"]).all()
    assert bare.settings["prototypes"] is False
    assert share.chosen == (1, 0, 3)  # the three closest to 60 degrees, by dissimilarity


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(scale="clip"), "scale must be one of clip_score, cosine"),
        (dict(num=0), "num must be at least 1"),
        (dict(keep_fraction=0), "keep_fraction"),
        (dict(min_similarity=None), "min_similarity or keep_fraction"),
        (dict(id_feats=np.ones((2, 3)), prototypes=None), "candidate_feats has 2 channels where 3"),
        (dict(prototypes=np.ones((2, 3))), "prototypes has 3 channels"),
        (dict(candidate_feats=np.ones(2)), r"candidate_feats must be \[C, D\]"),
        (dict(candidate_feats=np.ones((0, 2))), r"candidate_feats must be \[C, D\]"),
        (
            dict(candidate_feats=np.array([[1, 0], [np.nan, 1]])),
            r"candidate_feats holds NaN.* row 1\)",
        ),
        (dict(prototypes=np.zeros((1, 2))), "prototypes holds NaN.* all-zero"),
    ],
)
def test_bad_input(change, words):
    given = dict(candidate_feats=plane(50, 100), id_feats=IDS, prototypes=PROTOTYPES, num=1)
    with pytest.raises(ValueError, match=words):
        select_visual(**given | change)
