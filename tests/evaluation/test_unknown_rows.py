"""What a vocabulary finds, against objects and boxes counted by hand."""

import json

import numpy as np
import pytest

from negas.coco_json import unlabelled_objects
from negas.evaluation.objects.object_rows import object_counts, paired_rows_of
from negas.evaluation.objects.open_set_rows import open_set_row
from negas.evaluation.rescore import score_runs
from negas.evaluation.rows import name_scores, take_samples, values_at
from negas.evaluation.score_options import ScoreOptions
from negas.evaluation.unknown import rows as unknown_rows
from negas.evaluation.unknown import unknown_boxes_of
from negas.evaluation.unknown.rows import Evaluation, limits_of, unknown_section
from negas.evaluation.unknown.threshold import find_threshold
from negas.metrics import PRESETS
from negas.unknown.thresholds import LEAST
from tests.helpers.fake_cells import A, cells, run_with_cells, truth

SCORE = name_scores(["max_sigmoid"])[0]


def by_part(rows):
    return {(row["vocabulary"], row["control"]): row for row in rows}


def test_recall_by_part_of_the_vocabulary_counted_by_hand():
    rows = by_part(Evaluation(run_with_cells([True, False, True])).rows(draws=200))
    whole = rows["all", "none"]
    assert (whole["recall"], whole["recall_seen"], whole["recall_unseen"]) == (0.75, 1.0, 0.5)
    assert (whole["num_unknown"], whole["num_seen"], whole["num_unseen"]) == (4, 2, 2)
    assert whole["words"] == 3 and whole["score_thr"] == 0.51
    interval = whole["interval"]
    assert 0 <= interval["low"] < 0.75 < interval["high"] <= 1
    assert (rows["without_ood", "none"]["recall"], rows["without_ood", "none"]["words"]) == (
        0.25,
        1,
    )
    assert (rows["seen_words", "none"]["recall"], rows["other_words", "none"]["recall"]) == (
        0.5,
        0.25,
    )


def test_words_without_ood_classes_also_have_a_threshold_of_their_own():
    run = run_with_cells()
    run.cells["near"] = cells(
        (0, A, "fox", 0.9), (1, A, "shrub", 0.8), (2, A, "kite", 0.7), (3, A, "shrub", 0.3)
    )
    evaluation = Evaluation(run)
    rows = by_part(evaluation.rows(draws=20))
    same, own = rows["without_ood", "none"], rows["without_ood", "refitted"]
    assert (same["score_thr"], same["recall"]) == (0.51, 0.25)
    # two boxes on background are allowed in these four images, and "shrub" has one
    assert (own["score_thr"], own["recall"], own["words"]) == (LEAST, 0.5, 1)
    assert own["interval"] and "draws" not in own
    every = evaluation._own_threshold(evaluation.columns, run.word_feats)
    assert every == find_threshold(run, limits_of(evaluation.threshold)).score_thr
    run = run_with_cells()
    del run.truths["id_val"]
    assert ("without_ood", "refitted") not in by_part(Evaluation(run).rows(draws=0))
    run = run_with_cells()
    run.results["unknown"]["threshold"] |= dict(a=0.0, b=0.0)
    run.cells["id_val"] = cells((0, A, "shrub", 0.6))
    assert by_part(Evaluation(run).rows(draws=0))["without_ood", "refitted"]["recall"] == 0


def test_boxes_on_id_images_by_what_they_lie_on():
    rows = by_part(Evaluation(run_with_cells()).rows(draws=0))
    kinds = [rows["all", "none"][f"id_{kind}"] for kind in ("known", "unknown", "elsewhere")]
    assert kinds == [0.25, 0.5, 0.5], "the box in the crowd is not counted"
    kinds = [
        rows["without_ood", "none"][f"id_{kind}"] for kind in ("known", "unknown", "elsewhere")
    ]
    assert kinds == [0.0, 0.25, 0.25]
    assert set(rows) == {("all", "none"), ("without_ood", "none"), ("without_ood", "refitted")}
    assert rows["all", "none"]["interval"] is None


def test_rotated_words_at_the_same_threshold_and_at_their_own(monkeypatch):
    def turned(feats, seed):
        return feats if seed == 7 else 0 * feats  # every score is one half

    monkeypatch.setattr(unknown_rows, "rotated_bank", turned)
    rows = by_part(Evaluation(run_with_cells()).rows(draws=0, rotations=2, seed=7))
    same, refitted = rows["all", "rotated"], rows["all", "rotated_refitted"]
    assert same["draws"] == 2 and same["recall"] == 0.375
    assert same["recall_std"] == pytest.approx(0.75 / np.sqrt(2))
    assert (same["id_known"], same["score_thr"]) == (0.125, 0.51)
    assert refitted["recall"] == 0.375, "no threshold keeps one half from every image's background"
    assert refitted["score_thr"] == pytest.approx((0.55 + 1) / 2, abs=0.01)


def test_recall_over_false_boxes():
    curves = Evaluation(run_with_cells()).curves()
    whole, clean = curves["false_boxes"]
    assert (whole["vocabulary"], clean["vocabulary"]) == ("all", "without_ood")
    assert whole["at"] == [0.75, 0.75], "three false boxes: known and elsewhere"
    points = {x: y for x, y in whole["points"]}
    assert points == {0.0: 0.0, 0.25: 0.25, 0.5: 0.75, 0.75: 0.75}
    assert clean["at"] == [0.25, 0.25]


def test_recall_over_numbers_of_words(monkeypatch):
    monkeypatch.setattr(unknown_rows, "SIZES", (1, 2, 50))
    points = Evaluation(run_with_cells()).curves()["words"]
    assert [point["words"] for point in points] == [1, 2, 3]
    assert [point["recall"]["near"] for point in points] == [0.25, 0.5, 0.75]
    assert [point["score_thr"] for point in points] == pytest.approx([0.02, 0.55, 0.55], abs=1e-3)
    assert [point["false_boxes"] for point in points] == [0.5, 0.75, 0.75]


def test_nothing_is_invented_without_annotations():
    run = run_with_cells(id_truth=truth((0, A, "owl")))
    section = unknown_section(run, draws=0)
    assert {row["id_known"] for row in section["rows"]} == {None}
    assert section["curves"] == dict(false_boxes=[], words=[])
    run = run_with_cells()
    del run.truths["near"]
    assert unknown_section(run) == {}
    run = run_with_cells()
    run.results["unknown"].pop("threshold")
    assert unknown_section(run) == {}


def test_boxes_of_the_vocabulary_in_all_tables_of_objects():
    run = run_with_cells()
    found = unknown_boxes_of(run)
    assert {name: len(each.labels) for name, each in found.items()} == dict(id=6, near=4)
    values = values_at(run, paired_rows_of(run), SCORE, "none")
    counts = object_counts(run, values, "near", 0.5, 0.5)
    assert counts["unknown"]["found"] == 4, "three in near, one of the ID set"
    samples = take_samples(run, PRESETS["val_f1"])
    where = (run, samples, SCORE, "none", "near", 0.0)
    without, with_words = open_set_row(*where), open_set_row(*where, unknown=found)
    assert without["recall_unknown"] == 0 and with_words["recall_unknown"] == 0.8


def test_scoring_again_says_the_same_and_has_both_open_set_rows(monkeypatch):
    run = run_with_cells()
    monkeypatch.setattr("negas.evaluation.rescore._digest", lambda records: "")
    options = ScoreOptions(
        ("a_run",), scores=("max_sigmoid",), bootstrap=0, open_set=True, rotations=0
    )
    report = score_runs([run], options, progress=False)
    (about,) = report["runs"]
    assert about["unknown"]["rows"] == json.loads(json.dumps(Evaluation(run).rows(draws=0)))
    (row,) = about["rows"]
    assert row["open_set"]["recall_unknown"] == 0
    assert row["open_set_with_words"]["recall_unknown"] == 0.8


@pytest.mark.parametrize(
    ("things", "message"),
    [
        ("tent", "'unlabelled' must be a list of objects with image_id and bbox"),
        ([dict(image_id=9, bbox=[0, 0, 1, 1])], "entry 0 of 'unlabelled' belongs to image 9"),
        ([dict(image_id=0, bbox=[0, 0, -1, 1])], "entry 0 of 'unlabelled' has the bbox"),
    ],
)
def test_bad_unlabelled_objects(things, message):
    with pytest.raises(ValueError, match=message):
        unlabelled_objects(truth(unlabelled=things), "the json")
    assert unlabelled_objects(truth(), "the json") == []
