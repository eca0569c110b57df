"""What a page of attention shows: colours, rows, differences, marks."""

import numpy as np
import pytest

from negas.apis import attention as attention_page
from negas.apis.attention import AttentionMap, PageOptions, Placement, draw_page
from negas.apis.inputs import Picture
from negas.models.attention_maps import ID, NEGATIVE


@pytest.fixture
def page(monkeypatch, tmp_path):
    """A function that gives what is painted: image and rows."""
    painted = []
    monkeypatch.setattr(attention_page, "paint_heat", lambda *args: painted.append(args))

    def draw(size=(40, 80), **options):
        pixels = np.full((*size, 3), (10, 20, 200), np.uint8)  # BGR
        place = Placement(size, size, (1.0, 1.0), (0.0, 0.0))
        peak = (0.75 * size[1], 0.25 * size[0])
        maps = [
            AttentionMap(name, "top-down", "P3", np.full((4, 8), value), place, peak, word)
            for name, value, word in ((ID, 0.7, "cat"), (NEGATIVE, 0.4, "fox"))
        ]
        picture = Picture("a.png", pixels)
        draw_page(picture, maps, tmp_path / "a.png", PageOptions(**options))
        return painted[-1][:2]

    return draw


def test_the_image_has_its_colours_and_each_branch_its_row(page):
    image, rows = page()
    assert image.shape == (40, 80, 3) and image[0, 0].tolist() == [200, 20, 10]
    assert [row.title for row in rows] == [ID, NEGATIVE, "ID - negative"]
    for row, value in zip(rows, (0.7, 0.4, 0.3), strict=True):
        np.testing.assert_allclose(row.maps[0].values, value)
    assert [row.signed for row in rows] == [False, False, True]
    assert rows[0].maps[0].title == "P3 top-down, 4x8 cells"
    assert rows[2].maps[0].note == "mean +0.300"
    assert rows[0].maps[0].mark is None and len(page(difference=False)[1]) == 2


def test_marks_and_words_follow_an_image_that_is_painted_smaller(page):
    image, rows = page((800, 1600), words=True)
    assert image.shape == (400, 800, 3) and rows[0].maps[0].values.shape == (400, 800)
    assert rows[0].maps[0].mark == (600, 100)
    assert rows[0].maps[0].note == "0.700 to 0.700; cat" and rows[1].maps[0].note.endswith("fox")
