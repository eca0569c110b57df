"""Every kind of result file says what its numbers depend on: one list, all writers."""

import json
import shutil

import pytest

from negas.evaluation.provenance import PACKAGES, missing_keys
from negas.files import file_sha256
from negas.records import BoxRecords
from negas.reports.compare import compare, write_comparison
from negas.reports.methods import make_report
from negas.reports.scores import write_scores
from tests.helpers.fake_runs import fake_run, score_again


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    fake_run(root / "stock", "stock_tiny.py", prompt=False, use_nega=False)
    fake_run(root / "negas")
    return root


def scored(folder, source="negas"):
    presets = ["val_f1", "vos", "siren", "matched"]
    how = dict(preset=presets, scores=["max_sigmoid", "negs"], rotations=2)
    write_scores(folder / "scored", score_again(folder / source, **how))
    return json.loads((folder / "scored" / "ood_scores.json").read_text())["runs"]


def reported(folder):
    make_report(
        [folder / "stock", folder / "negas"], shared_cut=0.35, out=folder / "out", progress=False
    )
    return json.loads((folder / "out" / "report.json").read_text())["runs"]


def compared(folder):
    scored(folder)
    paths = [folder / "negas", folder / "scored"]
    write_comparison(folder / "table.json", compare(paths), paths)
    return json.loads((folder / "table.json").read_text())["results"]


@pytest.mark.parametrize("write", [scored, reported, compared])
def test_nothing_lacks(folder, write):
    for description in write(folder):
        assert missing_keys(description) == []
        run, rows = description["run"], description["rows"]
        assert run["config_sha256"] and run["checkpoint_sha256"] and run["nms"]["type"] == "nms"
        assert all(run["versions"][name] for name in ("negas", "python", *PACKAGES))
        assert description["seeds"]["run"] == 0 and description["map"]["voc07_ap50"] == 0.51
        for name, each in description["sets"].items():
            assert each["ann_sha256"] == file_sha256(folder / "data" / f"{name}.json")
        assert description["banks"]["model"]["labels"] == ["zebra", "fork"]
        keys = ("preset", "rule", "cut", "cut_rule", "cut_source", "tpr", "over_cut_id")
        assert all(row[key] is not None for row in rows for key in keys)
        assert {row["control"] for row in rows} == {"none", "rotated", "no_leaks"}


def test_rows_of_a_shared_cut_are_of_the_preset_fixed(folder):
    def fixed(run):
        rows = [row for row in run["rows"] if row["cut_source"] == "fixed"]
        return {(row["preset"], row["cut"], row["cut_rule"]) for row in rows}

    assert fixed(reported(folder)[1]) == {("fixed", 0.35, "fixed"), ("matched", 0.35, "fixed")}
    make_report([folder / "negas"], shared_cut=0.3, out=folder / "same", progress=False)
    (run,) = json.loads((folder / "same" / "report.json").read_text())["runs"]
    same = {("fixed", 0.3, "fixed"), ("matched", 0.3, "fixed")}
    assert fixed(run) == same, "also at a cut that is the run's own"
    assert {row["cut_source"] for row in run["rows"]} == {"id_val", "fixed"}


def test_records_alone_give_map_and_say_so(folder):
    shutil.copytree(folder / "negas" / "records", folder / "alone")
    (description,) = scored(folder, "alone")
    assert missing_keys(description) == []
    assert description["map_from_records"] == ["coco_ap", "coco_ap50", "voc07_ap50"]
    assert all(0 <= description["map"][key] <= 1 for key in description["map_from_records"])
    assert description["run"]["config_sha256"] is None and description["run"]["nms"]["type"] is None
    text = (folder / "scored" / "ood_scores.md").read_text()
    assert "from the records, one label per box" in text


def test_records_that_name_their_negatives_have_a_bank(folder):
    for file in shutil.copytree(folder / "negas" / "records", folder / "named").glob("[!t]*.npz"):
        records = BoxRecords.load(file)
        records.meta["neg_labels"] = ["zebra", "fork"]
        records.save(file)
    (description,) = scored(folder, "named")
    assert description["banks"]["model"]["labels"] == ["zebra", "fork"]
    clean = {row["ood_set"] for row in description["rows"] if row["control"] == "no_leaks"}
    assert clean == {"near"}
