"""The stand-in for a language model names the nearest words."""

import numpy as np
import pytest

from negas.image_level.captions import NearestNames

WORDS = {"cat": (1, 0, 0), "dogs": (0.9, 0.1, 0), "fox": (0.8, 0.3, 0), "bus": (0, 0, 1)}
WORDS |= {"dog": (0.9, 0.2, 0)}


def encode(texts):
    return np.array([WORDS[text] for text in texts], dtype=np.float32)


def test_nearest_word_and_nearest_others():
    names = NearestNames(["cat", "dogs", "fox", "bus", "cat"], encode, num=2)
    assert names.captions(np.eye(3, dtype=np.float32)[[0, 2]]) == [
        "a photo of cat",
        "a photo of bus",
    ]
    # neither the class itself nor its plural
    assert names.similar(["dog", "bus"]) == [["fox", "cat"], ["cat", "dogs"]]  # ties: list order


def test_bad_input():
    with pytest.raises(ValueError, match="at least one word"):
        NearestNames([], encode)
    with pytest.raises(ValueError, match="one '{}'"):
        NearestNames(["cat"], encode, sentence="a photo")
    names = NearestNames(["cat"], encode)
    with pytest.raises(ValueError, match="NaN"):
        names.captions(np.full((1, 3), np.nan, dtype=np.float32))
