"""Bootstrap intervals: against resampling done plainly, seeds, grouping, speed."""

import numpy as np
import pytest

from negas.metrics import bootstrap, ood_metrics
from negas.metrics.bootstrap import image_draws, rate_intervals, weighted_metrics


def samples(n=300, m=200, seed=0, digits=1):
    rng = np.random.default_rng(seed)
    return rng.normal(1, 1, n).round(digits), rng.normal(0, 1, m).round(digits)


@pytest.mark.parametrize("seed", range(10))
def test_a_weighted_draw_equals_the_metric_of_repeated_samples(seed):
    ids, oods = samples(40, 30, seed)
    rng = np.random.default_rng(seed)
    id_times, ood_times = rng.integers(0, 4, 40), rng.integers(0, 4, 30)
    pooled, place = np.unique(np.r_[ids, oods], return_inverse=True)
    id_count = np.bincount(place[:40], id_times.astype(float), len(pooled))
    ood_count = np.bincount(place[40:], ood_times.astype(float), len(pooled))
    expected = ood_metrics(np.repeat(ids, id_times), np.repeat(oods, ood_times))
    auroc, fpr95 = weighted_metrics(id_count, ood_count, 0.95)
    assert auroc == pytest.approx(expected.auroc, abs=1e-12)
    assert fpr95 == pytest.approx(expected.fpr95, abs=1e-12)


def test_interval_matches_plain_resampling():
    ids, oods = samples()
    result = bootstrap(ids, oods, n=400, seed=1)
    rng = np.random.default_rng(7)
    plain = [ood_metrics(rng.choice(ids, 300), rng.choice(oods, 200)).auroc for _ in range(200)]
    assert result.auroc.value == ood_metrics(ids, oods).auroc
    assert result.auroc.std == pytest.approx(np.std(plain), rel=0.25)
    assert result.auroc.low == pytest.approx(np.quantile(plain, 0.025), abs=0.015)
    assert result.auroc.high == pytest.approx(np.quantile(plain, 0.975), abs=0.015)
    assert result.fpr95.low <= result.fpr95.value <= result.fpr95.high


def test_seed_repeats_and_leaves_the_global_state_alone():
    ids, oods = samples()
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    assert bootstrap(ids, oods, 50, 5) == bootstrap(ids, oods, 50, 5)
    assert bootstrap(ids, oods, 50, 5) != bootstrap(ids, oods, 50, 6)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_copies_of_a_box_in_one_image_carry_no_information():
    ids, oods = samples(100, 80, digits=6)
    groups = (np.repeat(np.arange(100), 5).astype(str), np.repeat(np.arange(80), 5))
    alone = bootstrap(ids, oods, 300, 2)
    copied = bootstrap(np.repeat(ids, 5), np.repeat(oods, 5), 300, 2, groups)
    naive = bootstrap(np.repeat(ids, 5), np.repeat(oods, 5), 300, 2)
    assert copied.auroc.std == pytest.approx(alone.auroc.std, rel=0.25)
    assert naive.auroc.std < 0.6 * copied.auroc.std
    assert copied.grouped and not naive.grouped


def test_a_single_sample_a_side():
    result = bootstrap([1.0], [0.0], n=3)
    assert (result.auroc.low, result.auroc.high, result.fpr95.value) == (1.0, 1.0, 0.0)
    assert result.to_dict()["auroc"]["value"] == 1.0


def test_draws_are_the_same_for_all_who_ask():
    first, again, other = (list(image_draws([7, 4], 5, seed)) for seed in (1, 1, 2))
    assert [[times.sum() for times in draw] for draw in first] == [[7, 4]] * 5
    np.testing.assert_equal(first, again)
    assert str(first) != str(other)


def test_rates_are_those_of_images_drawn_plainly():
    rng = np.random.default_rng(5)
    hits, every = rng.integers(0, 3, 40), rng.integers(3, 6, 40)
    one, share = rate_intervals([hits, hits], [np.ones(40), every], n=500, seed=1)
    assert (one.value, share.value) == (hits.sum() / 40, hits.sum() / every.sum())
    plain = [hits[at].sum() / every[at].sum() for at in rng.integers(0, 40, (500, 40))]
    assert share.std == pytest.approx(np.std(plain), rel=0.25)
    assert share.low == pytest.approx(np.quantile(plain, 0.025), abs=0.02)
    assert share.high == pytest.approx(np.quantile(plain, 0.975), abs=0.02)


def test_draws_without_anything_below_are_left_out_of_that_rate_alone():
    lone = np.array([3, 0])
    stray, on = rate_intervals([lone, lone], [np.ones(2), lone], n=60)
    assert (stray.low, stray.high, on.low, on.high) == (0, 3, 1, 1)
    assert np.isnan(rate_intervals([lone], [np.zeros(2)], n=3)[0].low)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"id_scores": []}, "id_scores is empty"),
        ({"n": 0}, "needs n >= 1"),
        ({"level": 1.0}, "0 < level < 1"),
        ({"groups": ([0], [0])}, "one group per score, 2 and 1"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(**{"id_scores": [1.0, 2.0], "ood_scores": [0.0], **arguments})
