"""Numbers of re-scoring against the same ones computed from the records without it."""

from dataclasses import replace

import numpy as np
import pytest

from negas.evaluation.cuts import choose_presets
from negas.evaluation.rescore import ScoreOptions, score_dumps
from negas.evaluation.run import TEXT_FEATS_FILE
from negas.metrics import (
    GroupedScores,
    LabeledBoxes,
    bootstrap,
    coco_map,
    f1_threshold,
    ood_metrics,
    open_set_metrics,
    paired_bootstrap,
    records_to_coco,
    voc07_ap50,
)
from negas.records import BoxRecords
from negas.reports.scores import score_tables
from negas.reports.table import to_markdown
from negas.scores import get_score
from tests.helpers.fake_runs import fake_run

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


def sample(folder, name, cut, bank="own"):
    """Samples of a set, their NegS, and their images."""
    records = BoxRecords.load(folder / "records" / f"{name}.npz")
    if bank != "own":
        with np.load(folder / "records" / TEXT_FEATS_FILE) as feats:
            records = records.rescore(feats[bank])
    kept = records.select(records.scores >= np.float32(cut))
    return kept, NEGS(kept.id_logits, kept.neg_logits)


def report_of(folder, presets=("own",), cuts=None, **options):
    options = dict(scores=["negs"], draws=0) | options
    against = options.pop("against", None)
    return score_dumps(
        [folder], ScoreOptions(choose_presets(presets, cuts), **options), against=against
    )


def pick(rows, **wanted):
    (row,) = [r for r in rows if all(r[key] == value for key, value in wanted.items())]
    return row


@pytest.mark.parametrize("bank", ["own", "oracle"])
def test_rows_of_a_bank(runs, bank):
    (dump,) = report_of(runs / "one", banks=["own", "oracle"])["dumps"]
    row = pick(dump["rows"], bank=bank, control="none", ood_set="near")
    (ids, id_values), (near, near_values) = (sample(runs / "one", n, 0.6, bank) for n in SIDES)
    expected = ood_metrics(id_values, near_values)
    for key in ("auroc", "fpr95", "fpr95_closest", "aupr", "aupr_out", "threshold", "tpr"):
        assert row[key] == pytest.approx(getattr(expected, key), abs=1e-6), key
    assert (row["num_id"], row["num_ood"]) == (len(ids), len(near))
    assert (row["over_cut_id"], row["over_cut_ood"]) == (len(ids), len(near))
    assert row["images"] == dict(
        id=12,
        ood=12,
        id_with_samples=len(set(ids.image_ids)),
        ood_with_samples=len(set(near.image_ids)),
    )


def test_counts_of_matched_samples(runs, tmp_path):
    folder = fake_run(tmp_path / "run", cut=0.3)
    file = folder / "records" / "near.npz"
    records = BoxRecords.load(file)
    records.select(np.arange(24) % 6 != 1).save(file)  # without some boxes beside objects
    (dump,) = report_of(folder, ["matched"])["dumps"]
    row = pick(dump["rows"], control="none", ood_set="near")
    near, _ = sample(folder, "near", 0.3)
    hits = (near.bboxes[:, 0] == 10).sum()  # on the object
    assert row["over_cut_ood"] == len(near) > hits == row["num_ood"]
    assert row["over_cut_id"] == len(sample(folder, "id", 0.3)[0]) != len(near)
    assert row["share_ood"] == pytest.approx(hits / len(near))
    assert row["share_ood"] != row["share_id"]


def test_intervals_draw_whole_images(runs):
    (dump,) = report_of(runs / "two", draws=40, seed=3)["dumps"]
    row = pick(dump["rows"], control="none", ood_set="near")
    (ids, id_values), (near, near_values) = (sample(runs / "two", n, 0.3) for n in SIDES)
    groups = (ids.image_ids, near.image_ids)
    expected = bootstrap(id_values, near_values, 40, 3, groups).to_dict()
    alone = bootstrap(id_values, near_values, 40, 3).to_dict()
    assert expected["auroc"] != alone["auroc"], "boxes alone must give another interval"
    for key in ("auroc", "fpr95"):
        assert row["interval"][key] == pytest.approx(expected[key], abs=1e-6)
    text = to_markdown(score_tables(dict(dumps=[dump], paired=[]))[0])
    low, high = (f"{100 * expected['auroc'][end]:.1f}" for end in ("low", "high"))
    assert low != high and f" {low}/{high} |" in text


def test_a_set_without_samples_leaves_the_others_their_intervals(runs, tmp_path):
    folder = fake_run(tmp_path / "run")
    file = folder / "records" / "near.npz"
    BoxRecords.load(file).select([]).save(file)
    (dump,) = report_of(folder, draws=20)["dumps"]
    columns = [column.key for column in score_tables(dict(dumps=[dump], paired=[]))[0].columns]
    assert "far/auroc_low" in columns and "near/auroc_low" not in columns


def test_differences_of_runs_at_their_own_cuts(runs):
    report = report_of(
        runs / "two", ["own", "fixed"], ["0.5"], draws=40, against=runs / "one", banks=["oracle"]
    )
    assert {(row["cut"], row["other_cut"]) for row in report["paired"]} == {(0.5, 0.5)}
    report = report_of(
        runs / "two", ["siren", "own"], draws=40, against=runs / "one", banks=["oracle"]
    )
    cuts = {"own": (0.3, 0.6), "siren": (0.1, 0.1)}
    row = pick(report["paired"], preset="own", ood_set="near")
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


def test_open_set_numbers_of_another_bank(runs, tmp_path):
    folder = fake_run(tmp_path / "run", seed=4)
    file = folder / "records" / "near.npz"
    near = BoxRecords.load(file)
    replace(near.select(near.image_ids < 9), images=np.arange(9)).save(file)
    (dump,) = report_of(folder, open_set=True, banks=["own", "oracle"])["dumps"]
    row = pick(dump["rows"], bank="oracle", control="none", ood_set="near")
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
    own = pick(dump["rows"], bank="own", control="none", ood_set="near")["open_set"]
    assert own["a_ose"] != expected["a_ose"], "the banks must be told apart"
    for key, value in expected.items():
        assert row["open_set"][key] == pytest.approx(value, abs=1e-6, nan_ok=True), key
    assert row["open_set"]["tau"] == row["threshold"]


def test_f1_cuts_are_found_once_for_each_rule(runs, monkeypatch):
    calls = []

    def counted(truth, found, vos, names):
        calls.append((vos, len(found)))
        return f1_threshold(truth, found, vos, names)

    monkeypatch.setattr("negas.evaluation.cuts.f1_threshold", counted)
    report = report_of(
        runs / "two", ["own", "vos", "matched"], ["f1", "f1-test"], draws=9, against=runs / "one"
    )
    validation, test = (
        len(BoxRecords.load(runs / "two" / "records" / f"{name}.npz")) for name in ("cut", "id")
    )
    assert calls == [(False, validation), (True, test)] * 2  # of both runs
    sources = {(row["cut_rule"], row["cut_source"]) for row in report["dumps"][0]["rows"]}
    assert sources == {("f1", "id_val"), ("f1-test", "id_test")}


def test_maps_from_the_records_have_their_names(tmp_path):
    folder = fake_run(tmp_path / "run")
    (folder / "ood_results.json").unlink()
    file = folder / "records" / "id.npz"
    records = BoxRecords.load(file)
    records.bboxes[::4] += [0, 0, 0, 9]  # IoU 0.76: right for some of COCO's thresholds
    records.save(file)
    (dump,) = report_of(folder, cuts=["0.3"])["dumps"]
    found = records_to_coco(records, records.meta["ann_file"])
    expected = coco_map(records.meta["ann_file"], found)
    assert dump["map"]["coco_ap"] == expected.ap < expected.ap50 == dump["map"]["coco_ap50"]
    assert dump["map"]["voc07_ap50"] == voc07_ap50(records.meta["ann_file"], found)


def test_the_checksum_of_the_records_tells_other_negatives(runs, tmp_path):
    def checksum(folder):
        return report_of(folder)["dumps"][0]["records_sha256"]

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
    before = report_of(folder)["dumps"][0]["sets"]
    (tmp_path / "data" / "far.json").unlink()
    assert report_of(folder)["dumps"][0]["sets"] == before
