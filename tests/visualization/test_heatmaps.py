"""Pages of heat maps: colours, ranges, odd texts, what is refused."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from negas.visualization.heatmaps import HeatMap, HeatRow, paint_heat
from tests.helpers import pictures

GREY = np.full((60, 120, 3), 128, np.uint8)


share = partial(pictures.share, within=7)


def blend(colour):
    return np.array(colour) * 0.65 + 128 * 0.35


LOW, HIGH = blend((0, 0, 4)), blend((252, 255, 164))


def halves(low=0.0, high=1.0):
    values = np.full((6, 12), low)
    values[:, 6:] = high
    return values


def test_least_and_largest_values_have_the_ends_of_the_colours(tmp_path):
    path = paint_heat(GREY, [HeatRow("ID", [HeatMap(halves(0.4, 0.6))])], tmp_path / "a.png")
    dark, bright = share(path, LOW), share(path, HIGH)
    assert dark > 0.1 and dark == pytest.approx(bright, rel=0.1)


def test_a_range_can_be_given_and_is_shared_by_a_column(tmp_path):
    row = HeatRow("ID", [HeatMap(halves(0.4, 0.6))])
    assert share(paint_heat(GREY, [row], tmp_path / "a.png", (0, 1)), HIGH) < 0.01
    other = HeatRow("negative", [HeatMap(halves(0.4, 0.4))])
    both = paint_heat(GREY, [row, other], tmp_path / "b.png")
    assert share(both, LOW) > 2.5 * share(both, HIGH), "three halves are low, one is high"


def test_differences_have_two_colours_around_nothing(tmp_path):
    row = HeatRow("difference", [HeatMap(halves(-0.1, 0.1))], signed=True)
    path = paint_heat(GREY, [row], tmp_path / "a.png", (0, 1))
    assert share(path, blend((5, 48, 97))) > 0.1 and share(path, blend((103, 0, 31))) > 0.1


def test_a_mark_is_painted_where_it_is(tmp_path):
    cyan = (0, 255, 255)
    page = paint_heat(GREY, [HeatRow("ID", [HeatMap(halves())])], tmp_path / "a.png")
    assert share(page, cyan) == 0
    marked = HeatMap(halves(), mark=(30.0, 45.0))  # in the middle of the lower left quarter
    page = paint_heat(GREY, [HeatRow("ID", [marked])], tmp_path / "b.png")
    pixels = np.asarray(Image.open(page).convert("RGB")).astype(int)
    y, x = np.nonzero(np.abs(pixels - cyan).max(2) < 40)
    rows, columns = np.nonzero(np.abs(pixels - LOW).max(2) < 6)  # the left half
    assert x.mean() == pytest.approx(np.median(columns), abs=4)
    top, bottom = np.quantile(rows, [0.02, 0.98])
    assert (y.mean() - top) / (bottom - top) == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("size", [(1, 1), (4, 900), (900, 4)])
def test_constant_maps_odd_shapes_and_odd_texts(tmp_path, size):
    image = np.zeros((*size, 3), np.uint8)
    odd = HeatMap(np.full(size, 0.5), "$x_{$ 100%", "a $very_long$ word " * 9)
    path = paint_heat(image, [HeatRow("$ID$", [odd, odd])], tmp_path / "a.png", title="$a_$.png")
    assert Image.open(path).size[0] > 300


@pytest.mark.parametrize(
    ("rows", "limits", "message"),
    [
        ([], None, "equally many heat maps"),
        ([HeatRow("a", [HeatMap(halves())]), HeatRow("b", [])], None, "equally many heat maps"),
        ([HeatRow("a", [HeatMap(halves())])], (1, 0), "must be rising"),
    ],
)
def test_what_makes_no_page_is_refused(tmp_path, rows, limits, message):
    with pytest.raises(ValueError, match=message):
        paint_heat(GREY, rows, tmp_path / "a.png", limits)
    assert not list(tmp_path.iterdir())
