"""tools/dev/seed_results.py: runs of several seeds become one row of a table of results."""

import csv
import json
from statistics import mean, stdev

import numpy as np
import pytest
import torch

from negas.evaluation.run import Run
from negas.reports.columns import score_title
from negas.scores import SCORES
from negas.scores.fitted.siren_head import SIRENHead
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import CHANNELS, fake_run

PRESETS = ("val_f1", "matched", "objects")
CONFIG = "negas_grounding-dino-tiny_1xb8-4e_emoji-world.py"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("seeds")
    stock = fake_run(
        root / "stock", f"stock_{CONFIG[6:]}", prompt=False, use_nega=False, presets=PRESETS
    )
    return [stock, *(fake_run(root / str(i), CONFIG, i, presets=PRESETS) for i in range(3))]


def test_rows_are_means_over_seeds(runs, tmp_path):
    out = tmp_path / "scores.csv"
    assert call_tool("dev/seed_results", "scores", *runs, "--out", out) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["detector"], row["method"], row["runs"]) for row in rows} == {
        *(("Grounding DINO", "stock", "1"), ("Grounding DINO", "NegAS", "3")),
    }
    assert {row["preset"] for row in rows} == {"val_f1", "matched"}
    assert {row["bank"] for row in rows} == {"", "llm", "oracle"}
    (row,) = (
        row
        for row in rows
        if [row[key] for key in ("method", "preset", "score", "bank", "control")]
        == ["NegAS", "val_f1", "NegS", "llm", ""]
    )
    tested = [
        next(
            row["auroc"]
            for row in Run.load(run).tested_rows
            if [row[key] for key in ("preset", "score", "bank", "control", "ood_set")]
            == ["val_f1", "negs", "model", "none", "near"]
        )
        for run in runs[1:]
    ]
    assert row["near_auroc"] == f"{100 * mean(tested):.1f}"
    assert row["near_auroc_std"] == f"{100 * stdev(tested):.1f}" != "0.0"
    assert row["leaks_near"] == "1" and row["leaks_far"] == "0" and row["world"] == ""
    turned = next(row for row in rows if row["control"] == "rotated")
    assert turned["near_auroc"] and turned["near_unknown"] == ""
    assert all(row["near_auroc_std"] == "" for row in rows if row["method"] == "stock")


def test_fitted_scores_stand_beside_two_that_are_not(runs, tmp_path):
    out = tmp_path / "fitted.csv"
    assert call_tool("dev/seed_results", "fitted", *runs[:2], "--out", out) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {row["score"] for row in rows}
    assert found == {score_title(n) for n, s in SCORES.items() if s.needs_fit} | {
        "max sigmoid",
        "NegS",
    }
    assert all(0 < float(row["near_auroc"]) <= 100 for row in rows)


def test_of_a_trained_head_there_are_its_own_scores_alone(tmp_path):
    run = fake_run(
        tmp_path / "run",
        "siren_yolo-world-tiny_x.py",
        prompt=False,
        use_nega=False,
        presets=PRESETS,
    )
    results = json.loads((run / "ood_results.json").read_text())
    results["run"]["score_head"] = True
    head = SIRENHead(CHANNELS, 1)
    head.start(torch.tensor(1.0))
    head.move(torch.ones(1, 64))
    np.savez(run / "records/score_head.npz", **head.state())
    (run / "ood_results.json").write_text(json.dumps(results))
    out = tmp_path / "fitted.csv"
    assert call_tool("dev/seed_results", "fitted", run, "--out", out) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["method"], row["score"]) for row in rows} == {
        *(("SIREN", "SIREN-vMF"), ("SIREN", "SIREN-KNN")),
    }


def test_runs_without_a_vocabulary_are_refused(runs, tmp_path, capsys):
    assert call_tool("dev/seed_results", "unknown", *runs, "--out", tmp_path / "u.csv") == 2
    error = capsys.readouterr().err
    assert "no rows of unknown objects" in error and str(runs[0]) in error
    assert not (tmp_path / "u.csv").exists()
