"""Wilson's interval: SciPy's numbers, and what must hold at the ends."""

import pytest
from scipy.stats import binomtest

from negas.metrics import wilson_interval


@pytest.mark.parametrize("count", [1, 2, 15, 99, 1479])
def test_the_interval_is_that_of_scipy(count):
    for hits in {0, 1, count // 3, count - 1, count}:
        for level in (0.8, 0.95):
            theirs = binomtest(hits, count).proportion_ci(level, method="wilson")
            mine = wilson_interval(hits / count, count, level)
            assert mine == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_one_sample_says_little_and_the_share_lies_within():
    assert wilson_interval(1.0, 1) == pytest.approx((0.2065, 1.0), abs=1e-4)
    assert wilson_interval(0.0, 1) == pytest.approx((0.0, 0.7935), abs=1e-4)
    for share in (0.0, 0.037, 0.5, 1.0):
        low, high = wilson_interval(share, 12)
        assert 0 <= low <= share <= high <= 1


@pytest.mark.parametrize("wrong", [(1.1, 5), (-0.1, 5), (0.5, 0), (float("nan"), 5), (0.5, 5, 1.0)])
def test_numbers_outside_their_range_are_refused(wrong):
    with pytest.raises(ValueError, match="a share in \\[0, 1\\], a count over 0"):
        wilson_interval(*wrong)
