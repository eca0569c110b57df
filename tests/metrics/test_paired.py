"""The paired bootstrap: exact values, what pairing buys, and refusals."""

import numpy as np
import pytest

from negas.metrics import GroupedScores, bootstrap, ood_metrics, paired_bootstrap

RNG = np.random.default_rng(0)
IMAGES = np.repeat(np.arange(60), 3)
HARD = RNG.normal(size=60)[IMAGES]  # how hard an image is, for every run


def side(mean, noise=0.3, seed=0):
    scores = mean + HARD + noise * np.random.default_rng(seed).normal(size=len(HARD))
    return GroupedScores(scores, IMAGES)


FIRST, BETTER = (side(1, seed=1), side(0, seed=2)), (side(2, seed=3), side(0, seed=4))


def test_values_are_the_differences_of_the_metrics():
    result = paired_bootstrap(FIRST, BETTER, n=50)
    before, after = (ood_metrics(run[0].scores, run[1].scores) for run in (FIRST, BETTER))
    assert result.auroc.value == pytest.approx(after.auroc - before.auroc)
    assert result.fpr95.value == pytest.approx(after.fpr95 - before.fpr95)
    assert (result.num_id_images, result.num_ood_images, result.num_skipped) == (60, 60, 0)


def test_a_run_against_itself_differs_nowhere():
    result = paired_bootstrap(FIRST, FIRST, n=30)
    assert result.auroc.low == result.auroc.high == result.fpr95.low == result.fpr95.high == 0


def test_pairing_narrows_the_interval():
    close = (side(1.2, seed=5), side(0, seed=6))
    paired = paired_bootstrap(FIRST, close, n=200)
    alone = [
        bootstrap(r[0].scores, r[1].scores, 200, groups=(IMAGES, IMAGES)) for r in (FIRST, close)
    ]
    unpaired = np.hypot(alone[0].auroc.std, alone[1].auroc.std)
    assert paired.auroc.std < 0.6 * unpaired
    assert paired.auroc.low > 0, "a small gain on the same images is seen"


def test_direction_and_seed():
    forth, back = paired_bootstrap(FIRST, BETTER, n=40), paired_bootstrap(BETTER, FIRST, n=40)
    assert forth.auroc.low > 0 and forth.fpr95.value < 0
    assert forth.auroc.low == pytest.approx(-back.auroc.high)
    assert paired_bootstrap(FIRST, BETTER, n=40).to_dict() == forth.to_dict()
    assert paired_bootstrap(FIRST, BETTER, n=40, seed=1).auroc.low != forth.auroc.low


def test_runs_with_other_boxes_and_images_without_any():
    few = tuple(GroupedScores(s.scores[::4], s.images[::4]) for s in BETTER)
    images = (np.arange(80), np.arange(80))
    result = paired_bootstrap(FIRST, few, n=40, images=images)
    assert (result.num_id_images, result.auroc.low > 0) == (80, True)


def test_draws_that_leave_nothing_are_counted():
    lone = (GroupedScores(np.array([1.0]), np.array([0])), FIRST[1])
    result = paired_bootstrap(FIRST, lone, n=60)
    assert 0 < result.num_skipped < 60


@pytest.mark.parametrize(
    ("second", "options", "message"),
    [
        ((GroupedScores([], np.array([], int)), FIRST[1]), {}, "ID scores is empty"),
        ((GroupedScores([np.nan], np.array([1])), FIRST[1]), {}, "NaN or infinite"),
        ((GroupedScores([1.0], np.array(["a"])), FIRST[1]), {}, "integers or both be strings"),
        (BETTER, {"images": (np.arange(5), np.arange(60))}, "does not list"),
        (BETTER, {"n": 0}, "n >= 1"),
        (BETTER, {"recall": 0.0}, "recall must lie"),
    ],
)
def test_refusals(second, options, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(FIRST, second, **{"n": 5, **options})
    with pytest.raises(ValueError, match="each score needs its image"):
        GroupedScores(np.zeros(2), np.zeros(1))


@pytest.mark.parametrize("recall", [0, -0.5, 1.5, float("nan")])
def test_a_recall_that_is_none_is_refused_before_the_draws(recall, monkeypatch):
    monkeypatch.setattr("negas.metrics.paired.image_draws", lambda *_: pytest.fail("it draws"))
    with pytest.raises(ValueError, match="recall"):
        paired_bootstrap(FIRST, BETTER, n=2, recall=recall)
