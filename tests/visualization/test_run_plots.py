"""The pictures of a finished test, drawn by tests and by re-scoring alike."""

import json

import numpy as np
import pytest

from negas.evaluation.recorded import Recorded
from negas.evaluation.run_plots import plot_run
from negas.evaluation.unknown.rows import unknown_section
from negas.files import file_sha256, write_json
from negas.records import BoxRecords
from tests.helpers.commands import call_tool
from tests.helpers.fake_cells import run_with_cells
from tests.helpers.fake_runs import bare_results, fake_run

QUICK = ["--scores", "energy", "--bootstrap", "0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("runs") / "negas")


def names(folder):
    return sorted(file.name for file in folder.glob("*.png"))


def test_scoring_again_draws_what_the_test_drew(folder, tmp_path):
    out = tmp_path / "out"
    assert call_tool("score", folder, *QUICK, "--out", out) == 0
    assert names(out) == ["roc.png", "scores.png"]
    run = Recorded.load(folder)
    for file in plot_run(run, {}, tmp_path / "again"):
        assert file.read_bytes() == (out / file.name).read_bytes()


def test_several_runs_have_a_folder_each(folder, tmp_path):
    other = fake_run(tmp_path / "elsewhere" / "negas", seed=3)
    out = tmp_path / "out"
    assert call_tool("score", folder, other, *QUICK, "--out", out) == 0
    assert names(out) == [] and names(out / "negas") == names(out / "negas_") != []
    drawn = [(out / name / "roc.png").read_bytes() for name in ("negas", "negas_")]
    assert drawn[0] != drawn[1]


def test_curves_of_unknown_objects_stand_beside_them(tmp_path):
    run = run_with_cells()
    run.results |= dict(settings=dict(scores=["max_sigmoid"]), run=dict(score="max_sigmoid"))
    written = plot_run(run, unknown_section(run, draws=0), tmp_path)
    assert [file.name for file in written] == ["scores.png", "roc.png", "unknown.png"]
    assert (tmp_path / "unknown.png").stat().st_size > 5000
    assert len(plot_run(run, {}, tmp_path)) == len(names(tmp_path)) == 2, "that of before goes"


def test_scoring_again_draws_unknown_objects_from_the_cells(tmp_path):
    made, work_dir = run_with_cells(), tmp_path / "run"
    records = work_dir / "records"
    for name, truth in made.truths.items():
        write_json(tmp_path / f"{name}.json", truth.dataset)
        made.records[name].save(records / f"{name}.npz")
        made.cells[name].save(records / "cells" / f"{name}.npz")
    np.savez(records / "cells" / "text_feats.npz", vocabulary=made.word_feats)
    about = bare_results(made.records, 0.5, score="max_sigmoid")
    about["settings"]["scores"] = ["max_sigmoid"]
    about["unknown"] = made.results["unknown"]
    about["files"] = {
        file.relative_to(records).as_posix(): file_sha256(file) for file in records.rglob("*.npz")
    }
    write_json(work_dir / "ood_results.json", about)
    files = [f"{name}={tmp_path / name}.json" for name in made.truths]
    out = tmp_path / "out"
    how = ["--scores", "max_sigmoid", "--bootstrap", "0", "--rotations", "0"]
    assert call_tool("score", work_dir, *how, "--ann", *files, "--out", out) == 0
    assert names(out) == ["roc.png", "scores.png", "unknown.png"]
    curves = json.loads((out / "ood_scores.json").read_text())["runs"][0]["unknown"]["curves"]
    assert curves["false_boxes"][0]["at"] == [0.75, 0.75]


def test_records_alone_have_no_pictures(folder, tmp_path):
    out = tmp_path / "out"
    records = tmp_path / "alone" / "records"
    for name in ("id", "near"):
        BoxRecords.load(folder / "records" / f"{name}.npz").save(records / f"{name}.npz")
    assert call_tool("score", records, *QUICK, "--cut", "0.3", "--out", out) == 0
    assert names(out) == []


def test_the_main_score_is_drawn_with_the_options_of_its_row(folder, tmp_path):
    file = folder / "ood_results.json"
    results = json.loads(file.read_text())
    plain = Recorded.load(folder)
    changed = Recorded.load(folder)
    changed.results["settings"]["scores"] = [["negs", dict(weight=0.1)]]
    assert results["run"]["score"] == "negs" and "negs" in results["settings"]["scores"]
    for run, name in ((plain, "plain"), (changed, "changed")):
        plot_run(run, {}, tmp_path / name)
    first, second = ((tmp_path / n / "roc.png").read_bytes() for n in ("plain", "changed"))
    assert first != second
    write_json(file, results)
