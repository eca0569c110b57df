"""tools/dev/unknown_choices.py: a row for each score that is tried, thresholds found anew."""

import csv

import pytest

from negas.evaluation.recorded import Recorded
from negas.evaluation.unknown.rows import Evaluation
from negas.evaluation.unknown.threshold import threshold_of
from tests.helpers.commands import call_tool
from tests.helpers.fake_cells import B, cells, run_with_cells


def made(hot="fox"):
    """A run in which one word fires on the background of one of four ID validation images."""
    run = run_with_cells()
    run.cells["id_val"] = cells((0, B, hot, 0.6))
    return run


def test_each_score_has_its_own_threshold_and_recall(tmp_path, monkeypatch):
    monkeypatch.setattr(Recorded, "load", lambda path: made())
    out = tmp_path / "choices.csv"
    command = ("dev/unknown_choices", tmp_path, "--ood-set", "near", "--out", out)
    assert call_tool(*command, "--id-weights", 0, 0.5) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id_weight"] for row in rows] == ["0", "0.5"]
    for row in rows:
        run = made()
        about = run.results["unknown"]
        about["options"]["id_weight"] = float(row["id_weight"])
        about.pop("threshold")
        found = threshold_of(run)
        (want,) = [
            one
            for one in Evaluation(run).rows(0)
            if (one["vocabulary"], one["control"]) == ("without_ood", "none")
        ]
        assert float(row["score_thr"]) == pytest.approx(found.score_thr, rel=1e-3)
        assert float(row["recall"]) == want["recall"] and int(row["words"]) == want["words"]


def test_where_no_word_is_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Recorded, "load", lambda path: made("shrub"))
    command = ("dev/unknown_choices", tmp_path, "--ood-set", "near", "--out", tmp_path / "c.csv")
    assert call_tool(*command) == 2
    assert "no word is left that names no class of 'near'" in capsys.readouterr().err


def test_another_set_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Recorded, "load", lambda path: run_with_cells())
    command = ("dev/unknown_choices", tmp_path, "--ood-set", "far", "--out", tmp_path / "c.csv")
    assert call_tool(*command) == 2
    assert "there is no OOD set 'far'; sets: near" in capsys.readouterr().err
