"""The HTML report of made-up runs: numbers, pictures, what is missing, errors."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from negas.metrics import ood_metrics
from negas.reports.html import report as html_report
from negas.reports.html.mistakes import worst_rows
from negas.reports.html.report import make_html_report
from negas.reports.html.run import load_report_run
from tests.helpers import fake_runs
from tests.helpers.commands import call_tool
from tests.helpers.html_cells import Cells


@pytest.fixture
def no_plots(monkeypatch):
    """They take most of the time."""
    monkeypatch.setattr(html_report, "svg_uri", lambda draw: "data:image/svg+xml;base64,")


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory):
    """A run with its data; tests that change it copy it first."""
    return fake_runs.fake_run(tmp_path_factory.mktemp("runs") / "negas")


@pytest.fixture
def work_dir(shared_run, tmp_path):
    return Path(shutil.copytree(shared_run, tmp_path / "negas"))


@pytest.fixture(scope="module")
def html(shared_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "deep" / "page.html"
    assert make_html_report(shared_run, out) == out
    return out.read_text()


def test_settings_stand_on_the_page(html):
    facts = {row[0]: row[1] for row in Cells(html).rows if len(row) == 2}
    assert facts["Confidence cut"] == "0.3000 (f1, source: id_val)"
    assert "zebra, fork" in facts["Label bank"] and facts["Config SHA-256"] == "c" * 64
    assert facts["NMS"] == "nms, IoU 0.7, per class" and facts["Boxes per image, at most"] == "300"
    assert facts["run.seed"] == "0" and facts["settings.rotations"] == "2"
    assert facts["map.coco_ap50"] == "0.5"
    assert facts["Sets (recorded boxes)"].startswith("ID validation: 12 images, 24 boxes")
    for title in (
        " FPR95 (lower",
        " closest: ",
        " TPR: ",
        " rotated: ",
        ". leaks: ",
        "out leaks: ",
    ):
        assert title in Cells(html).text, "explained in the notes"


def test_the_page_is_whole_small_and_the_same_every_time(shared_run, html, tmp_path):
    cells = Cells(html)
    assert cells.sources and all(source.startswith("data:image/") for source in cells.sources)
    assert sum("svg" in source for source in cells.sources) == 4 * 2 + 1
    assert sum("jpeg" in source for source in cells.sources) >= 8
    assert len(html) < 2_000_000
    assert make_html_report(shared_run, tmp_path / "again.html").read_text() == html


def test_mistakes_are_the_extremes(shared_run):
    run = load_report_run(shared_run)
    assert run.tau == ood_metrics(run.values["id"], run.values["near"]).threshold
    for name in ("near", "far"):
        rows = worst_rows(run, name, 4)
        assert run.values[name][rows[0]] == run.values[name].max()
        assert (np.diff(run.values[name][rows]) <= 0).all()
        assert len(set(run.picked(name).image_ids[rows])) == len(rows) == 4
    rows = worst_rows(run, "id", 4)
    assert run.values["id"][rows[0]] == run.values["id"].min()
    assert (run.values["id"][rows] < run.tau).all()
    nothing = np.zeros(len(run.values["id"]), bool)
    assert len(worst_rows(run, "id", 4, nothing)) == 0


def test_another_score(shared_run, tmp_path, capsys, no_plots):
    out = tmp_path / "x.html"
    assert (
        call_tool("html_report", shared_run, "--out", out, "--score", "msp", "--pictures", "1") == 0
    )
    assert f"written: {out}" in capsys.readouterr().out
    cells = Cells(out.read_text())
    assert ["Main score", "MSP"] in cells.rows
    assert sum("jpeg" in source for source in cells.sources) <= 2 * 3  # drawn both ways
    assert call_tool("html_report", shared_run, "--score", "odin") == 2
    assert "none of this test's scores: max_sigmoid, msp" in capsys.readouterr().err


def test_a_run_without_negatives(tmp_path, no_plots):
    run = fake_runs.fake_run(tmp_path / "stock")

    def without_negatives(results):
        results["rows"] = [row for row in results["rows"] if row["bank"] == "none"]
        results["banks"] = {}
        results["settings"]["scores"] = ["max_sigmoid", "msp"]

    change_results(run, without_negatives)
    cells = Cells(make_html_report(run).read_text())
    assert ["Main score", "max sigmoid"] in cells.rows and ["Label bank", "none"] in cells.rows
    assert "rotated FPR95" not in cells.text
    assert sum("svg" in source for source in cells.sources) == 3 * 2 + 1  # one histogram per set


def change_results(work_dir, change):
    results = json.loads((work_dir / "ood_results.json").read_text())
    change(results)
    (work_dir / "ood_results.json").write_text(json.dumps(results))
    return results


def test_what_the_result_file_does_not_say(work_dir, no_plots):
    def forget(results):
        del results["seeds"]
        for key in ("nms", "versions", "max_per_img", "checkpoint_sha256"):
            del results["run"][key]
        for key in ("file", "sha256"):
            del results["banks"]["model"][key]

    change_results(work_dir, forget)
    facts = {r[0]: r[1] for r in Cells(make_html_report(work_dir).read_text()).rows if len(r) == 2}
    for name in ("NMS", "Versions", "Boxes per image, at most", "Label bank SHA-256"):
        assert facts[name] == "not stored"
    assert facts["Seed"] == "run 0, rotations not stored"
    assert facts["Label bank"].startswith("model, data/labels/llm.json; 2 words: zebra, fork")


def test_painted_images(shared_run, tmp_path, no_plots):
    shown = tmp_path / "shown"
    assert (
        call_tool("html_report", shared_run, "--out", tmp_path / "x.html", "--show-dir", shown) == 0
    )
    assert {path.name for path in shown.iterdir()} == {"id_val", "id", "near", "far"}
    assert len(list((shown / "near").iterdir())) == fake_runs.IMAGES


def test_missing_images_and_annotations_are_said(tmp_path, no_plots):
    run = fake_runs.fake_run(tmp_path / "run")
    shutil.rmtree(tmp_path / "data" / "near")
    (tmp_path / "data" / "far.json").unlink()
    (tmp_path / "data" / "id.json").write_text("{")
    html = make_html_report(run).read_text()
    assert f"image not on disk: {tmp_path}/data/near/" in html
    assert "No table: its annotations are not on disk" in html
    assert "No curve: its annotations cannot be read" in html
    assert "Which ID boxes are right is not known" in html
    assert Cells(html).sources  # plots need neither


def test_the_preset_matched_alone(tmp_path, capsys, no_plots):
    run = fake_runs.fake_run(tmp_path / "run")

    def matched_alone(results):
        results["rows"] = [row for row in results["rows"] if row["preset"] == "matched"]
        results["settings"]["presets"] = ["matched"]

    results = change_results(run, matched_alone)
    make_html_report(run)
    loaded = load_report_run(run)
    (row,) = [r for r in results["rows"] if (r["ood_set"], r["score"]) == ("near", "msp")]
    assert len(loaded.values["near"]) == row["num_ood"] < len(loaded.run.records["near"])
    (tmp_path / "data" / "near.json").unlink()
    assert call_tool("html_report", run) == 2
    error = capsys.readouterr().err
    assert "first preset looks at annotations" in error and "--ann SET=FILE" in error


def test_sets_without_annotations_or_boxes(work_dir, tmp_path, no_plots):
    run = load_report_run(work_dir)
    far = run.run.records["far"]
    empty = far.select(np.zeros(len(far), bool))
    empty.save(work_dir / "records" / "far.npz")

    def empty_far(results):
        for row in results["rows"]:
            if row["ood_set"] == "far":
                row |= dict(fpr95=None, fpr95_closest=None, auroc=None, num_ood=0)

    change_results(work_dir, empty_far)
    truth = Path(far.meta["ann_file"])
    content = json.loads(truth.read_text())
    moved = tmp_path / "far.json"
    moved.write_text(json.dumps(content | dict(annotations=[])))
    empty.meta["ann_file"] = str(moved)
    empty.save(work_dir / "records" / "far.npz")
    cells = Cells(make_html_report(work_dir).read_text())
    assert "No box of this set is over the confidence cut." in cells.text
    assert "No table: the set has no annotations." in cells.text
    assert ["MSP", "-", "-", "-"] in [row[:4] for row in cells.rows]


def test_user_errors(work_dir, tmp_path, monkeypatch, capsys):
    def fails(words, *args):
        assert call_tool("html_report", *args) == 2
        error = capsys.readouterr().err
        assert words in error and len(error.strip().splitlines()) == 2, error

    fails("no ood_results.json", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    fails("is a folder", work_dir, "--out", tmp_path)
    (tmp_path / "file").touch()
    fails("cannot be written", work_dir, "--out", tmp_path / "file" / "x.html")
    monkeypatch.setattr("negas.records.VERSION", 2)
    fails("record format version 1, this code reads version 2", work_dir)
    monkeypatch.undo()
    shutil.rmtree(work_dir / "records")
    fails("no folder 'records'", work_dir)
    (work_dir / "ood_results.json").write_text("{")
    fails("not valid JSON", work_dir)
    assert not re.search("report.*html", str(list(work_dir.iterdir())))
