"""The comparison of runs, from made-up runs with known numbers."""

import json
import math

import numpy as np
import pytest

from negas.evaluation.run import Run
from negas.files import write_json
from negas.reports.columns import Block
from negas.reports.methods import display_name, group_runs, make_report, rows_at
from negas.reports.table import print_tables
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import fake_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Stock, two seeds of CoOp, two seeds of NegAS, one ablation."""
    root = tmp_path_factory.mktemp("runs")
    fake_run(root / "stock", "stock_tiny.py", 0, prompt=False, use_nega=False, cut=0.2)
    for seed in (0, 1):
        fake_run(root / f"coop{seed}", "coop_tiny.py", seed, use_nega=False, ap50=0.6 + 0.1 * seed)
        fake_run(root / f"negas{seed}", "negas_tiny.py", seed)
    fake_run(root / "no-mask", "negas-no-mask_tiny.py", 0)
    return root


@pytest.fixture(scope="module")
def folders(runs):
    return [runs / name for name in ("stock", "coop0", "coop1", "negas0", "negas1", "no-mask")]


@pytest.fixture(scope="module")
def tables(folders):
    return without_objects(make_report(folders, shared_cut="stock", progress=False))


def without_objects(tables):
    return [table for table in tables if not table.title.startswith(("Objects", "Headline"))]


def number(rows, **wanted):
    """The one row of a run folder, or of some rows, with these values."""
    rows = rows if isinstance(rows, list) else Run.load(rows).tested_rows
    wanted = dict(preset="val_f1", bank="none", control="none") | wanted
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def row_of(table, section, label):
    (rows,) = [s.rows for s in table.sections if s.title.startswith(section)]
    (row,) = [row for row in rows if row.label == label]
    return row.values


def test_one_table_and_one_bank_table_per_block(tables):
    titles = [table.title for table in tables]
    own = [Block("val_f1"), Block("matched")]
    heads = [block.title for block in (*own, Block("fixed", 0.2), Block("matched", 0.2))]
    assert titles[::2] == heads
    assert titles[1::2] == [f"Label banks on the boxes of + NegAS. {head}" for head in heads]


def test_rows_of_the_main_table(tables):
    labels = {s.title: [row.label for row in s.rows] for s in tables[0].sections}
    assert labels["methods"] == [
        "YOLO-World (stock) [max sigmoid]",
        "YOLO-World (stock) [NegS]",
        "YOLO-World (stock) [NegS], without leaks",
        "YOLO-World (stock) [NegS], rotated",
        "+ CoOp prompts [max sigmoid]",
        "+ NegAS [NegS]",
        "+ NegAS [NegS], without leaks",
        "+ NegAS [NegS], rotated",
        "+ NegAS, no mask [NegS]",
        "+ NegAS, no mask [NegS], without leaks",
        "+ NegAS, no mask [NegS], rotated",
    ]
    assert labels["NegA x NegS"] == [
        f"NegA {nega}, NegS {negs}"
        for nega in ("no", "yes")
        for negs in ("no", "yes", "yes, without leaks", "yes, rotated")
    ]
    assert {"MSP", "MCM", "NegLabel", "NegS", "NegS product"} <= set(
        labels["scores on the boxes of + NegAS"]
    )


def test_controls_stand_in_every_main_table(tables, folders):
    for table in tables[::2]:
        with_negatives = [r for s in table.sections for r in s.rows if "Neg" in r.label]
        assert any(row.control for row in with_negatives)
        assert any("survives" in note for note in table.notes)
    rotated = row_of(tables[0], "methods", "+ NegAS [NegS], rotated")
    seeds = [
        number(f, score="negs", bank="model", control="rotated", ood_set="near")
        for f in folders[3:5]
    ]
    assert rotated["near/auroc"].mean == pytest.approx(np.mean([row["auroc"] for row in seeds]))
    assert "coco_ap" not in rotated and "cut" not in rotated
    values = row_of(tables[0], "methods", "+ NegAS [NegS]")
    column = tables[0].columns[-1]
    assert column.title == "leaks near/far" and column.text(values) == "1/0"
    assert column.text(row_of(tables[0], "methods", "+ CoOp prompts [max sigmoid]")) == ""


def test_numbers_are_means_and_deviations_over_seeds(tables, folders):
    values = row_of(tables[0], "methods", "+ NegAS [NegS]")
    seeds = [number(f, score="negs", bank="model", ood_set="near") for f in folders[3:5]]
    for key in ("fpr95", "auroc"):
        expected = [row[key] for row in seeds]
        assert values[f"near/{key}"].mean == pytest.approx(np.mean(expected))
        assert values[f"near/{key}"].std == pytest.approx(np.std(expected, ddof=1))
        assert values[f"near/{key}"].n == 2
    coop = row_of(tables[0], "methods", "+ CoOp prompts [max sigmoid]")
    assert coop["coco_ap50"].mean == pytest.approx(0.65)
    assert coop["coco_ap50"].std == pytest.approx(math.sqrt(0.005))
    square = row_of(tables[0], "NegA x NegS", "NegA no, NegS yes")
    expected = [number(f, score="negs", bank="model", ood_set="far")["auroc"] for f in folders[1:3]]
    assert square["far/auroc"].mean == pytest.approx(np.mean(expected))


def test_shared_cut_is_the_stock_runs_and_counts_grow(tables, folders):
    main, shared = tables[0], tables[4]
    methods = [row for row in shared.sections[0].rows if not row.control]
    assert {row.values["cut"].mean for row in methods} == {0.2}
    before = row_of(main, "methods", "+ NegAS [NegS]")["num_id"].mean
    after = row_of(shared, "methods", "+ NegAS [NegS]")["num_id"].mean
    assert after >= before
    stock = "YOLO-World (stock) [max sigmoid]"
    assert row_of(main, "methods", stock) == row_of(shared, "methods", stock)


def test_cuts_of_configs_are_each_runs_own(tmp_path, capsys):
    stock = fake_run(tmp_path / "stock", "stock_tiny.py", prompt=False, use_nega=False, cut=0.2)
    other = fake_run(tmp_path / "negas", cut=0.6, cut_source="config")
    for folders in ([stock, other], [other, stock]):
        made = make_report(folders)
        main = made[0]
        assert main.title.startswith("val_f1: ") and main.title.endswith("each run's own")
        rows = [row for row in main.sections[0].rows if not row.control]
        cuts = {row.label: row.values["cut"].mean for row in rows}
        assert cuts["+ NegAS [NegS]"] == 0.6 and 0.2 in cuts.values()
        print_tables(made, brief=True)
        assert "+ NegAS [NegS]" in capsys.readouterr().out


def test_a_cut_that_a_run_was_tested_at_has_a_table_and_counts_once(tmp_path):
    tested = fake_run(tmp_path / "negas")
    file = tested / "ood_results.json"
    results = json.loads(file.read_text())
    results["rows"] += rows_at(Run.load(tested), 0.4)
    write_json(file, results)
    other = fake_run(tmp_path / "coop", "coop_tiny.py", use_nega=False)
    label = "+ NegAS [NegS]"
    for shared_cut, blocks in ((None, 4), (0.4, 4), (0.5, 6)):
        made = without_objects(make_report([other, tested], None, shared_cut, progress=False))
        assert len([table for table in made if "Label banks" not in table.title]) == blocks
        (fixed,) = [t for t in made if t.title.startswith("fixed") and " 0.4 for all" in t.title]
        assert row_of(fixed, "methods", label)["near/auroc"].n == 1
        shown = [row.label for section in fixed.sections for row in section.rows]
        assert ("+ CoOp prompts [max sigmoid]" in shown) == (shared_cut == 0.4)


def test_rows_at_another_cut_equal_a_test_at_that_cut(tmp_path):
    made = rows_at(Run.load(fake_run(tmp_path / "a", cut=0.3)), 0.6)
    tested = Run.load(fake_run(tmp_path / "b", cut=0.6)).tested_rows
    assert len(made) == len(tested)
    named = dict(val_f1="fixed", matched="matched")
    for row in tested:
        keys = ("score", "bank", "control", "ood_set")
        same = number(made, preset=named[row["preset"]], **{key: row[key] for key in keys})
        assert (same["cut"], same["cut_source"]) == (0.6, "fixed")
        for key in ("fpr95", "auroc", "num_id", "num_ood"):
            assert same[key] == pytest.approx(row[key], rel=1e-6, nan_ok=True)


def test_bank_table_has_rotated_control_and_overlap(tables, folders):
    table = tables[1]
    (section,) = [s for s in table.sections if s.title == "NegS"]
    values = {row.label: row.values for row in section.rows}
    assert set(values) == {"llm (model's)", "oracle"}
    rotated = [
        number(f, score="negs", bank="oracle", control="rotated", ood_set="far")
        for f in folders[3:5]
    ]
    assert values["oracle"]["rotated/far/fpr95"].mean == pytest.approx(
        np.mean([row["fpr95"] for row in rotated])
    )
    assert any("near 1 (zebra), far 0" in note for note in table.notes)
    assert any("far 2 (pizza, clock)" in note for note in table.notes)


def test_files(tmp_path, folders, capsys):
    made = make_report(folders[:2], out=tmp_path / "out", progress=False)
    print_tables(made, brief=True)
    printed = capsys.readouterr().out
    text = (tmp_path / "out" / "report.md").read_text()
    assert "YOLO-World (stock) [max sigmoid]" in printed and "[max sigmoid]" in text
    assert "Headline" in printed and "Label banks" not in printed, "brief"
    assert "**" in text and "seed 0" in text
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(data["tables"]) == len(made) == 6
    assert text.split("### ")[1].startswith("Headline. val_f1"), "in files it comes first"
    assert [run["method"] for run in data["runs"]] == ["YOLO-World (stock)", "+ CoOp prompts"]


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("stock_grounding-dino-tiny_emoji-world", "Grounding DINO (stock)"),
        ("negas_grounding-dino-swin-t_8xb2-20e_voc", "Grounding DINO + NegAS"),
        ("coop_mm-grounding-dino-swin-b_8xb2-20e_voc", "MM-Grounding-DINO + CoOp prompts"),
        ("negas-no-mask_grounding-dino-tiny_1xb8-4e", "Grounding DINO + NegAS, no mask"),
        ("negas_yolo-world-v2-s_8xb20-30e_voc", "+ NegAS"),
        ("mine", "mine"),
    ],
)
def test_names_of_detectors(tmp_path, folders, config, name):
    run = Run.load(folders[0])
    run.results["run"]["config"] = f"configs/negas/{config}.py"
    assert display_name(run) == name
    (method,) = group_runs([run])
    assert method.is_plain == (name not in ("mine", "Grounding DINO + NegAS, no mask"))


def test_names_group_runs(folders):
    runs = [Run.load(folder) for folder in folders[3:5]]
    assert display_name(runs[0]) == "+ NegAS"
    assert [m.name for m in group_runs(runs)] == ["+ NegAS"]
    assert [len(m.runs) for m in group_runs(runs, ["a", "b"])] == [1, 1]
    with pytest.raises(ValueError, match="expected 2 names, one per run, got 1"):
        group_runs(runs, ["a"])
    with pytest.raises(ValueError, match="different methods"):
        group_runs([Run.load(folders[0]), runs[0]], ["a", "a"])


def test_a_run_without_ood_sets(tmp_path):
    file = fake_run(tmp_path / "a", ap50=0.5) / "ood_results.json"
    results = json.loads(file.read_text())
    results["sets"] = {name: results["sets"][name] for name in ("id", "id_val")}
    file.write_text(json.dumps(results | dict(rows=[])))
    with pytest.raises(ValueError, match=r"tested without OOD sets.*AP 0\.250"):
        make_report([tmp_path / "a"])


def test_other_classes(tmp_path):
    runs = [
        fake_run(tmp_path / "a"),
        fake_run(tmp_path / "b", "coop_tiny.py", class_names=["cat", "dog", "bus"]),
    ]
    with pytest.raises(ValueError, match="different ID class names"):
        make_report(runs)


def test_names_that_differ_behind_the_first_are_named(tmp_path):
    names = [f"name number {i} of a long list" for i in range(12)]
    runs = [
        fake_run(tmp_path / "a", class_names=names),
        fake_run(tmp_path / "b", "coop_tiny.py", class_names=[*names[:11], "zebra"]),
    ]
    with pytest.raises(ValueError, match="number 12 is 'name number 11.* there, 'zebra' here"):
        make_report(runs)


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("stock", "none of the runs is the stock detector"),
        ("1.5", "expected 'stock' or a number"),
        ("abc", "expected 'stock' or a number"),
        ("0.01", "below the least confidence in its records"),
    ],
)
def test_bad_shared_cut(folders, cut, message):
    with pytest.raises(ValueError, match=message):
        make_report(folders[3:4], shared_cut=cut, progress=False)


def test_command(tmp_path, folders, capsys):
    assert call_tool("report", folders[3], "--out", tmp_path, "--brief") == 0
    assert "report.md" in capsys.readouterr().out
    assert call_tool("report", tmp_path / "none") == 2
    assert capsys.readouterr().err.startswith("error: ")
