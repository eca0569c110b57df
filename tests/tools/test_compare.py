"""Results side by side with published rows, and what is refused."""

import hashlib
import json
import runpy
import shutil
from pathlib import Path

import pytest

from negas.evaluation.cuts import choose_presets
from negas.evaluation.provenance import write_results
from negas.evaluation.rescore import ScoreOptions, score_dumps
from negas.experiments.tables import published_rows
from negas.reports.compare import PUBLISHED, compare, describe_results
from negas.reports.methods import load_run
from negas.reports.scores import write_scores
from negas.reports.table import to_markdown
from tests.helpers.commands import ROOT
from tests.helpers.fake_runs import fake_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    fake_run(root / "coop", "coop_tiny.py", 0, use_nega=False)
    fake_run(root / "negas", "negas_tiny.py", 1, ap50=0.6)
    options = ScoreOptions(choose_presets(["own", "vos"]), draws=0, banks=["own", "oracle"])
    write_scores(root / "scored", score_dumps([root / "negas"], options))
    return root


OWN = "preset own, samples: vos; cut: id_val; FPR95 at recall of at least 95%"


def by_label(table):
    return {s.title: {row.label: row.values for row in s.rows} for s in table.sections}


def test_test_runs_side_by_side(runs):
    table = compare([runs / "coop", runs / "negas"], names=["CoOp", "NegAS"])
    rows = by_label(table)[OWN]
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
        if (row["score"], row["bank"], row["control"]) == ("negs", "own", "none")
        and (row["protocol"], row["ood_set"]) == ("vos", "near")
    ]
    assert rows["NegAS [NegS]"]["near/fpr95"].mean == row["fpr95"]
    assert rows["NegAS [NegS]"]["coco_ap50"].mean == 0.6
    assert len(table.sections) == 2, "the matched protocol is a section of its own"


def test_rows_of_an_older_test_find_their_section(runs, tmp_path):
    copy = Path(shutil.copytree(runs / "negas", tmp_path / "old"))
    data = json.loads((copy / "ood_results.json").read_text())
    for row in data["rows"]:
        for key in ("preset", "rule", "cut_source", "cut_rule", "pair_floor"):
            del row[key]
    (copy / "ood_results.json").write_text(json.dumps(data))
    table = compare([runs / "negas", copy], names=["new", "old"], scores=["negs"])
    rows = by_label(table)
    assert [set(found) for found in rows.values()] == [{"new [NegS]", "old [NegS]"}] * 2
    assert rows[OWN]["old [NegS]"] == rows[OWN]["new [NegS]"]


def test_scored_dumps_stand_beside_runs(runs):
    table = compare([runs / "negas", runs / "scored"], names=["tested", "scored"], scores=["negs"])
    rows = by_label(table)
    own = rows[OWN]
    assert set(own) == {"tested [NegS]", "scored [NegS]", "scored, bank oracle [NegS]"}
    tested = own["tested [NegS]"]
    for key in ("near/fpr95", "far/auroc", "num_id", "coco_ap"):
        assert own["scored [NegS]"][key].mean == pytest.approx(tested[key].mean)
    data = json.loads((runs / "scored" / "ood_scores.json").read_text())["dumps"][0]["rows"]
    (vos,) = [found for title, found in rows.items() if "closest to 95%" in title]
    wanted = ("vos", "negs", "own", "none", "near")
    keys = ("preset", "score", "bank", "control", "ood_set")
    (row,) = [row for row in data if tuple(row[key] for key in keys) == wanted]
    assert vos["scored [NegS]"]["near/fpr95"].mean == row["fpr95_closest"]


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


def test_own_published_table(runs, tmp_path):
    row = dict(title="X", published=dict(mine=dict(near=dict(fpr95=25, auroc=90), score_thr=0.4)))
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(dict(title="Mine", source="Y, 2026", data=["mine"], rows=[row])))
    table = compare([runs / "negas"], published=published_rows(str(file)))
    (published,) = table.sections[-1].rows
    assert published.values["near/fpr95"].mean == 0.25 and published.values["cut"].mean == 0.4
    assert "X: Y, 2026." in table.notes


def test_dumps_of_one_file_keep_their_own_numbers(runs, tmp_path):
    options = ScoreOptions(choose_presets(["own"]), ["negs"], draws=0)
    write_scores(tmp_path, score_dumps([runs / "negas", runs / "coop"], options))
    rows = by_label(compare([tmp_path]))[OWN]
    assert rows["negas [NegS]"]["coco_ap50"].mean == 0.6
    assert rows["coop [NegS]"]["coco_ap50"].mean == 0.5
    file = tmp_path / "ood_scores.json"
    data = json.loads(file.read_text())
    data["dumps"][1]["id_labels"] = ["cat", "dog", "bus"]
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"\(coop\) and .* \(negas\) have different ID labels"):
        compare([tmp_path])


def test_the_closest_rule_reads_its_own_number(runs, tmp_path):
    shutil.copytree(runs / "scored", tmp_path / "scored")
    file = tmp_path / "scored" / "ood_scores.json"
    data = json.loads(file.read_text())
    for row in data["dumps"][0]["rows"]:
        row |= dict(fpr95=0.25, fpr95_closest=0.75)
    file.write_text(json.dumps(data))
    for title, rows in by_label(compare([tmp_path / "scored"], scores=["negs"])).items():
        expected = 0.75 if "closest to 95%" in title else 0.25
        assert {values["near/fpr95"].mean for values in rows.values()} == {expected}


def test_fixed_cuts_are_compared_with_their_like(runs, tmp_path):
    folders = [runs / "coop", runs / "negas"]
    for number, cut in (("1", "0.2"), ("2", "0.3")):
        options = ScoreOptions(choose_presets(["fixed"], [cut]), ["negs"], draws=0)
        write_scores(tmp_path / number, score_dumps(folders, options))
    run = load_run(runs / "negas")
    run.add_cut("shared", 0.2)
    results = run.results | dict(rows=[*run.results["rows"], *run.rows[-60:]])
    write_results(tmp_path / "tested" / "seed_1" / "ood_results.json", results)
    paths = [tmp_path / "1", tmp_path / "2", tmp_path / "tested" / "seed_1"]
    sections = by_label(compare(paths, scores=["negs"]))
    title = "preset fixed, samples: vos; cut: {} (fixed); FPR95 at recall of at least 95%"
    both = {"coop [NegS]", "negas [NegS]"}
    tested = "tested/seed_1 [NegS]"
    assert set(sections[title.format("0.2")]) == both | {tested}
    assert set(sections[title.format("0.3")]) == both
    rows = sections[title.format("0.2")]
    for key in ("near/fpr95", "far/auroc", "num_id"):
        assert rows[tested][key].mean == pytest.approx(rows["negas [NegS]"][key].mean)


def test_checksums_are_of_each_results_own_file(runs):
    described = describe_results([runs / "coop", runs / "scored", runs / "negas"])
    names = ["coop/ood_results.json", "scored/ood_scores.json", "negas/ood_results.json"]
    assert [each["file"] for each in described] == [str(runs / name) for name in names]
    sums = [each["file_sha256"] for each in described]
    assert sums == [hashlib.sha256((runs / name).read_bytes()).hexdigest() for name in names]


# --- bad input ---------------------------------------------------------------------------------
def test_results_that_do_not_fit(runs, tmp_path):
    other = fake_run(tmp_path / "other", class_names=["cat", "dog", "bus"])
    with pytest.raises(ValueError, match="different ID labels, or the same in another order"):
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
    with pytest.raises(ValueError, match="neither results of tools/test.py nor"):
        compare([tmp_path / "x.json"])
    (tmp_path / "ood_scores.json").write_text('{"kind"')
    with pytest.raises(ValueError, match="not valid JSON"):
        compare([tmp_path])
    shutil.copy(runs / "negas" / "ood_results.json", tmp_path)
    with pytest.raises(FileNotFoundError, match="found both"):
        compare([tmp_path])


def test_command(runs, tmp_path, capsys, monkeypatch):
    out = tmp_path / "table.md"
    arguments = [runs / "coop", runs / "scored", "--published", "voc", "--out", out]
    assert call(monkeypatch, *arguments) == 0
    assert "[published]" in capsys.readouterr().out and "[published]" in out.read_text()
    assert call(monkeypatch, tmp_path / "none") == 2
    assert capsys.readouterr().err.startswith("error: ")


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["compare.py", *map(str, arguments)])
    monkeypatch.delenv("NEGAS_DEBUG", raising=False)
    return runpy.run_path(str(ROOT / "tools/compare.py"))["main"]()
