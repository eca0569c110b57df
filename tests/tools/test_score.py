"""Scoring runs again: the numbers of the test, presets, banks, comparisons, and bad input."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from negas.records import BoxRecords
from negas.reports.scores import score_tables, write_scores
from negas.reports.table import to_markdown
from negas.scores import SCORES
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import SETS, fake_run, score_again


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    fake_run(root / "coop", "coop_tiny.py", 0, use_nega=False)
    fake_run(root / "negas", "negas_tiny.py", 1)
    return root


@pytest.fixture
def copy(runs, tmp_path):
    """A run to be damaged."""
    return Path(shutil.copytree(runs / "negas", tmp_path / "copy"))


def rows_of(path, **options):
    return score_again(path, **options)["runs"][0]["rows"]


def test_rotations_are_five_where_they_can_be(runs, copy):
    def drawn(folder, rotations):
        rows = rows_of(folder, scores=["energy", "negs"], rotations=rotations)
        return {row["draws"] for row in rows if row["control"] == "rotated"}

    assert drawn(runs / "negas", None) == {5} and drawn(runs / "negas", 0) == set()
    report = score_again(runs / "negas", scores=["negs"], rotations=3)
    text = to_markdown(score_tables(report)[0])
    assert "| NegS, rotated |" in text and "| NegS, without leaks |" in text
    assert "mean of 3 draws" in text and "±" in text
    (copy / "records" / "text_feats.npz").unlink()
    assert drawn(copy, None) == set()
    with pytest.raises(ValueError, match="the rotated bank needs embeddings .* leave out --rot"):
        drawn(copy, 2)
    with pytest.raises(ValueError, match="rotations must be at least 0"):
        drawn(copy, -1)


def test_files_state_what_the_numbers_depend_on(runs, tmp_path):
    report = score_again(
        runs / "negas",
        against=runs / "coop",
        preset=["val_f1", "vos"],
        scores=["negs"],
        bootstrap=10,
        open_set=True,
    )
    paths = write_scores(tmp_path / "out", report)
    data = json.loads(paths[0].read_text())
    (run,) = data["runs"]
    assert run["run"]["config_sha256"] and run["map"]["coco_ap50"] == 0.5
    assert data["versions"]["negas"] and data["settings"]["seed"] == 0
    for row in run["rows"]:
        assert {"preset", "cut", "cut_source", "rule", "tpr", "num_id", "bank"} <= set(row)
    text = paths[1].read_text()
    assert "negas; vos: " in text and "open set" in text and "negas minus" in text
    assert "Negatives of the bank model that name an OOD class: near 1, far 0." in text
    assert text.count("### ") == len(score_tables(report))


def test_a_set_without_samples_is_a_dash(runs):
    report = score_again(runs / "negas", cut=["0.999"], bootstrap=5)
    row = report["runs"][0]["rows"][0]
    assert math.isnan(row["auroc"]) and row["num_ood"] == 0 and row["interval"] is None
    assert "| - |" in to_markdown(score_tables(report)[0])


def test_a_run_without_negatives_has_the_other_scores(copy):
    for name in SETS:
        file = copy / "records" / f"{name}.npz"
        replace(BoxRecords.load(file), neg_logits=None).save(file)
    assert {row["score"] for row in rows_of(copy)} == {
        name for name, kind in SCORES.items() if not (kind.needs_negatives or kind.needs_fit)
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "voc"], "--preset: there is no preset 'voc'; choose of val_f1, vos, siren"),
        (["--cut", "0.01"], "below the least confidence in its records"),
        (["--scores", "negz"], "there is no score 'negz'"),
        (["--scores", "negs(weight=[1])"], "'negs': weight must be a number, got [1]"),
        (["--bootstrap", "-1"], "--bootstrap must be at least 0"),
        (["--rotations", "-1"], "--rotations must be at least 0, got -1"),
        (["--seed", "-3"], "--seed must be at least 0, got -3"),
        (["--against", "lost", "--bootstrap", "0"], "--against needs the bootstrap"),
    ],
)
def test_command_refuses_in_one_sentence(runs, arguments, message, capsys):
    assert call_tool("score", runs / "negas", *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[0].startswith("error: ") and message in lines[0] and len(lines) == 2


def test_command(runs, tmp_path, capsys):
    arguments = ["--scores", "energy", "--bootstrap", "10", "--out", tmp_path]
    assert call_tool("score", runs / "negas", runs / "coop", *arguments) == 0
    printed = capsys.readouterr().out
    assert "negas; val_f1: every box over the cut" in printed and "coop; val_f1: " in printed
    assert (tmp_path / "ood_scores.json").is_file()
    assert call_tool("score") == 2
    assert "no run given" in capsys.readouterr().err
