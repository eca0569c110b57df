"""AUROC, AUPR and both FPR95 rules: reference cases, brute force, invariances, refusals."""

from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch

from negas.metrics import ood_metrics, roc_curve
from negas.metrics.roc import required_count, threshold_at_recall

REFERENCE = np.load(Path(__file__).parents[1] / "data" / "metrics" / "fpr_auroc.npz")
NAMES = {  # ours -> theirs, tolerance
    "auroc": ("auroc", 1e-9),
    "aupr": ("aupr", 1e-9),
    "aupr_out": ("aupr_out", 1e-9),
    "fpr95": ("fpr95", 1e-12),
    "threshold": ("thr95", 0),
    "tpr": ("tpr", 1e-12),
    "fpr95_closest": ("fpr95_vos", 1e-12),
    "threshold_closest": ("thr95_vos", 0),
    "tpr_closest": ("tpr_vos", 1e-12),
}


@pytest.mark.parametrize("case", range(int(REFERENCE["num_cases"])))
def test_reference_case(case):
    ids, oods = REFERENCE[f"id_scores_{case}"], REFERENCE[f"ood_scores_{case}"]
    result = ood_metrics(ids, oods)
    for ours, (theirs, tolerance) in NAMES.items():
        expected = REFERENCE[f"{theirs}_{case}"]
        assert getattr(result, ours) == pytest.approx(expected, rel=0, abs=tolerance), ours
    assert (result.num_id, result.num_ood) == (len(ids), len(oods))


def brute_force_closest(ids, oods, recall=0.95):
    """Walk all pooled thresholds upwards; equal recall: the lowest one, except recall 1."""
    thresholds = np.unique(np.r_[ids, oods])
    recalls = np.array([(ids >= t).mean() for t in thresholds])
    best = np.abs(recalls - recall).min()
    recall_won = recalls[np.abs(recalls - recall) == best].max()
    same = thresholds[recalls == recall_won]
    return (oods >= (same.max() if recall_won == 1 else same.min())).mean()


@pytest.mark.parametrize("seed", range(30))
def test_brute_force(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 60, 2)
    ids = rng.normal(1, 1, n).round(int(rng.integers(0, 4)))
    oods = rng.normal(0, 1, m).round(int(rng.integers(0, 4)))
    result = ood_metrics(ids, oods)
    pairs = (ids[:, None] > oods).mean() + 0.5 * (ids[:, None] == oods).mean()
    assert result.auroc == pytest.approx(pairs, abs=1e-12)
    enough = [t for t in ids if (ids >= t).sum() * 20 >= 19 * n]
    assert result.threshold == max(enough)
    assert result.fpr95 == pytest.approx((oods >= max(enough)).mean(), abs=1e-12)
    assert result.fpr95_closest == pytest.approx(brute_force_closest(ids, oods), abs=1e-12)


def test_fpr95_with_ood_positive_by_hand():
    ids, oods = np.arange(1, 21) / 10, np.arange(1, 41) / 20  # 0.1 .. 2.0 and 0.05 .. 2.0
    result = ood_metrics(ids, oods)
    # 19 of 20 ID scores reach 0.2, and so do 37 of 40 OOD scores
    assert (result.threshold, result.fpr95) == (0.2, 37 / 40)
    # 38 of 40 OOD scores are at most 1.9, and so are 19 of 20 ID scores
    assert result.fpr95_out == 19 / 20
    # all of OOD is far below nine ID scores, but for one that is above all: only ours tells
    assert ood_metrics(np.arange(10.0, 19.0), np.r_[np.zeros(99), 50.0]).fpr95_out == 0.0
    assert ood_metrics([1.0, 2.0, 3.0], [0.0, 2.0]).fpr95_out == 2 / 3  # a tie is no known one


@pytest.mark.parametrize("seed", range(10))
def test_fpr95_with_ood_positive_is_ours_of_exchanged_sets(seed):
    """And what scikit-learn's curve gives at the first recall of 95%, as both libraries read it."""
    rng = np.random.default_rng(seed)
    ids = rng.normal(1, 1, rng.integers(1, 90)).round(1)
    oods = rng.normal(0, 1, rng.integers(1, 90)).round(1)
    result = ood_metrics(ids, oods)
    assert result.fpr95_out == ood_metrics(-oods, -ids).fpr95
    assert result.fpr95 == ood_metrics(-oods, -ids).fpr95_out
    is_ood = np.r_[np.zeros(len(ids)), np.ones(len(oods))]
    fpr, tpr, _ = sklearn.metrics.roc_curve(is_ood, -np.r_[ids, oods], drop_intermediate=False)
    assert result.fpr95_out == pytest.approx(fpr[np.argmax(tpr >= 0.95)], abs=1e-12)


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_the_curve_is_that_of_scikit_learn(decimals):
    rng = np.random.default_rng(decimals)
    ids, oods = rng.normal(1, 1, 70).round(decimals), rng.normal(0, 1, 50).round(decimals)
    truth = np.r_[np.ones(len(ids)), np.zeros(len(oods))]
    both = np.r_[ids, oods]
    fpr, tpr, _ = sklearn.metrics.roc_curve(truth, both, drop_intermediate=False)
    found = roc_curve(ids, oods)
    np.testing.assert_allclose(found, (fpr, tpr), atol=1e-12)
    assert sklearn.metrics.auc(*found) == pytest.approx(ood_metrics(ids, oods).auroc)


def test_constant_scores_are_chance():
    result = ood_metrics(np.ones(30), np.ones(20))
    assert (result.auroc, result.fpr95, result.fpr95_closest) == (0.5, 1.0, 1.0)


def test_other_recall_and_exact_counts():
    ids = np.arange(100.0)
    assert ood_metrics(ids, ids, recall=0.8).threshold == 20
    assert ood_metrics(ids, ids, recall=1.0).tpr == 1.0
    counts = np.arange(1, 3000)
    np.testing.assert_array_equal(required_count(0.95, counts), (19 * counts + 19) // 20)


def test_the_threshold_keeps_95_percent_unless_told_otherwise():
    ids = np.arange(1, 101) / 100
    assert threshold_at_recall(ids) == 0.06
    assert threshold_at_recall(ids, 0.5) == 0.51


def test_kinds_of_input_agree():
    ids, oods = [0.25, 0.5, 0.75], [0.125, 0.5]
    expected = ood_metrics(ids, oods)
    for kind in (np.float16, np.float32, np.float64):
        assert ood_metrics(np.array(ids, kind), np.array(oods, kind)) == expected
    for kind in (torch.float32, torch.bfloat16):
        tensors = (torch.tensor(x, dtype=kind, requires_grad=True) for x in (ids, oods))
        assert ood_metrics(*tensors) == expected


def test_to_dict_is_plain():
    row = ood_metrics([1.0, 2.0], [0.0]).to_dict()
    assert {type(value) for value in row.values()} == {float, int}
    assert row["num_id"] == 2 and row["recall"] == 0.95


@pytest.mark.parametrize(
    ("ids", "oods", "recall", "message"),
    [
        ([], [1.0], 0.95, "id_scores is empty"),
        ([1.0], [], 0.95, "ood_scores is empty"),
        ([1.0, np.nan], [1.0], 0.95, "id_scores holds 1 NaN or infinite"),
        ([1.0], [np.inf, -np.inf], 0.95, "ood_scores holds 2 NaN or infinite"),
        ([[1.0]], [1.0], 0.95, "id_scores must be a vector of numbers"),
        (["a"], [1.0], 0.95, "id_scores must be a vector of numbers"),
        ([1.0], [1.0], 0.0, "recall must lie in"),
        ([1.0], [1.0], 1.5, "recall must lie in"),
    ],
)
def test_refusals(ids, oods, recall, message):
    with pytest.raises(ValueError, match=message):
        ood_metrics(ids, oods, recall)
