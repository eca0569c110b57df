"""Numbers of re-scoring against the same ones computed from the records without it."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from negas.evaluation.objects.object_rows import paired_rows_of, reached_objects
from negas.evaluation.recorded import Recorded
from negas.evaluation.result_files import TEXT_FEATS_FILE
from negas.evaluation.rows import name_scores, values_at
from negas.metrics import (
    GroupedScores,
    LabeledBoxes,
    coco_map,
    open_set_metrics,
    oscr,
    paired_bootstrap,
    paired_oscr_intervals,
    records_to_coco,
    voc07_ap50,
)
from negas.records import BoxRecords
from negas.reports.few import interval_values
from negas.reports.scores import score_tables
from negas.reports.table import to_markdown
from negas.scores import get_score
from tests.helpers.fake_runs import fake_run, score_again

NEGS = get_score("negs")
SIDES = ("id", "near")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs with cuts of their own; three images of each set have no box at all."""
    root = tmp_path_factory.mktemp("runs")
    fake_run(root / "one", "one_tiny.py", 0, cut=0.6)
    fake_run(root / "two", "two_tiny.py", 1, cut=0.3)
    for file in root.glob("*/records/*.npz"):
        if file.name != TEXT_FEATS_FILE:
            records = BoxRecords.load(file)
            replace(records.select(records.image_ids < 9), images=np.arange(12)).save(file)
    return root


def sample(folder, name, cut, bank="model"):
    """Samples of a set, their NegS, and their images."""
    records = BoxRecords.load(folder / "records" / f"{name}.npz")
    if bank != "model":
        with np.load(folder / "records" / TEXT_FEATS_FILE) as feats:
            records = records.rescore(feats[bank])
    kept = records.select(records.scores >= np.float32(cut))
    return kept, NEGS(kept.id_logits, kept.neg_logits)


def report_of(folder, presets=("val_f1",), cuts=None, **options):
    return score_again(folder, preset=presets, cut=cuts, **dict(scores=["negs"]) | options)


def pick(rows, **wanted):
    (row,) = [r for r in rows if all(r[key] == value for key, value in wanted.items())]
    return row


def test_intervals_stand_in_the_table(runs):
    (run,) = report_of(runs / "two", bootstrap=40, seed=3)["runs"]
    values = interval_values(pick(run["rows"], control="none", ood_set="near"))
    text = to_markdown(score_tables(dict(runs=[run], paired=[]))[0])
    low, high = (f"{100 * values[f'near/auroc_{end}']:.1f}" for end in ("low", "high"))
    assert low != high and f" {low}/{high} |" in text


def test_each_number_of_a_set_is_named_by_its_set(runs):
    """A narrow terminal breaks the table: a column may stand where its neighbours are not."""
    titles = [column.title for column in score_tables(report_of(runs / "one"))[0].columns]
    shown = [title for title in titles if "FPR95" in title or "AUROC" in title]
    wanted = ("FPR95", "FPR95 closest", "AUROC")
    assert shown == [f"{name} {number}" for name in ("near", "far") for number in wanted]


def test_a_set_without_samples_leaves_the_others_their_intervals(runs, tmp_path):
    folder = fake_run(tmp_path / "run")
    file = folder / "records" / "near.npz"
    BoxRecords.load(file).select([]).save(file)
    (run,) = report_of(folder, bootstrap=20)["runs"]
    columns = [column.key for column in score_tables(dict(runs=[run], paired=[]))[0].columns]
    assert "far/auroc_low" in columns and "near/auroc_low" not in columns
    paired = report_of(folder, bootstrap=20, against=runs / "one")["paired"]
    assert [row["ood_set"] for row in paired] == ["far"]


def test_differences_of_runs_at_their_own_cuts(runs):
    how = dict(bootstrap=40, against=runs / "one", banks=["oracle"])
    report = report_of(runs / "two", ["val_f1", "fixed"], ["0.5"], **how)
    assert {(row["cut"], row["other_cut"]) for row in report["paired"]} == {(0.5, 0.5)}
    report = report_of(runs / "two", ["siren", "val_f1"], **how)
    cuts = {"val_f1": (0.3, 0.6), "siren": (0.1, 0.1)}
    row = pick(report["paired"], preset="val_f1", ood_set="near")
    assert (row["run"], row["other"]) == ("two", "one")
    sides = []
    for name, cut in (("one", 0.6), ("two", 0.3)):
        parts = [sample(runs / name, side, cut, "oracle") for side in SIDES]
        sides.append([GroupedScores(values, kept.image_ids) for kept, values in parts])
    everything = (np.arange(12), np.arange(12))  # also the images without a box
    expected = paired_bootstrap(*sides, 40, 0, images=everything).to_dict()
    for key in ("auroc", "fpr95"):
        assert row[key] == pytest.approx(expected[key], abs=1e-6)
    for preset, pair in cuts.items():
        row = pick(report["paired"], preset=preset, ood_set="far")
        assert (row["cut"], row["other_cut"]) == pair


def test_differences_of_objects_are_from_the_same_draws(runs, tmp_path):
    how = dict(bootstrap=40, seed=2, banks=["oracle"], against=runs / "one")
    report = report_of(runs / "two", ["val_f1", "siren"], **how)
    sides, places = [], []
    for name in ("one", "two"):
        run = Recorded.load(runs / name)
        values = values_at(run, paired_rows_of(run), *name_scores(["negs"]), "oracle")
        known, unknown, *places = reached_objects(run, values, "near")
        sides.append((known, unknown))
    expected = paired_oscr_intervals(*sides, tuple(places), (12, 12), 40, 2)
    for preset in ("val_f1", "siren"):
        row = pick(report["paired"], preset=preset, ood_set="near")
        assert {key: row[key] for key in expected} == {k: asdict(v) for k, v in expected.items()}
    assert len({str(oscr(*side)) for side in sides}) == 2, "the runs differ"
    table = score_tables(report)[-1]
    assert table.title == "two minus one: objects at equal recall of known ones"
    assert [row.label for section in table.sections for row in section.rows] == [
        "NegS, bank oracle"
    ] * 2
    low, high = (f"{100 * getattr(expected['taken_at_60'], end):.1f}" for end in ("low", "high"))
    assert f" {low}/{high} |" in to_markdown(table)
    assert "OSCR above 0 and taken @60% below 0: the first run is better" in table.notes[0]


def test_differences_need_equal_annotations(runs, tmp_path):
    data = json.loads((runs / "data" / "near.json").read_text())
    data["annotations"][3]["bbox"][0] += 1
    (tmp_path / "moved.json").write_text(json.dumps(data))
    moved = {"near": str(tmp_path / "moved.json")}
    with pytest.raises(ValueError, match="the set 'near' has other annotations; give both the"):
        report_of(runs / "two", bootstrap=5, against=runs / "one", annotations=moved)
    for name in ("id", "near", "far"):
        (runs / "data" / f"{name}.json").rename(tmp_path / f"{name}.json")
    try:
        rows = report_of(runs / "two", bootstrap=5, against=runs / "one")["paired"]
    finally:
        for name in ("id", "near", "far"):
            (tmp_path / f"{name}.json").rename(runs / "data" / f"{name}.json")
    assert rows and all("oscr" not in row for row in rows), "without annotations no objects"


def test_open_set_numbers_of_another_bank(runs, tmp_path):
    folder = fake_run(tmp_path / "run", seed=4)
    file = folder / "records" / "near.npz"
    near = BoxRecords.load(file)
    replace(near.select(near.image_ids < 9), images=np.arange(9)).save(file)
    (run,) = report_of(folder, open_set=True, banks=["model", "oracle"])["runs"]
    row = pick(run["rows"], bank="oracle", control="none", ood_set="near")
    boxes, objects = [], []
    for offset, name, images in ((0, "id", 12), (100, "near", 9)):
        kept, values = sample(folder, name, 0.3, "oracle")
        labels = np.where(values >= row["threshold"], kept.labels, 3)
        boxes.append((kept.image_ids + offset, kept.bboxes, labels, kept.scores))
        known = np.arange(images) % 3 if name == "id" else np.full(images, 3)
        objects.append((np.arange(images) + offset, [[10, 12, 30, 40]] * images, known))
    expected = open_set_metrics(
        LabeledBoxes(*map(np.concatenate, zip(*objects, strict=True))),
        LabeledBoxes(*map(np.concatenate, zip(*boxes, strict=True))),
        3,
    ).to_dict()
    assert expected["num_unknown"] == 9 and 0 < expected["recall_unknown"] < 1
    assert 0 < expected["ap_known"] < 1
    model = pick(run["rows"], bank="model", control="none", ood_set="near")["open_set"]
    assert model["a_ose"] != expected["a_ose"], "the banks must be told apart"
    for key, value in expected.items():
        assert row["open_set"][key] == pytest.approx(value, abs=1e-6, nan_ok=True), key
    assert row["open_set"]["tau"] == row["threshold"]


def test_maps_from_the_records_have_their_names(tmp_path):
    folder = fake_run(tmp_path / "run")
    (folder / "ood_results.json").unlink()
    file = folder / "records" / "id.npz"
    records = BoxRecords.load(file)
    records.bboxes[::4] += [0, 0, 0, 9]  # IoU 0.76: right for some of COCO's thresholds
    records.save(file)
    (run,) = report_of(folder, cuts=["0.3"])["runs"]
    found = records_to_coco(records, records.meta["ann_file"])
    expected = coco_map(records.meta["ann_file"], found)
    assert run["map"]["coco_ap"] == expected.ap < expected.ap50 == run["map"]["coco_ap50"]
    assert run["map"]["voc07_ap50"] == voc07_ap50(records.meta["ann_file"], found)


def test_the_checksum_of_the_records_tells_other_negatives(runs, tmp_path):
    def checksum(folder):
        return report_of(folder)["runs"][0]["records_sha256"]

    folder = fake_run(tmp_path / "run")
    before = checksum(folder)
    assert before == checksum(folder)
    file = folder / "records" / "far.npz"
    records = BoxRecords.load(file)
    replace(records, neg_logits=records.neg_logits - 1).save(file)
    after = checksum(folder)
    assert after["far"] != before["far"] and after["near"] == before["near"]


def test_lost_annotations_keep_the_checksum_of_the_test(tmp_path):
    folder = fake_run(tmp_path / "run")
    before = report_of(folder)["runs"][0]["sets"]
    (tmp_path / "data" / "far.json").unlink()
    assert report_of(folder)["runs"][0]["sets"] == before
