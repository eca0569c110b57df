"""Unknown objects that a vocabulary finds: in every table, the page, plots and the CSV."""

import csv
import io
import json
from importlib import import_module

import pytest
from rich.console import Console

from negas.evaluation.run import Run
from negas.evaluation.unknown.rows import unknown_section
from negas.files import write_json
from negas.reports.compare import compare_objects
from negas.reports.html.page import render_page
from negas.reports.html.report import build_page
from negas.reports.html.run import load_report_run
from negas.reports.methods import make_report
from negas.reports.scores import run_tables
from negas.reports.table import print_table, print_tables
from negas.reports.unknown import UNKNOWN_TITLE, unknown_comparison, unknown_table
from negas.visualization.unknown_curves import plot_unknown
from tests.helpers.commands import call_tool
from tests.helpers.fake_cells import run_with_cells
from tests.helpers.fake_runs import fake_run


@pytest.fixture(scope="module")
def about():
    run = run_with_cells([True, False, True])
    return run.results["unknown"] | unknown_section(run, draws=50, rotations=2)


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory, about):
    path = fake_run(tmp_path_factory.mktemp("runs") / "negas")
    file = path / "ood_results.json"
    write_json(file, json.loads(file.read_text()) | dict(unknown=about))
    return path


def printed(table, width=80):
    console = Console(file=io.StringIO(), width=width)
    print_table(table, console)
    return console.file.getvalue()


def test_all_parts_stand_in_one_table_of_80_columns(about):
    text = printed(unknown_table("a_run", about))
    assert "…" not in text and "near, 4 objects" in text
    lines = {line.strip().partition("  ")[0]: line.split() for line in text.splitlines()}
    whole = lines["all words"]
    assert whole[2] == "75.0" and whole[4:] == ["100.0/50.0", "0.25", "0.50", "0.50", "3"]
    assert lines["no OOD words"][3] == "25.0"
    assert {
        "no OOD, refit",
        "tower's words",
        "other words",
        "rotated",
        "rotated, refit",
    } <= lines.keys()
    brief = printed(unknown_table("a_run", about, brief=True))
    assert "tower's words" not in brief and "rotated, refit" in brief
    assert unknown_table("a_run", {}) is None


def test_methods_stand_side_by_side_with_their_seeds(about):
    other = about | dict(rows=[row | dict(recall=0.25) for row in about["rows"]])
    names = ("Grounding DINO + CoOp prompts", "stock")
    table = unknown_comparison([(names[0], [about, other]), (names[1], [about])])
    text = printed(table)
    assert "…" not in text and "near: no OOD words" in text
    first = next(line for line in text.splitlines() if names[0] in line)
    assert "50.0 ± 35.4" in first, "mean of 75 and 25"
    assert unknown_comparison([("stock", [{}])]) is None


def test_every_report_has_the_table(work_dir, capsys):
    assert any("unknown objects found" in table.title for table in run_tables(Run.load(work_dir)))
    assert any(table.title == UNKNOWN_TITLE for table in compare_objects([work_dir]))
    tables = make_report([work_dir], progress=False)
    assert [table.title for table in tables].count(UNKNOWN_TITLE) == 1
    print_tables(tables)
    assert UNKNOWN_TITLE in capsys.readouterr().out


def test_the_page_has_table_and_curves(work_dir):
    page = build_page(load_report_run(work_dir), 0)
    assert len(page.unknown_tables) == len(page.unknown_plots) == 1
    html = render_page(page)
    assert 'id="unknown"' in html and "no OOD words" in html
    assert not any(key.startswith("unknown.rows") for key, _ in page.settings)


def test_curves_are_drawn_as_far_as_there_are_any(about, tmp_path):
    both, one = tmp_path / "both.png", tmp_path / "one.png"
    plot_unknown(about["curves"], both)
    plot_unknown(about["curves"] | dict(words=[]), one)
    assert both.stat().st_size > one.stat().st_size > 1000
    plot_unknown(dict(false_boxes=[], words=[]), one)
    assert not one.exists(), "that of an older run goes"


def test_the_table_of_all_runs(work_dir, tmp_path):
    out = tmp_path / "unknown_objects.csv"
    assert call_tool("dev/seed_results", "unknown", work_dir, "--out", out) == 0
    rows = {row["vocabulary"]: row for row in csv.DictReader(out.open())}
    row = rows["all words"]
    assert (row["detector"], row["method"], row["runs"]) == ("YOLO-World", "NegAS", "1")
    assert (row["recall"], row["recall_seen"], row["recall_unseen"]) == ("75.0", "100.0", "50.0")
    assert (row["id_known"], row["words"], row["score_thr"]) == ("0.25", "3", "0.510")
    assert row["oscr"] and not rows["no OOD words"]["oscr"] and not row["recall_std"]


def test_seeds_of_a_method_are_one_row():
    tool = import_module("tools.dev.seed_results")
    about, numbers = (
        dict.fromkeys(names, x) for names, x in zip(tool.TABLES["unknown"], ("x", 0.5), strict=True)
    )
    rows = [about | numbers | dict(recall=recall, oscr=None) for recall in (0.5, 0.6, 0.7)]
    (row,), columns = tool.over_seeds("unknown", rows)
    assert set(row) == set(columns)
    assert (row["runs"], row["recall"], row["recall_std"]) == (3, "60.0", "10.0")
    assert (row["oscr"], row["oscr_std"]) == ("", "")
