"""A painted copy keeps the format of its picture where that can be."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from negas.apis.outputs import Painted


@pytest.mark.parametrize(
    ("name", "side", "place"),
    [
        ("a.jpg", 9, "a.jpg"),
        ("a.jp2", 9, "a.jp2.png"),  # JPEG 2000 takes no small picture
        ("a.pcx", 9, "a.pcx.png"),
    ],
)
def test_a_format_that_cannot_hold_the_picture_becomes_png(tmp_path, name, side, place):
    drawn = np.full((side, side, 3), 90, np.uint8)
    Painted(tmp_path, [name]).add(SimpleNamespace(name=name, frame=None), drawn)
    assert cv2.imread(str(tmp_path / "vis" / place)).shape == drawn.shape
