"""Tables of objects: the numbers of the rows, in a terminal of 80 columns."""

import io
import json

import pytest
from rich.console import Console

from negas.evaluation.run import Run
from negas.files import write_json
from negas.metrics.objects import OSCR_METRICS, UNKNOWN_STATES
from negas.reports.columns import COLUMNS
from negas.reports.compare import compare_objects
from negas.reports.html.objects import object_tables, oscr_picture
from negas.reports.html.run import load_report_run
from negas.reports.methods import make_report
from negas.reports.objects import class_table, object_values, oscr_table, state_tables, state_values
from negas.reports.scores import run_tables, score_tables
from negas.reports.table import Row, Section, Stat, best_rows, print_table, to_markdown
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import fake_run, score_again


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three runs; the classes of one set are known to pre-training or not."""
    root = tmp_path_factory.mktemp("runs")
    fake_run(root / "coop", "coop_tiny.py", use_nega=False)
    file = root / "data" / "near.json"
    content = json.loads(file.read_text())
    for category in content["categories"]:
        category["seen"] = category["name"] == "zebra"
    file.write_text(json.dumps(content))
    for seed in (0, 1):
        fake_run(root / f"negas{seed}", seed=seed, presets=["val_f1", "objects"])
    return root


def row_of(folder, name="near", score="negs", preset="objects"):
    """The row of a test without controls."""
    wanted = dict(ood_set=name, score=score, preset=preset, control="none")
    (row,) = [
        row
        for row in Run.load(folder).tested_rows
        if row["bank"] in ("model", "none") and all(row[k] == v for k, v in wanted.items())
    ]
    return row


def by_label(table, section):
    (found,) = [each for each in table.sections if each.title.partition(";")[0] == section]
    return {row.label: row.values for row in found.rows}


def titled(tables, words):
    (table,) = [table for table in tables if words in table.title]
    return table


# --- tables ---------------------------------------------------------------------------------------
def test_scores_show_oscr_once_and_states_of_the_preset(root):
    tables = run_tables(Run.load(root / "negas0"))
    assert [table.title.partition(": ")[2][:24] for table in tables[1:2]] == [
        "objects at equal recall "
    ]
    assert sum("equal recall" in table.title for table in tables) == 1, "not once per preset"
    values = by_label(titled(tables, "equal recall"), "near")["NegS"]
    row = row_of(root / "negas0")
    for key in OSCR_METRICS:
        assert values[key].mean == pytest.approx(row[key], nan_ok=True)
    states = by_label(titled(tables, ": unknown objects"), "near")["NegS"]
    assert [states[key].mean * 12 for key in UNKNOWN_STATES] == pytest.approx(
        [*row["objects"]["unknown"].values()]
    )
    assert states["num_unknown"].mean == 12
    seen = by_label(titled(tables, ": unknown objects"), "near, seen classes")["NegS"]
    assert seen["num_unknown"].mean == 6
    known = titled(tables, ": known objects")
    assert [section.title[:13] for section in known.sections] == ["ID + near", "ID + far"] or [
        section.title for section in known.sections
    ] == ["ID + near/far"]
    assert {"NegS, rotated"} < by_label(titled(tables, "equal recall"), "far").keys()


def test_intervals_stand_beside_the_numbers(root):
    report = score_again(root / "negas0", scores=("negs",), bootstrap=20)
    table = titled(score_tables(report), "equal recall")
    assert [c.key for c in table.columns][:2] == ["oscr", "oscr_low"]
    values = by_label(table, "near")["NegS"]
    assert values["oscr_low"].mean <= values["oscr"].mean <= values["oscr_high"].mean


def test_reports_have_means_over_seeds(root):
    tables = make_report([root / "negas0", root / "negas1"], shared_cut=0.4, progress=False)
    assert sum("equal recall" in table.title for table in tables) == 1, "not once per block"
    values = by_label(titled(tables, "equal recall"), "near: methods")["+ NegAS [NegS]"]
    expected = [row_of(root / f"negas{seed}")["oscr"] for seed in (0, 1)]
    assert values["oscr"].mean == pytest.approx(sum(expected) / 2) and values["oscr"].n == 2
    states = by_label(titled(tables, ": unknown objects"), "near: methods")["+ NegAS [NegS]"]
    taken = [row_of(root / f"negas{s}")["objects"]["unknown"]["taken"] / 12 for s in (0, 1)]
    assert states["taken"].mean == pytest.approx(sum(taken) / 2)


def test_comparisons_have_a_row_per_result(root, tmp_path, capsys):
    paths = [root / "coop", root / "negas0"]
    oscr, unknown, known = compare_objects(paths, ["CoOp", "NegAS"], ["negs"])
    assert [*by_label(oscr, "near")] == ["CoOp [NegS]", "NegAS [NegS]"]
    assert by_label(oscr, "far")["CoOp [NegS]"]["oscr"].mean == pytest.approx(
        row_of(root / "coop", "far", preset="val_f1")["oscr"]
    )
    assert [*by_label(unknown, "near")] == ["NegAS [NegS]"], "CoOp lacks the preset"
    assert known.columns[-1].title == "known objects"
    assert call_tool("compare", *paths, "--out", tmp_path / "table.md") == 0
    printed = capsys.readouterr().out
    for text in (printed, (tmp_path / "table.md").read_text()):
        assert "Objects at equal recall of known ones" in text
    assert call_tool("compare", *paths, "--out", tmp_path / "table.json") == 0
    assert len(json.loads((tmp_path / "table.json").read_text())["objects"]) == 3


def test_two_results_of_one_name_both_stand_there(root, tmp_path):
    for seed in (0, 1):
        write_json(tmp_path / f"{seed}" / "ood_scores.json", score_again(root / f"negas{seed}"))
    (oscr,) = compare_objects([tmp_path / "0", tmp_path / "1"], ["x", "x"], ["negs"])
    assert len(oscr.sections[0].rows) == 2


def test_results_on_other_sets_leave_their_cells_out(root, tmp_path):
    report = score_again(root / "negas0")
    (run,) = report["runs"]
    run["rows"] = [row for row in run["rows"] if row["ood_set"] == "near"]
    del run["sets"]["far"]
    write_json(tmp_path / "ood_scores.json", report)
    (oscr, *_) = compare_objects([tmp_path, root / "coop"], scores=["negs"])
    assert [len(section.rows) for section in oscr.sections] == [2, 1]


# --- width, marks, what is left out ---------------------------------------------------------------
def test_tables_fit_into_80_columns(root):
    report = score_again(root / "negas0", preset=["val_f1", "objects"], bootstrap=5, rotations=2)
    tables = [table for table in score_tables(report) if "object" in table.title.split("; ")[0]]
    tables += compare_objects([root / "coop", root / "negas0"])
    assert len(tables) == 6
    for table in tables:
        out = io.StringIO()
        print_table(table, Console(file=out, width=80, force_terminal=False))
        lines = out.getvalue().splitlines()
        assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines), table.title
        for column in table.columns:
            assert all(word in out.getvalue() for word in column.title.split()), column.title


def test_the_best_row_is_the_one_that_takes_fewest_for_known():
    rows = [
        Row("a", {"near/oscr": Stat(0.8), "near/taken_at_50": Stat(0.1)}),
        Row("b", {"near/oscr": Stat(0.6), "near/taken_at_50": Stat(0.4)}),
    ]
    table = oscr_table("x", [Section("scores", rows)], ["near", "far"])
    (section,) = table.sections
    assert section.title == "near"
    assert best_rows(section, COLUMNS["oscr"]) == best_rows(section, COLUMNS["taken_at_50"]) == {0}


def test_nothing_to_show_is_no_table():
    rows = [Row("a", {"near/oscr": Stat(float("nan"))})]
    assert oscr_table("x", [Section("scores", rows)], ["near"]) is None
    assert state_tables("x", [Section("scores", rows)], ["near"]) == []
    counts = dict(known=dict(right=0), unknown=dict(taken=1, flagged=1, found=0, not_found=2))
    values = state_values(counts, "near")
    assert values["near/taken"] == 0.25 and values["near/num_unknown"] == 4
    assert not any("right" in key for key in values), "no known object"
    row = dict(ood_set="near", **dict.fromkeys(OSCR_METRICS))
    assert all(value != value for value in object_values(row).values()), "null is NaN"


def test_known_objects_stand_once_where_all_sets_agree():
    same = {f"{name}/{key}": Stat(0.5) for name in ("near", "far") for key in ("right", "missed")}
    for values, titles in (
        (same, ["ID + near/far"]),
        (same | {"far/right": Stat(0.4)}, ["ID + near", "ID + far"]),
    ):
        (table,) = state_tables("x", [Section("s", [Row("a", values)])], ["near", "far"])
        assert [section.title for section in table.sections] == titles


def test_classes_are_no_rivals():
    states = dict(taken=1, flagged=0, found=0, not_found=1)
    table = class_table("near by class", dict(fox=states, kite=states | dict(taken=3)), "NegS")
    assert "| fox | 50.0 | 0.0 | 0.0 | 50.0 | 2 |" in to_markdown(table)
    assert not any(best_rows(table.sections[0], column) for column in table.columns)


# --- page -----------------------------------------------------------------------------------------
def test_the_page_has_the_numbers_of_the_test(root):
    run = load_report_run(root / "negas0")
    (oscr, unknown, known), classes = object_tables(run)
    for name in ("near", "far"):
        row = row_of(root / "negas0", name, preset="val_f1")
        assert by_label(oscr, name)["NegS"]["oscr"].mean == pytest.approx(row["oscr"])
    assert [table.title for table in classes] == ["near by class", "far by class"]
    assert [*by_label(unknown, "near")] == ["NegS", "max sigmoid"]
    assert known.columns[-1].key == "num_known"
    labels = [*by_label(oscr, "near")]
    assert labels.index("NegS, rotated") in (labels.index("NegS") + 1, labels.index("NegS") + 2)
    (row,) = [row for row in classes[0].sections[0].rows if row.label == "zebra"]
    assert row.values["num_unknown"].mean == 6
    picture = oscr_picture(run, "near")
    assert picture.uri.startswith("data:image/svg") and "NegS and max sigmoid" in picture.alt


def test_a_page_without_annotations_says_so(root, tmp_path):
    folder = fake_run(tmp_path / "run")
    (tmp_path / "data" / "id.json").unlink()
    run = load_report_run(folder)
    (oscr,), classes = object_tables(run)
    assert "equal recall" in oscr.title and classes == [], "as tested, when they were there"
    assert oscr_picture(run, "near") is None
