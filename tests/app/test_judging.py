"""Verdicts at other thresholds, tables, words, HTML: without a detector and without Gradio."""

import numpy as np
import pytest

from negas.app.bank import candidates, changes, names_of_ids, proposed, validation_lines
from negas.app.html import figures, html_table, lines, problem
from negas.app.judging import COLUMNS, judged, share_below, share_known, span, table
from negas.app.painting import painted, places
from negas.app.validation import fitted_tau
from negas.app.words import LONGEST, MOST, typed_words
from negas.reports.html.page import Picture
from negas.visualization.boxes import KNOWN, UNKNOWN
from tests.helpers.made_results import make, nothing, without_verdict
from tests.helpers.pictures import share

ID_SCORES = np.linspace(-1, 1, 100)


@pytest.mark.parametrize(
    ("tau", "known"),
    [
        (-0.25, [True, True]),
        (0.0, [True, False]),
        (0.5, [True, False]),
        (0.51, [False, False]),
        (None, [None, None]),
    ],
)
def test_a_box_is_known_from_tau_on(tau, known):
    found = judged(make(), tau, 0.75)
    assert found.known.tolist() == [*known, False]
    assert make().known.tolist() == [True, False, False]


def test_unknown_objects_are_those_from_their_threshold_on():
    assert len(judged(make(), 0, 0.75)) == 3
    assert len(judged(make(), 0, 0.76)) == len(judged(make(), 0, None)) == 2
    assert len(judged(nothing(), 0, 0.5)) == 0
    missing = make(id_score=[np.nan, 0.25, np.nan])
    assert judged(missing, 0, None).known.tolist() == [None, True]


def test_the_table_says_what_is_known_of_each_box():
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in table(make(), ID_SCORES)]
    assert rows[0] == {
        "box": "1",
        "label": "dog",
        "verdict": "known",
        "confidence": "0.900",
        "id_score": "0.500",
        "ID boxes below": "75%",
        "nearest negative": "wolf",
        "its score": "0.250",
    }
    assert rows[1]["verdict"] == "unknown" and rows[1]["ID boxes below"] == "38%"
    assert rows[2]["verdict"] == "unknown object" and rows[2]["id_score"] == "–"
    assert [row[2] for row in table(without_verdict())] == ["no verdict"] * 2 + ["unknown object"]
    assert table(make())[0][5] == "–"


def test_shares_and_the_range_of_a_slider():
    assert share_below(ID_SCORES, -1) == 0 and share_below(ID_SCORES, 2) == 1
    assert share_known(ID_SCORES, -1) == 1 and np.isnan(share_known(np.array([]), 0))
    low, high = span(ID_SCORES, None, [np.nan, 1.5])
    assert low < -1 and high > 1.5
    assert span() == span(None, [np.nan]) == (-1, 1)
    assert fitted_tau(ID_SCORES) == pytest.approx(np.sort(ID_SCORES)[5], abs=1e-3)
    assert share_known(ID_SCORES, fitted_tau(ID_SCORES)) == 0.95
    assert fitted_tau(None) is None and fitted_tau(np.array([])) is None


def test_boxes_are_painted_by_their_verdict_and_placed_between_id_scores():
    pixels = np.full((100, 200, 3), 128, np.uint8)

    def shows(results, colour):
        return share(np.asarray(painted(pixels, results)), colour) > 0.01

    for tau, green, red in ((-1, True, False), (1, False, True)):
        found = judged(make(), tau, None)
        assert (shows(found, KNOWN), shows(found, UNKNOWN)) == (green, red)
        figure = places(ID_SCORES, found, tau)
        assert {text.get_text() for text in figure.axes[0].texts} == {"1", "2"}
    assert shows(judged(make(), -1, 0), UNKNOWN)
    assert places(None, make(), 0) is None and places(np.array([]), make(), 0) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names: there is no word"),
        (" ,\n ", "names: there is no word"),
        ("cat, CAT", "stands there twice"),
        ("a . b .", "looks like a caption"),
        ("x\u200by", "U\\+200B"),
        ("x" * (LONGEST + 1), f"has {LONGEST + 1} characters"),
        (",".join(map(str, range(MOST + 1))), f"{MOST + 1} words are too many"),
    ],
)
def test_words_that_are_not_sound_are_refused(text, says):
    with pytest.raises(ValueError, match=says):
        typed_words(text, "names")


def test_words_stand_between_commas_or_on_lines_and_are_no_files(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("secret")
    assert typed_words("cat, potted plant\r\ndog,,", "names") == ["cat", "potted plant", "dog"]
    assert typed_words(str(file), "names") == [str(file)]
    assert typed_words(None, "names", empty=True) == []


def test_everything_is_escaped():
    bad = "<b a='1' b=\"2\">&\x1b"
    picture = Picture(bad, "data:image/jpeg;base64,", [bad])
    missing = Picture(bad, None, [bad], bad)
    for html in (
        html_table([bad], [[bad]]),
        lines([bad]),
        problem(bad),
        figures([picture, missing]),
    ):
        assert "<b" not in html and "\x1b" not in html and "&lt;b" in html
    assert 'class="cell number">1<' in html_table(["n"], [[1]], "0")


def test_what_another_bank_changes():
    before = judged(make(), 0, None)
    after = judged(
        make(id_score=[-0.5, -0.25, np.nan], unknown_like=["fox", None, "kite"]), 0, None
    )
    first, second = changes(before, after)
    assert (first.label, first.verdicts, first.likes) == (
        "dog",
        ("known", "unknown"),
        ("wolf", "fox"),
    )
    assert first.flipped and not second.flipped and second.likes == ("statue", "–")
    assert changes(before, nothing()) == []
    moved = make(boxes=[[60, 20, 110, 80], [0, 0, 50, 40], [100, 50, 200, 100]])
    assert [change.label for change in changes(before, moved)] == ["cat"]
    told = " ".join(validation_lines(ID_SCORES, ID_SCORES + 0.1, -0.9, -0.8))
    assert "from -0.900 to -0.800" in told and "100.0% of the 100" in told and "95.0% were" in told
    assert "no ID validation boxes" in validation_lines(None, None, 0, 0)[0]


def test_negatives_that_name_an_id_class_are_told():
    assert names_of_ids(["puppy", "moon"], ["dog"]) == ["'puppy' names the ID class 'dog'."]
    assert names_of_ids(["moon"], ["dog"]) == []


def test_the_farthest_words_are_proposed():
    words = candidates(["dog"])
    assert "dog" not in words and len(words) > 1000
    feats = np.eye(3)[:1], np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1], [0.9, 0, 0.1]])
    assert proposed(["dog"], list("abcd"), feats, 2) == ["c", "b"]
