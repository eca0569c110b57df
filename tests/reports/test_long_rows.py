"""``--csv``: every number in a row of its own, from every command by one writer."""

import csv
import math

import pytest

from negas.evaluation.run import Run
from negas.reports.long_rows import COLUMNS, write_long
from tests.helpers.commands import call_tool, tool_said
from tests.helpers.fake_runs import fake_run

PRESETS = ("val_f1", "vos", "objects")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    fake_run(root / "stock", "stock_a.py", prompt=False, use_nega=False, presets=PRESETS)
    for seed in (0, 1):
        fake_run(root / f"negas{seed}", "negas_a.py", seed, presets=PRESETS)
    return root


def rows_of(path):
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames) == COLUMNS
    return rows


def pick(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


ROW = dict(preset="val_f1", set="near", score="negs", bank="model", control="none")


def row_of_run(folder, preset="val_f1", control="none", bank="model"):
    (row,) = [
        row
        for row in Run.load(folder).tested_rows
        if (row["preset"], row["control"], row["bank"]) == (preset, control, bank)
        and (row["ood_set"], row["score"]) == ("near", "negs")
    ]
    return row


def test_reports_have_a_row_for_each_seed_and_number(root, tmp_path):
    paths = [root / name for name in ("stock", "negas0", "negas1")]
    file = tmp_path / "x.csv"
    assert call_tool("report", *paths, "--shared-cut", 0.4, "--brief", "--csv", file) == 0
    rows = rows_of(file)
    assert {(r["method"], r["seed"]) for r in rows} == {
        ("YOLO-World (stock)", "0"),
        ("+ NegAS", "0"),
        ("+ NegAS", "1"),
    }
    for seed in (0, 1):
        mine = [row for row in rows if row["run"] == str(root / f"negas{seed}")]
        expected = row_of_run(root / f"negas{seed}")
        for metric in ("fpr95", "auroc", "taken_at_60", "num_ood", "threshold"):
            found = pick(mine, **ROW, metric=metric)
            assert float(found["value"]) == pytest.approx(expected[metric], nan_ok=True)
            assert found["cut_rule"] == "f1" and found["cut_source"] == "id_val"
        turned = pick(mine, **ROW | dict(control="rotated"), metric="auroc")
        assert (
            float(turned["std"])
            == row_of_run(root / f"negas{seed}", control="rotated")["auroc_std"]
        )
        assert pick(mine, set="id", metric="coco_ap50")["value"] == "0.5"
    states = pick(rows, **ROW | dict(preset="objects"), run=str(root / "negas0"), metric="taken")
    counts = row_of_run(root / "negas0", "objects")["objects"]["unknown"]
    assert float(states["value"]) == counts["taken"] / 12
    assert float(states["low"]) < float(states["value"]) + 1e-9 < float(states["high"]) + 1e-6
    assert any(row["preset"] == "fixed" and row["cut"] == "0.4" for row in rows), "the shared cut"


def test_scores_have_intervals_and_differences(root, tmp_path):
    file = tmp_path / "x.csv"
    how = ["--bootstrap", 5, "--scores", "negs", "--against", root / "stock", "--open-set"]
    assert call_tool("score", root / "negas0", *how, "--brief", "--csv", file) == 0
    rows = rows_of(file)
    auroc = pick(rows, **ROW, method="negas0", metric="auroc")
    assert float(auroc["low"]) <= float(auroc["value"]) <= float(auroc["high"])
    assert pick(rows, **ROW, method="negas0", metric="open_set/a_ose")["value"].isdigit()
    difference = pick(rows, method="negas0 minus stock", set="near", metric="auroc_difference")
    assert difference["score"] == "negs" and difference["low"] and difference["std"]


def test_comparisons_mark_published_rows(root, tmp_path):
    file = tmp_path / "x.csv"
    arguments = [root / "stock", root / "negas0", "--names", "a", "b", "--published", "voc"]
    assert call_tool("compare", *arguments, "--brief", "--csv", file) == 0
    rows = rows_of(file)
    assert {row["method"] for row in rows if row["control"] != "published"} == {"a", "b"}
    published = [row for row in rows if row["control"] == "published"]
    assert {"coco", "openimages"} <= {row["set"] for row in published}
    assert all(0 <= float(row["value"]) <= 1 for row in published if row["metric"] == "auroc")
    value = pick(rows, **ROW, method="b", metric="fpr95")["value"]
    assert float(value) == row_of_run(root / "negas0")["fpr95"]
    assert call_tool("compare", *arguments, "--scores", "msp", "--brief", "--csv", file) == 0
    assert {row["score"] for row in rows_of(file)} == {"msp", ""}


def test_numbers_that_do_not_exist_are_empty(tmp_path):
    row = dict(dict.fromkeys(COLUMNS), metric="auroc", value=math.nan, low=None, high=0.1 + 0.2)
    write_long(tmp_path / "x.csv", [row])
    (found,) = rows_of(tmp_path / "x.csv")
    assert found["value"] == found["low"] == "" and float(found["high"]) == 0.1 + 0.2


@pytest.mark.parametrize("tool", ["report", "score", "compare"])
def test_a_file_of_somebody_else_is_kept(root, tmp_path, capsys, tool):
    file = tmp_path / "mine.csv"
    file.write_text("my,own\n1,2\n")
    code, out, err = tool_said(capsys, tool, root / "negas0", "--csv", file)
    assert code == 2 and "--csv" in err and "no earlier result" in err and not out
    assert file.read_text() == "my,own\n1,2\n"
    arguments = [root / "negas0", "--csv", file, "--brief"]
    arguments += ["--bootstrap", 0] if tool == "score" else []
    assert call_tool(tool, *arguments, "--overwrite") == 0
    assert rows_of(file)
    assert call_tool(tool, *arguments) == 0, "its own may be replaced"
