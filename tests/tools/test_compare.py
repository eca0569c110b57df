"""Results side by side with published rows, and what is refused."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from negas.evaluation.recorded import Recorded
from negas.experiments.tables import published_rows
from negas.files import write_json
from negas.reports.compare import PUBLISHED, compare, describe_results
from negas.reports.methods import rows_at
from negas.reports.scores import write_scores
from negas.reports.table import to_markdown
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import fake_run, score_again


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    fake_run(root / "coop", "coop_tiny.py", 0, use_nega=False)
    fake_run(root / "negas", "negas_tiny.py", 1, ap50=0.6)
    how = dict(preset=["val_f1", "vos"], banks=["model", "oracle"])
    write_scores(root / "scored", score_again(root / "negas", **how))
    return root


VAL_F1 = "val_f1; cut: id_val"


def by_label(table):
    return {s.title: {row.label: row.values for row in s.rows} for s in table.sections}


def test_test_runs_side_by_side(runs):
    table = compare([runs / "coop", runs / "negas"], names=["CoOp", "NegAS"])
    rows = by_label(table)[VAL_F1]
    assert list(rows) == [
        "CoOp [max sigmoid]",
        "CoOp [NegS]",
        "NegAS [max sigmoid]",
        "NegAS [NegS]",
    ]
    results = json.loads((runs / "negas" / "ood_results.json").read_text())
    (row,) = [
        row
        for row in results["rows"]
        if (row["score"], row["bank"], row["control"]) == ("negs", "model", "none")
        and (row["preset"], row["ood_set"]) == ("val_f1", "near")
    ]
    assert rows["NegAS [NegS]"]["near/fpr95"].mean == row["fpr95"]
    assert rows["NegAS [NegS]"]["coco_ap50"].mean == 0.6
    titles = [section.title for section in table.sections]
    assert titles == [VAL_F1, "matched; cut: id_val"], "each preset is a section of its own"
    samples = "every box over the cut is a sample; FPR95 at a recall of at least 95%."
    assert f"val_f1: {samples}" in table.notes
    assert sum(note.startswith("matched: boxes on annotated objects") for note in table.notes) == 1


def test_scored_runs_stand_beside_tests(runs):
    table = compare([runs / "negas", runs / "scored"], names=["tested", "scored"], scores=["negs"])
    rows = by_label(table)
    found = rows[VAL_F1]
    assert set(found) == {"tested [NegS]", "scored [NegS]", "scored, bank oracle [NegS]"}
    tested = found["tested [NegS]"]
    for key in ("near/fpr95", "far/auroc", "num_id", "coco_ap"):
        assert found["scored [NegS]"][key].mean == tested[key].mean
    data = json.loads((runs / "scored" / "ood_scores.json").read_text())["runs"][0]["rows"]
    vos = rows["vos; cut: id_test"]
    wanted = ("vos", "negs", "model", "none", "near")
    keys = ("preset", "score", "bank", "control", "ood_set")
    (row,) = [row for row in data if tuple(row[key] for key in keys) == wanted]
    assert vos["scored [NegS]"]["near/fpr95"].mean == row["fpr95_closest"]
    closest = [note for note in table.notes if "closest to 95%" in note]
    assert len(closest) == 1 and closest[0].startswith("vos: ")


def test_published_rows_are_marked_and_never_bold(runs):
    rows = published_rows("voc") + published_rows("bdd100k")
    table = compare([runs / "negas"], published=rows)
    section = table.sections[-1]
    assert section.title == PUBLISHED and all(row.control for row in section.rows)
    assert all(row.label.endswith("[published]") for row in section.rows)
    text = to_markdown(table)
    lines = [line for line in text.splitlines() if "[published]" in line]
    assert len(lines) == len(rows) and not any("**" in line for line in lines)
    assert "not run here" in text and "ICLR 2022" in text


def test_a_published_table_of_ones_own(runs, tmp_path):
    row = dict(title="X", published=dict(mine=dict(near=dict(fpr95=25, auroc=90), score_thr=0.4)))
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(dict(title="Mine", source="Y, 2026", data=["mine"], rows=[row])))
    table = compare([runs / "negas"], published=published_rows(str(file)))
    (published,) = table.sections[-1].rows
    assert published.values["near/fpr95"].mean == 0.25 and published.values["cut"].mean == 0.4
    assert "X: Y, 2026." in table.notes


def test_runs_of_one_file_keep_their_own_numbers(runs, tmp_path):
    write_scores(tmp_path, score_again(runs / "negas", runs / "coop", scores=["negs"]))
    rows = by_label(compare([tmp_path]))[VAL_F1]
    assert rows["negas [NegS]"]["coco_ap50"].mean == 0.6
    assert rows["coop [NegS]"]["coco_ap50"].mean == 0.5
    assert set(by_label(compare([tmp_path], names=["both"]))[VAL_F1]) == {
        "both/negas [NegS]",
        "both/coop [NegS]",
    }
    file = tmp_path / "ood_scores.json"
    data = json.loads(file.read_text())
    data["runs"][1]["id_labels"] = ["cat", "dog", "bus"]
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"\(coop\) and .* \(negas\) have different ID labels"):
        compare([tmp_path])


def test_the_closest_rule_reads_its_own_number(runs, tmp_path):
    shutil.copytree(runs / "scored", tmp_path / "scored")
    file = tmp_path / "scored" / "ood_scores.json"
    data = json.loads(file.read_text())
    for row in data["runs"][0]["rows"]:
        row |= dict(fpr95=0.25, fpr95_closest=0.75)
    file.write_text(json.dumps(data))
    for title, rows in by_label(compare([tmp_path / "scored"], scores=["negs"])).items():
        expected = 0.75 if title.startswith("vos") else 0.25
        assert {values["near/fpr95"].mean for values in rows.values()} == {expected}


def test_fixed_cuts_are_compared_with_their_like(runs, tmp_path):
    folders = [runs / "coop", runs / "negas"]
    for number, cut in (("1", "0.2"), ("2", "0.3")):
        how = dict(preset=["fixed"], cut=[cut], scores=["negs"])
        write_scores(tmp_path / number, score_again(*folders, **how))
    run = Recorded.load(runs / "negas")
    results = run.results | dict(rows=[*run.results["rows"], *rows_at(run, 0.2)])
    write_json(tmp_path / "tested" / "seed_1" / "ood_results.json", results)
    paths = [tmp_path / "1", tmp_path / "2", tmp_path / "tested" / "seed_1"]
    sections = by_label(compare(paths, scores=["negs"]))
    assert set(sections) >= {VAL_F1, "matched; cut: id_val", "matched; cut: 0.2"}
    title = "fixed; cut: {}"
    both = {"coop [NegS]", "negas [NegS]"}
    tested = "tested/seed_1 [NegS]"
    assert set(sections[title.format("0.2")]) == both | {tested}
    assert set(sections[title.format("0.3")]) == both
    rows = sections[title.format("0.2")]
    for key in ("near/fpr95", "far/auroc", "num_id"):
        assert rows[tested][key].mean == rows["negas [NegS]"][key].mean


def test_checksums_are_of_each_results_own_file(runs):
    described = describe_results([runs / "coop", runs / "scored", runs / "negas"])
    names = ["coop/ood_results.json", "scored/ood_scores.json", "negas/ood_results.json"]
    assert [each["file"] for each in described] == [str(runs / name) for name in names]
    sums = [each["file_sha256"] for each in described]
    assert sums == [hashlib.sha256((runs / name).read_bytes()).hexdigest() for name in names]


# --- bad input ---------------------------------------------------------------------------------
def test_results_that_do_not_fit(runs, tmp_path):
    other = fake_run(tmp_path / "other", class_names=["cat", "dog", "bus"])
    with pytest.raises(ValueError, match="different ID labels .*number 3 is"):
        compare([runs / "negas", other])
    copy = Path(shutil.copytree(runs / "coop", tmp_path / "copy"))
    data = json.loads((copy / "ood_results.json").read_text())
    data["sets"]["near"]["images"] = 11
    (copy / "ood_results.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="the set 'near' has 11 and 12 images"):
        compare([runs / "negas", copy])
    with pytest.raises(ValueError, match="expected 1 names, one per result, got 2"):
        compare([runs / "negas"], names=["a", "b"])
    with pytest.raises(ValueError, match="none of the results has negz"):
        compare([runs / "negas"], scores=["negz"])


def test_files_that_are_no_results(runs, tmp_path):
    with pytest.raises(FileNotFoundError, match="found none of them"):
        compare([tmp_path])
    with pytest.raises(FileNotFoundError, match="no such result"):
        compare([tmp_path / "none.json"])
    (tmp_path / "x.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match="neither results of negas test nor"):
        compare([tmp_path / "x.json"])
    (tmp_path / "ood_scores.json").write_text('{"kind"')
    with pytest.raises(ValueError, match="not valid JSON"):
        compare([tmp_path])
    shutil.copy(runs / "negas" / "ood_results.json", tmp_path)
    with pytest.raises(FileNotFoundError, match="found both"):
        compare([tmp_path])


def test_command(runs, tmp_path, capsys):
    out = tmp_path / "table.md"
    arguments = [runs / "coop", runs / "scored", "--published", "voc", "--out", out]
    assert call_tool("compare", *arguments) == 0
    assert "[published]" in capsys.readouterr().out and "[published]" in out.read_text()
    assert call_tool("compare", tmp_path / "none") == 2
    assert capsys.readouterr().err.startswith("error: ")
