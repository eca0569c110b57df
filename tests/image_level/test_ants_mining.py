"""Threshold, weight and captions of ANTS against the authors' code and the paper's words."""

from pathlib import Path

import numpy as np
import pytest

from negas.image_level.ants import adaptive_weight, clean_sentences, negative_threshold

DATA = Path(__file__).parents[1] / "data" / "image_level"


@pytest.fixture(scope="module")
def thresholds():
    return np.load(DATA / "ants_threshold.npz")


@pytest.mark.parametrize("case", range(6))
@pytest.mark.parametrize("eta_index", range(3))
def test_threshold_reference_cases(thresholds, case, eta_index):
    scores, eta = thresholds[f"scores_{case}"], float(thresholds["etas"][eta_index])
    official = negative_threshold(scores, eta)
    assert official.upper == pytest.approx(thresholds["expected_upper_interval"][case], abs=1e-12)
    assert official.gamma == pytest.approx(thresholds["expected_gamma"][case, eta_index], abs=1e-6)
    np.testing.assert_array_equal(
        official.mined.nonzero()[0], thresholds[f"expected_mined_{case}_{eta_index}"]
    )
    paper = negative_threshold(scores, eta, rule="lowest")
    assert paper.gamma == pytest.approx(thresholds["paper_gamma"][case, eta_index], abs=1e-6)
    np.testing.assert_array_equal(
        paper.mined.nonzero()[0], thresholds[f"paper_mined_{case}_{eta_index}"]
    )


def test_a_sum_a_little_over_one_counts_as_one(thresholds):
    scores = thresholds["scores_5"].astype(np.float64)
    over = np.where(scores == 1, 1.0000001, scores)
    assert (scores == 1).any()
    assert negative_threshold(over).gamma == negative_threshold(scores).gamma


def mean_weight(far, near):
    """The weight after each batch from the means of all batches so far."""
    return [adaptive_weight(far[: i + 1].mean(), near[: i + 1].mean()) for i in range(len(far))]


def test_weight_reference():
    data = np.load(DATA / "ants_weight.npz")

    def present(name):  # a bank that is not built yet lends the base score
        have = data["has_far"] if name.startswith("far") else data["has_near"]
        return np.where(have[:, None], data[name], data["base_score"]).astype(np.float64)

    weights = mean_weight(present("far_score_balanced"), present("near_score_balanced"))
    np.testing.assert_allclose(weights, data["expected_lambda"], atol=2e-6, rtol=0)
    weight = np.array(weights)[:, None]
    final = weight * present("far_score") + (1 - weight) * present("near_score")
    np.testing.assert_allclose(final, data["expected_final"], atol=2e-5, rtol=0)
    negative = data["paper_negative_mask"]
    far, near = data["far_score"].astype(np.float64), data["near_score"].astype(np.float64)
    paper = adaptive_weight(far[negative].mean(), near[negative].mean())
    assert paper == pytest.approx(float(data["paper_lambda"]), abs=2e-6)
    np.testing.assert_allclose(paper * far + (1 - paper) * near, data["paper_final"], atol=2e-5)
    assert adaptive_weight(1.0, 1.0) == float(data["degenerate_lambda"])


def test_clean_sentences():
    raw = ["  A  dog.", "a DOG", "", " . ", "two cats\nasleep...", "Zebra", "e.g. a cat"]
    assert clean_sentences(raw, drop=["zebra"]) == ["A dog", "two cats asleep", "e.g. a cat"]


@pytest.mark.parametrize(
    ("scores", "options", "sentence"),
    [
        ([], {}, "scores must be a non-empty"),
        ([0.1, np.nan], {}, "without NaN"),
        ([0.1], {"eta": 1}, r"eta must be in \(0, 1\), got 1"),
        ([0.1], {"rule": "median"}, "rule must be 'percentile' or 'lowest', got 'median'"),
    ],
)
def test_bad_input_is_one_sentence(scores, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        negative_threshold(np.array(scores), **options)
