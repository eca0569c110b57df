"""The F1 cut against reference cases, COCO AP, and bad input."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from negas.metrics import coco_map, f1_threshold, records_to_coco
from negas.records import BoxRecords

CASES = {
    case["name"]: case
    for case in json.loads(
        (Path(__file__).parents[1] / "data" / "metrics" / "f1_threshold.json").read_text()
    )
}
CASE = CASES["three_classes"]


@pytest.mark.filterwarnings("ignore:classes without ground truth")
@pytest.mark.parametrize("name", CASES)
def test_reference_case(name, capsys):
    case, expected = CASES[name], CASES[name]["expected"]
    cut = f1_threshold(case["gt"], case["detections"])
    near = {"rel": 0, "abs": 1e-9}
    assert cut.threshold == pytest.approx(expected["threshold_skip_classes_without_gt"], **near)
    vos = f1_threshold(case["gt"], case["detections"], vos=True)
    assert vos.threshold == pytest.approx(expected["threshold_vos_rounded4"], **near)
    assert cut.ap == pytest.approx(expected["AP"], **near)
    assert cut.ap50 == pytest.approx(expected["AP50"], **near)
    assert cut.ap75 == pytest.approx(expected["AP75"], **near)
    assert set(cut.per_class) == set(expected["per_class"])
    for label, point in expected["per_class"].items():
        found = cut.per_class[label]
        if point is None:
            assert found is None
        else:
            assert found.recall_index == point["recall_index"]
            assert (found.f1, found.score) == pytest.approx((point["f1"], point["score"]), **near)
    assert capsys.readouterr().out == ""


def test_class_without_ground_truth_warns():
    case = CASES["class_without_gt"]
    with pytest.warns(UserWarning, match="without ground truth are left out: c2"):
        f1_threshold(case["gt"], case["detections"])
    with pytest.warns(UserWarning, match=r"counted as -1 \(vos=True\): c2"):
        f1_threshold(case["gt"], case["detections"], vos=True)


def test_sources_agree(tmp_path, capsys):
    expected = f1_threshold(CASE["gt"], CASE["detections"])
    (tmp_path / "gt.json").write_text(json.dumps(CASE["gt"]))
    (tmp_path / "found.json").write_text(json.dumps(CASE["detections"]))
    assert f1_threshold(tmp_path / "gt.json", tmp_path / "found.json") == expected
    coco = COCO()
    coco.dataset = copy.deepcopy(CASE["gt"])
    coco.createIndex()
    capsys.readouterr()
    assert f1_threshold(coco, CASE["detections"]) == expected


def test_input_is_left_alone_and_annotation_id_zero_counts():
    case = copy.deepcopy(CASE)
    bare = {key: case["gt"][key] for key in ("images", "categories")}
    keys = ("image_id", "category_id", "bbox")
    bare["annotations"] = [
        {**{key: a[key] for key in keys}, "id": i} for i, a in enumerate(case["gt"]["annotations"])
    ]
    before = copy.deepcopy(bare)
    assert f1_threshold(bare, case["detections"]) == f1_threshold(CASE["gt"], CASE["detections"])
    assert bare == before and case["detections"] == CASE["detections"]


def test_no_detections():
    assert coco_map(CASE["gt"], []).ap == 0
    with pytest.raises(ValueError, match="no F1 cut exists.*fixed confidence cut"):
        f1_threshold(CASE["gt"], [])


def test_categories_that_are_no_class_of_the_model_do_not_count():
    """By name: the json has more categories, between and after the model's, in another order."""
    names = {1: "c1", 2: "c2", 3: "c3"}
    assert {c["id"]: c["name"] for c in CASE["gt"]["categories"]} == names
    image = CASE["gt"]["images"][0]["id"]
    box = {"image_id": image, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
    more = copy.deepcopy(CASE["gt"])
    more["categories"] = [{"id": 9, "name": "extra"}, *more["categories"][::-1]]
    more["annotations"] = [*more["annotations"], {**box, "id": 999, "category_id": 9}]
    found = [*CASE["detections"], {**box, "category_id": 9, "score": 0.001}]
    known = ["c3", "c1", "c2"]
    cut = f1_threshold(more, found, class_names=known)
    assert cut.threshold == pytest.approx(f1_threshold(CASE["gt"], CASE["detections"]).threshold)
    assert set(cut.per_class) == set(known)
    assert f1_threshold(more, found).threshold != pytest.approx(cut.threshold)
    assert coco_map(more, found, known) == coco_map(CASE["gt"], CASE["detections"])
    assert coco_map(more, CASE["detections"]).ap < coco_map(more, CASE["detections"], known).ap
    with pytest.raises(ValueError, match="'c4' is no category of the ground truth"):
        coco_map(more, found, ["c1", "c4"])


def test_records_give_the_same_ap():
    found = CASE["detections"]
    boxes = np.array([d["bbox"] for d in found])
    boxes[:, 2:] += boxes[:, :2]
    records = BoxRecords(
        image_ids=[d["image_id"] for d in found],
        bboxes=boxes,
        labels=[{1: 2, 2: 1, 3: 0}[d["category_id"]] for d in found],
        scores=[d["score"] for d in found],
        id_logits=np.zeros((len(found), 3)),
        meta={"id_labels": ["c3", "c2", "c1"]},
    )
    result = coco_map(CASE["gt"], records_to_coco(records, CASE["gt"]))
    assert result.ap == pytest.approx(CASE["expected"]["AP"], abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 999}, "detection 0: image_id 999 is not in the ground truth"),
        ({"category_id": 77}, "detection 0: category_id 77 is not in the ground truth"),
    ],
)
def test_foreign_detections(change, message):
    with pytest.raises(ValueError, match=message):
        f1_threshold(CASE["gt"], [{**CASE["detections"][0], **change}])


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.json: there is no such file"):
        f1_threshold(tmp_path / "nothing.json", [])
    gt = {**CASE["gt"], "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]}
    with pytest.raises(ValueError, match="annotation 0 has the unknown category_id None"):
        f1_threshold(gt, [])
    with pytest.raises(ValueError, match="list of COCO results"):
        f1_threshold(CASE["gt"], [3])
