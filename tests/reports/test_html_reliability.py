"""The calibration curve and its error."""

import numpy as np
import pytest
from PIL import Image

from negas.reports.html.reliability import plot_reliability, reliability


def test_by_hand():
    curve = reliability(np.array([0.05, 0.95, 0.85, 0.95, 1.0]), np.array([0, 1, 0, 1, 1], bool))
    assert curve.count.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 1, 3]
    assert curve.precision[[0, 8, 9]].tolist() == [0, 0, 1]
    assert curve.confidence[9] == pytest.approx(2.9 / 3)
    assert np.isnan(curve.precision[1:8]).all()
    assert curve.ece == pytest.approx((0.05 + 0.85 + 3 * (1 - 2.9 / 3)) / 5)


def test_a_bin_begins_at_its_lower_edge():
    curve = reliability(np.array([0.1, 0.16, 0.199, 0.2, 0.95]), np.ones(5, bool))
    assert curve.count.tolist() == [0, 3, 1, 0, 0, 0, 0, 0, 0, 1]
    np.testing.assert_allclose(curve.confidence[[1, 2]], [0.153, 0.2])


def test_no_boxes_and_bad_input():
    assert np.isnan(reliability(np.array([]), np.array([], bool)).ece)
    with pytest.raises(ValueError, match="one length"):
        reliability(np.array([0.5]), np.array([True, False]))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        reliability(np.array([1.5]), np.array([True]))


def test_the_plot_shows_bars_and_the_cut(tmp_path):
    curve = reliability(np.array([0.55, 0.95]), np.array([True, True]))
    plot_reliability(curve, 0.25, tmp_path / "x.png")
    pixels = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).astype(int)
    bar = 0.8 * np.array([31, 111, 180]) + 0.2 * 255  # as in the source, alpha on white
    assert (np.abs(pixels - bar).max(-1) < 4).mean() > 0.05
    assert (pixels.max(-1) < 20).mean() > 0.001  # the cut and the text
