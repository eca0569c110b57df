"""Open-set metrics against golden vectors, a hand-made example and their invariances."""

import json
from pathlib import Path

import numpy as np
import pytest

from negas.metrics import LabeledBoxes, open_set_metrics, truth_boxes

CASES = json.loads((Path(__file__).parents[1] / "data" / "metrics" / "openset.json").read_text())


def collect(images, key):
    rows = [(image["id"], box) for image in images for box in image[key]]
    return LabeledBoxes(
        [image for image, _ in rows],
        [box["bbox"] for _, box in rows],
        np.array([box["label"] for _, box in rows], dtype=int),
        [box["score"] for _, box in rows] if key == "pred" else None,
    )


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_golden(case):
    truth, found = (collect(case["images"], key) for key in ("gt", "pred"))
    result = open_set_metrics(truth, found, case["num_known"])
    expected = case["expected"]
    for key, value in (
        ("AP_K", 100 * result.ap_known),
        ("AP_U", 100 * result.ap_unknown),
        ("R_U", 100 * result.recall_unknown),
        ("P_U", 100 * result.precision_unknown),
        ("A_OSE", result.a_ose),
        ("nOSE", result.nose),
        ("nOSE_unique", result.nose_unique),
        ("WI_at_0_8", result.wi),
        ("num_unknown_gt", result.num_unknown),
    ):
        assert value == pytest.approx(expected[key], abs=1e-6), key


A, B, C = [0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]


def test_a_detector_that_ignores_all_unknowns_finds_none():
    truth = LabeledBoxes([0, 0], [A, B], [0, 1])
    result = open_set_metrics(truth, LabeledBoxes([0], [A], [0], [0.9]), 1)
    assert (result.a_ose, result.recall_unknown, result.ap_unknown) == (0, 0, 0)
    assert result.ap_known == 1 and np.isnan(result.precision_unknown)


def test_nothing_predicted_and_nothing_annotated():
    empty = LabeledBoxes([], [], np.array([], int), [])
    nothing = open_set_metrics(LabeledBoxes([0], [A], [1]), empty, 1)
    assert (nothing.a_ose, nothing.nose, nothing.recall_unknown) == (0, 0, 0)
    assert np.isnan([nothing.ap_known, nothing.wi]).all()
    blank = open_set_metrics(empty, LabeledBoxes([0], [A], [0], [0.9]), 1)
    assert blank.a_ose == 0 and np.isnan([blank.nose, blank.ap_unknown]).all()


def test_truth_of_coco():
    coco = {
        "images": [{"id": 1}],
        "categories": [{"id": 3, "name": "dog"}, {"id": 9, "name": "zebra"}],
        "annotations": [
            {"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "difficult": 1},
            {"image_id": 1, "category_id": 9, "bbox": [5, 5, 5, 5]},
            {"image_id": 1, "category_id": 9, "bbox": [5, 5, 5, 5], "iscrowd": 1},
            {"image_id": 1, "category_id": 9, "bbox": [5, 5, 5, 5], "ignore": 1},
        ],
    }
    boxes = truth_boxes(coco, ["cat", "dog"])
    assert boxes.labels.tolist() == [1, 2]
    assert boxes.bboxes.tolist() == [[1, 2, 4, 6], [5, 5, 10, 10]]


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([2], [0.5], r"predictions: labels must lie in 0\.\.1 \(1 is unknown\), got 2\.\.2"),
        ([-1], [0.5], r"got -1\.\.-1"),
        ([0], [np.nan], "finite scores"),
        ([0], None, "finite scores"),
        ([0, 1], [0.5], "equally long"),
    ],
)
def test_refusals(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        open_set_metrics(LabeledBoxes([0], [A], [1]), LabeledBoxes([0], [A], labels, scores), 1)
    with pytest.raises(ValueError, match="NaN or infinity"):
        LabeledBoxes([0], [[0, 0, np.nan, 1]], [0])
