"""The validation in training counts the same boxes as a test does, whatever a json leaves open."""

import copy
import json

import numpy as np
import pytest
from mmengine.registry import DefaultScope

import negas.register  # noqa: F401
from negas.evaluation.coco_by_name import CocoByNameMetric
from negas.metrics import coco_map
from tests.datasets.prepare.official_files import coco

NAMES = ["dog", "cat"]
SOUND = coco({3: ["cat", "dog"], 9: ["cat"], 4: []}, ["cat", "dog"])


def from_zero(number, ann):
    ann["id"] = number


def texts(number, ann):
    ann["id"] = f"a{number}"


def nothing_more(number, ann):
    ann.pop("iscrowd"), ann.update(area=None)


@pytest.mark.parametrize("change", [from_zero, texts, nothing_more])
def test_perfect_boxes_have_an_ap_of_one(tmp_path, change):
    DefaultScope.get_instance("validation_ap", scope_name="mmdet")
    data = copy.deepcopy(SOUND)
    for number, ann in enumerate(data["annotations"]):
        change(number, ann)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    metric = CocoByNameMetric(ann_file=str(path))
    metric.dataset_meta = dict(classes=NAMES)
    words = {row["id"]: row["name"] for row in data["categories"]}
    seen, found = [], []
    for image in data["images"]:
        rows = [ann for ann in data["annotations"] if ann["image_id"] == image["id"]]
        boxes = np.float64([row["bbox"] for row in rows]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = np.int64([NAMES.index(words[row["category_id"]]) for row in rows])
        scores = np.ones(len(rows))
        true = dict(img_id=image["id"], width=image["width"], height=image["height"])
        guess = dict(img_id=image["id"], bboxes=boxes, scores=scores, labels=labels)
        seen.append((true, guess))
        for row in rows:
            keys = ("image_id", "category_id", "bbox")
            found.append({key: row[key] for key in keys} | dict(score=1.0))
    assert metric.compute_metrics(seen)["bbox_mAP"] == 1.0
    assert coco_map(str(path), found, NAMES).ap == 1.0
