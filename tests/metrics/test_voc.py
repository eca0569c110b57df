"""AP of VOC 2007: MMDetection's ``eval_map`` as reference, differences to COCO by hand."""

import numpy as np
import pytest

from negas import compat
from negas.metrics import coco_map, voc07_ap50

compat.install()  # a stand-in for what mmdet's import looks for in mmcv
from mmdet.evaluation.functional import eval_map  # noqa: E402

NAMES = ["cat", "dog", "cup"]


def truth_of(annotations, images=1, names=NAMES):
    return dict(
        images=[dict(id=i, width=100, height=100) for i in range(images)],
        categories=[dict(id=10 + i, name=name) for i, name in enumerate(names)],
        annotations=[dict(id=i + 1, **each) for i, each in enumerate(annotations)],
    )


def object_at(image, label, box, **flags):
    return dict(image_id=image, category_id=10 + label, bbox=list(box), **flags)


def found_at(image, label, box, score):
    return dict(image_id=image, category_id=10 + label, bbox=list(box), score=score)


def random_scene(seed, images=12):
    """Objects, some difficult; boxes near them, beside them, twice, and on the wrong image."""
    rng = np.random.default_rng(seed)
    objects, found = [], []
    for image in range(images):
        for _ in range(int(rng.integers(0, 5))):
            label = int(rng.integers(3))
            box = np.r_[rng.uniform(0, 60, 2), rng.uniform(3, 30, 2)]
            objects.append(object_at(image, label, box, difficult=int(rng.random() < 0.3)))
            for _ in range(int(rng.integers(0, 4))):
                near = box + rng.normal(0, 0.12, 4) * box[2:].mean()
                near[2:] = near[2:].clip(1)
                where = label if rng.random() < 0.8 else (label + 1) % 3
                found.append(found_at(image, where, near, float(rng.random())))
    return truth_of(objects, images), found


def by_mmdet(truth, found):
    def xyxy(items):
        boxes = np.array([item["bbox"] for item in items], np.float64).reshape(-1, 4)
        return np.c_[boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]

    detections, annotations = [], []
    for image in (image["id"] for image in truth["images"]):
        own = [each for each in found if each["image_id"] == image]
        per_class = []
        for category in range(10, 13):
            mine = [each for each in own if each["category_id"] == category]
            per_class.append(np.c_[xyxy(mine), np.array([each["score"] for each in mine])])
        detections.append(per_class)
        things = [each for each in truth["annotations"] if each["image_id"] == image]
        parts = [[t for t in things if bool(t["difficult"]) == hard] for hard in (False, True)]
        labels = [np.array([t["category_id"] - 10 for t in part], int) for part in parts]
        annotations.append(
            dict(bboxes=xyxy(parts[0]), labels=labels[0])
            | dict(bboxes_ignore=xyxy(parts[1]), labels_ignore=labels[1])
        )
    value, _ = eval_map(
        detections,
        annotations,
        iou_thr=0.5,
        use_legacy_coordinate=True,
        eval_mode="11points",
        logger="silent",
        nproc=1,
    )
    return value


@pytest.mark.parametrize("seed", range(6))
def test_the_numbers_of_mmdetection(seed):
    truth, found = random_scene(seed)
    for label in range(3):  # an exact tenth of recall is 0.30000000000000004 in mmdet's thresholds
        counted = [a for a in truth["annotations"] if a["category_id"] == 10 + label]
        assert sum(not a["difficult"] for a in counted) % 10, "choose another seed"
    assert voc07_ap50(truth, found) == pytest.approx(by_mmdet(truth, found), abs=1e-6)


def test_eleven_points_by_hand():
    """Two objects, right at once and after a mistake: precision 1 to recall 0.5, then 2/3."""
    truth = truth_of([object_at(0, 0, (0, 0, 10, 10)), object_at(0, 0, (50, 50, 10, 10))])
    found = [
        found_at(0, 0, (0, 0, 10, 10), 0.9),
        found_at(0, 0, (80, 0, 10, 10), 0.8),
        found_at(0, 0, (50, 50, 10, 10), 0.7),
    ]
    assert voc07_ap50(truth, found) == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)
    assert voc07_ap50(truth, found, ["cat"]) == voc07_ap50(truth, found), "dog, cup: no object"
    assert coco_map(truth, found).ap50 == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_a_recall_of_exactly_three_tenths_counts():
    truth = truth_of([object_at(i, 0, (0, 0, 10, 10)) for i in range(10)], images=10)
    found = [found_at(i, 0, (0, 0, 10, 10), 0.9) for i in range(3)]
    assert voc07_ap50(truth, found) == pytest.approx(4 / 11)


def test_the_pixel_more_and_the_difficult_objects():
    truth = truth_of([object_at(0, 0, (0, 0, 4, 4))])
    found = [found_at(0, 0, (0, 2, 4, 4), 0.9)]  # 15 / 35 pixels; continuous 8 / 24
    assert voc07_ap50(truth, found, iou=15 / 35) == 1 and voc07_ap50(truth, found, iou=0.43) == 0
    hard = [object_at(0, 0, (0, 0, 10, 10)), object_at(0, 0, (50, 0, 10, 10), difficult=1)]
    both = [found_at(0, 0, (50, 0, 10, 10), 0.9), found_at(0, 0, (0, 0, 10, 10), 0.8)]
    assert voc07_ap50(truth_of(hard), both) == 1, "on a difficult object: neither right nor wrong"
    assert coco_map(truth_of(hard), both[1:]).ap50 < 1, "COCO counts it as missed"


def test_nothing_to_find_and_nothing_found():
    assert voc07_ap50(truth_of([]), [found_at(0, 0, (0, 0, 9, 9), 0.9)]) == -1
    assert voc07_ap50(truth_of([object_at(0, 0, (0, 0, 9, 9))]), []) == 0
    with pytest.raises(ValueError, match="'cow' is no category"):
        voc07_ap50(truth_of([]), [], ["cow"])
