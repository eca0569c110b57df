"""OSCR and states of objects in the rows of a run, against objects counted by hand."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from negas.evaluation.objects import object_rows
from negas.evaluation.objects.object_rows import (
    object_counts,
    paired_rows_of,
    pairs_of,
    reached_objects,
    states_of,
)
from negas.evaluation.recorded import Recorded
from negas.evaluation.rows import (
    Scoring,
    name_scores,
    rows_by_preset,
    run_rows,
    scoring_as_tested,
    values_at,
)
from negas.files import write_json
from negas.metrics import PRESETS, LabeledBoxes, oscr, oscr_intervals
from negas.metrics.objects import OSCR_METRICS
from negas.records import BoxRecords
from negas.reports.object_list import list_objects
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import fake_run

NAMES = ["dog", "cat"]
PLACES = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
SCORES = name_scores(["max_sigmoid", "energy"])


def truth(images, *things, **more):
    """Objects as (image, place, category)."""
    names = ["dog", "cat", "fox", "kite"]
    return dict(
        images=[dict(id=i) for i in range(images)],
        annotations=[
            dict(id=k, image_id=i, category_id=names.index(name), bbox=[20 * place, 0, 10, 10])
            for k, (i, place, name) in enumerate(things)
        ],
        categories=[dict(id=k, name=name) | more.get(name, {}) for k, name in enumerate(names)],
    )


def records(images, *found):
    """Boxes as (image, place, label, logit); the other label's logit is -9."""
    logits = np.full((len(found), 2), -9.0)
    for row, (_, _, label, logit) in enumerate(found):
        logits[row, label] = logit
    return BoxRecords(
        image_ids=[image for image, *_ in found],
        bboxes=[PLACES[place] for _, place, *_ in found],
        labels=[label for *_, label, _ in found],
        scores=1 / (1 + np.exp(-logits.max(1))),
        id_logits=logits,
        images=np.arange(images),
        meta=dict(id_labels=NAMES),
    )


@pytest.fixture
def run():
    """Four known and four unknown objects, one of each kind without a box."""
    boxes = dict(
        id=records(
            4, (0, 0, 0, 3.0), (1, 0, 1, 1.0), (2, 0, 1, 2.0), (2, 0, 0, -3.0), (3, 2, 0, 2.5)
        ),
        near=records(3, (0, 0, 0, 2.0), (0, 1, 0, -2.0), (1, 0, 1, -4.0), (2, 2, 1, 3.0)),
    )
    truths = dict(
        id=truth(4, (0, 0, "dog"), (1, 0, "cat"), (2, 0, "dog"), (3, 0, "dog")),
        near=truth(
            9,
            *[(0, 0, "fox"), (0, 1, "kite"), (1, 0, "fox"), (2, 0, "kite"), (8, 0, "fox")],
            fox=dict(seen=True),
            kite=dict(seen=False),
        ),
    )
    results = dict(
        sets={name: dict(images=4, boxes=4) for name in boxes},
        banks={},
        cuts=dict(run=dict(value=0.5, rule="f1", source="id_val")),
    )
    return Recorded.of(Path("runs/made_up"), boxes, {}, results, truths)


def rows_of(run, preset="objects", **how):
    return run_rows(run, PRESETS[preset], Scoring(SCORES, rotations=0, **how))


def values_of(run, score=SCORES[0]):
    return values_at(run, paired_rows_of(run), score, "none")


# --- OSCR -----------------------------------------------------------------------------------------
def test_oscr_of_a_run_counted_by_hand(run):
    known, unknown, *images = reached_objects(run, values_of(run), "near")
    logits = [np.log(x / (1 - x)) for x in (known[:3], unknown[:3])]
    np.testing.assert_allclose(logits, [[3, 1, -3], [2, -2, -4]], atol=1e-5)
    assert known[3] == unknown[3] == -np.inf and len(unknown) == 4, "image 8 was not looked at"
    assert [side.tolist() for side in images] == [[0, 1, 2, 3], [4, 4, 5, 6]]
    (row,) = [row for row in rows_of(run, "val_f1") if row["score"] == "max_sigmoid"]
    # pairs won: 3.0 all four, 1.0 three, -3.0 two, the lost one none
    assert row["oscr"] == pytest.approx(9 / 16)
    assert row["taken_at_50"] == 0.25 and row["taken_at_60"] == row["taken_at_70"] == 0.5


def test_oscr_does_not_depend_on_preset_and_cut(run):
    presets = [PRESETS["val_f1"], PRESETS["matched"], replace(PRESETS["fixed"], cut=0.9)]
    tables = rows_by_preset(run, presets, Scoring(SCORES, rotations=0))
    for rows in zip(*tables, strict=True):
        assert len({tuple(row[key] for key in OSCR_METRICS) for row in rows}) == 1
        assert len({row["num_id"] for row in rows}) > 1


def test_boxes_are_paired_once_for_all_scores_and_presets(run, monkeypatch):
    calls = []
    pair = object_rows.pair_boxes
    monkeypatch.setattr(object_rows, "pair_boxes", lambda *how: calls.append(1) or pair(*how))
    for preset in ("objects", "val_f1"):
        rows_of(run, preset)
    assert len(calls) == 2, "the ID set and one OOD set"


def test_intervals_are_by_image(run):
    known, unknown, *images = reached_objects(run, values_of(run), "near")
    wanted = oscr_intervals(known, unknown, tuple(images), (4, 3), 40, 3)
    row = rows_of(run, "val_f1", draws=40, seed=3)[0]
    for key in OSCR_METRICS:
        made = wanted[key]
        assert row["interval"][key] == dict(
            value=row[key], low=made.low, high=made.high, std=made.std
        )


def test_controls_have_means_over_their_draws(tmp_path):
    run = Recorded.load(fake_run(tmp_path / "run"))
    rows = [
        row for row in run_rows(run, PRESETS["val_f1"], scoring_as_tested(run)) if "draws" in row
    ]
    assert rows and all(0 <= row["oscr"] <= 1 and row["oscr_std"] >= 0 for row in rows)
    assert any(row["oscr_std"] > 0 for row in rows)


def test_without_annotations_there_is_no_oscr(tmp_path):
    folder = fake_run(tmp_path / "run")
    (tmp_path / "data" / "far.json").unlink()
    run = Recorded.load(folder)
    rows = run_rows(run, PRESETS["val_f1"], replace(scoring_as_tested(run), rotations=0, draws=5))
    for row in rows:
        assert np.isnan([row[key] for key in OSCR_METRICS]).all() == (row["ood_set"] == "far")
        assert np.isfinite(row["fpr95"])
    with pytest.raises(FileNotFoundError, match="--ann far=FILE"):
        run_rows(run, PRESETS["objects"], scoring_as_tested(run))


def test_results_hold_the_numbers(tmp_path):
    folder = fake_run(tmp_path / "run", presets=["objects", "val_f1"])
    run = Recorded.load(folder)
    again = run_rows(run, PRESETS["objects"], scoring_as_tested(run))
    tested = [row for row in run.tested_rows if row["preset"] == "objects"]
    write_json(tmp_path / "again.json", again)
    assert json.loads((tmp_path / "again.json").read_text()) == [
        {key: None if value != value else value for key, value in row.items()} for row in tested
    ]
    file = folder / "ood_results.json"
    results = json.loads(file.read_text())
    del results["rows"][0]["oscr"]
    file.write_text(json.dumps(results))
    with pytest.raises(ValueError, match="the key 'oscr' is missing"):
        Recorded.load(folder)


# --- states ---------------------------------------------------------------------------------------
def test_states_counted_by_hand(run):
    values, at = values_of(run), 1 / (1 + np.exp(-2.5))  # between the logits 2 and 3
    counts = object_counts(run, values, "near", 0.5, at)
    assert counts["known"] == dict(right=1, wrong_label=0, called_unknown=2, missed=1)
    assert counts["unknown"] == dict(taken=0, flagged=1, found=0, not_found=3)
    lower = object_counts(run, values, "near", 0.001, 0.01)
    assert lower["known"] == dict(right=3, wrong_label=0, called_unknown=0, missed=1)
    assert lower["unknown"] == dict(taken=3, flagged=0, found=0, not_found=1)
    other = object_counts(run, values, "near", 0.5, 0.6)
    assert other["known"] == dict(right=2, wrong_label=1, called_unknown=0, missed=1)
    assert other["unknown_by_class"] == dict(
        fox=dict(taken=1, flagged=0, found=0, not_found=1),
        kite=dict(taken=0, flagged=0, found=0, not_found=2),
    )
    assert other["unknown_seen"] == other["unknown_by_class"]["fox"]
    assert other["unknown_unseen"] == other["unknown_by_class"]["kite"]


def test_classes_that_nobody_says_were_seen_are_not_split(run):
    for category in run.truths["near"].dataset["categories"]:
        category.pop("seen", None)
    counts = object_counts(run, values_of(run), "near", 0.5, 0.6)
    assert not {"unknown_seen", "unknown_unseen"} & counts.keys()


def test_unknown_boxes_of_a_vocabulary_count_as_found(run):
    run.unknown_boxes["near"] = LabeledBoxes([0, 0, 2], [PLACES[0], PLACES[1], PLACES[0]], [-1] * 3)
    counts = object_counts(run, values_of(run), "near", 0.5, 0.6)
    assert counts["unknown"] == dict(taken=1, flagged=0, found=2, not_found=1)
    states = states_of(run, values_of(run), "near", 0.5, 0.6)
    assert len(states) == len(pairs_of(run, "near").objects.labels) == 4


def test_rows_of_the_preset_say_what_became_of_each_object(run):
    rows = rows_of(run)
    for row, score in zip(rows, SCORES, strict=True):
        expected = object_counts(run, values_of(run, score), "near", 0.5, row["threshold"])
        assert row["objects"] == expected
        assert sum(row["objects"]["known"].values()) == 4
        assert sum(row["objects"]["unknown"].values()) == 4
    assert all("objects" not in row for row in rows_of(run, "val_f1"))


def test_samples_are_the_best_box_of_each_object(run):
    more = run.records["near"]
    boxes = np.r_[np.arange(len(more)), [0, 0]]  # a box on the same object, three times
    run.records["near"] = more.select(boxes)
    rows = {preset: rows_of(run, preset)[0] for preset in ("val_f1", "matched", "objects")}
    assert [rows[name]["num_ood"] for name in rows] == [4, 3, 1]
    assert [rows[name]["num_id"] for name in rows] == [4, 2, 2]


def test_known_objects_of_ood_images_are_known(run):
    run.truths["near"].dataset["annotations"][0]["category_id"] = 0  # the fox is a dog
    known, unknown, *_ = reached_objects(run, values_of(run), "near")
    assert len(known) == 5 and len(unknown) == 3
    assert oscr(known, unknown).num_known == 5
    assert rows_of(run)[0]["num_ood"] == 0, "the object with a box over the cut is no unknown one"


# --- a row per object -----------------------------------------------------------------------------
def test_a_row_per_object_says_what_became_of_it(run):
    listed = list_objects(run, rows_of(run), SCORES)
    assert [(row["set"], row["image_id"], row["class"], row["seen"]) for row in listed[2:7]] == [
        ("id", "2", "dog", None),
        ("id", "3", "dog", None),
        ("near", "0", "fox", True),
        ("near", "0", "kite", False),
        ("near", "1", "fox", True),
    ]
    assert [listed[5][key] for key in ("x1", "y1", "x2", "y2", "cut")] == [20, 0, 30, 10, 0.5]
    for row, score in zip(rows_of(run), SCORES, strict=True):
        for known, states in ((True, row["objects"]["known"]), (False, row["objects"]["unknown"])):
            told = [each[score.label] for each in listed if each["known"] == known]
            assert {state: told.count(state) for state in states} == states
    assert list_objects(run, rows_of(run, "val_f1"), SCORES) == []


def test_the_command_writes_the_objects(tmp_path):
    folder = fake_run(tmp_path / "run")
    how = ["--bootstrap", 0, "--rotations", 0, "--banks", "model", "oracle", "--out"]
    assert call_tool("score", folder, *how, tmp_path / "plain") == 0
    assert not (tmp_path / "plain" / "ood_objects.csv").exists()
    assert call_tool("score", folder, "--preset", "objects", *how, tmp_path / "out") == 0
    with open(tmp_path / "out" / "ood_objects.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["set"] for row in rows] == ["id"] * 12 + ["near"] * 12 + ["far"] * 12
    (scored,) = json.loads((tmp_path / "out" / "ood_scores.json").read_text())["runs"]
    for row in [row for row in scored["rows"] if "objects" in row]:
        title = row["score"] + (", bank oracle" if row["bank"] == "oracle" else "")
        told = [each[title] for each in rows if each["set"] == row["ood_set"]]
        assert told.count("taken") == row["objects"]["unknown"]["taken"]
