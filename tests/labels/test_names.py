"""When two names are the same."""

import pytest

from negas.labels import overlap
from negas.labels.names import name_forms, name_key, name_words, read_names, refuse_repeated


@pytest.mark.parametrize(
    ("one", "two", "spelling", "word"),
    [
        ("wine glass", " Wine_GLASS", True, True),
        ("wine  glass", "wine glass", True, True),
        ("STRASSE", "Straße", True, True),
        ("wine-glass", "wine glass", False, True),
        ("hotdog", "hot dogs", False, True),
        ("the knives", "knife", False, True),
        ("person", "people", False, True),
        ("bus", "buses", False, True),
        ("mouse", "mice", False, True),
        ("strawberries", "strawberry", False, True),
        ("fire_hydrant", "Fire Hydrants", False, True),
        ("kitten", "cat", False, False),
        ("teddy bear", "bear", False, False),
        ("glass", "glas", False, False),
        ("bass", "ba", False, False),
    ],
)
def test_same_spelling_and_same_word(one, two, spelling, word):
    assert (name_key(one) == name_key(two)) == spelling
    assert bool(name_forms(one) & name_forms(two)) == word
    assert overlap([one], [two]) == [one] * word and overlap([two], [one]) == [two] * word


def test_words_of_a_name():
    assert name_words("The Driver's fire-hydrant_2") == ["drivers", "fire", "hydrant", "2"]
    assert name_words("a") == ["a"]
    assert len(name_forms("buses " * 30)) < 10


def test_a_list_holds_a_name_once():
    refuse_repeated(["dog", "dogs", "hot-dog", "hot dog"], "here")
    with pytest.raises(ValueError, match="^here: the name 'Hot_Dog' stands there twice; remove"):
        refuse_repeated(["hot dog", "cat", "Hot_Dog"], "here")


def test_overlap_keeps_the_order_of_the_negatives():
    assert overlap(["kites", "fox", "Truck"], ["truck", "kite"]) == ["kites", "Truck"]
    assert overlap([], ["kite"]) == overlap(["kite"], []) == []


def test_a_name_is_text_that_can_be_written():
    with pytest.raises(ValueError, match=r"entry 1 .*udcff.*not seen"):
        read_names(["cat", "d\udcff"])
