"""Open-set metrics against a second writing, box by box, and the two forms of WI by hand."""

import numpy as np
import pytest

from negas.metrics import LabeledBoxes, open_set_metrics, truth_boxes
from negas.metrics.open_set import harmonic_mean

NUM_KNOWN = 3


def area(box):
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def overlap(a, b):
    corners = [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])]
    common = area(corners) if corners[2] > corners[0] and corners[3] > corners[1] else 0
    return common / (area(a) + area(b) - common)


def by_class(truth, found, label):
    """Walk down the boxes of a label as the evaluators of open-world detection do."""
    rows = sorted(np.flatnonzero(found.labels == label), key=lambda i: -found.scores[i])
    taken, steps = set(), []
    for i in rows:
        best, place = -1.0, None
        for j in range(len(truth.labels)):
            if truth.labels[j] == label and truth.image_ids[j] == found.image_ids[i]:
                value = overlap(found.bboxes[i], truth.bboxes[j])
                if value > best:
                    best, place = value, j
        hit = best > 0.5
        if hit and truth.ignored[place]:
            continue
        first = hit and place not in taken
        if first:
            taken.add(place)
        wrong = label < NUM_KNOWN and any(
            truth.labels[j] == NUM_KNOWN
            and not truth.ignored[j]
            and truth.image_ids[j] == found.image_ids[i]
            and overlap(found.bboxes[i], truth.bboxes[j]) > 0.5
            for j in range(len(truth.labels))
        )
        steps.append((first, wrong))
    return steps


def curve(steps, count):
    hits = np.cumsum([hit for hit, _ in steps])
    precision = hits / np.arange(1, len(steps) + 1)
    return hits / count, precision


def area_under(steps, count):
    """VOC's area: precision made monotone from the right, summed where recall changes."""
    recall, precision = curve(steps, count)
    recall, precision = [0, *recall, 1], [0, *precision, 0]
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    pairs = range(len(recall) - 1)
    return sum((recall[i + 1] - recall[i]) * precision[i + 1] for i in pairs)


def eleven(steps, count):
    recall, precision = curve(steps, count)
    tenths = [precision[recall >= t / 10 - 1e-12] for t in range(11)]
    return sum(part.max() if len(part) else 0 for part in tenths) / 11


def brute_force(truth, found):
    counts = [int(((truth.labels == k) & ~truth.ignored).sum()) for k in range(NUM_KNOWN + 1)]
    steps = [by_class(truth, found, k) for k in range(NUM_KNOWN + 1)]
    errors = boxes = hits = false = 0
    for k in [k for k in range(NUM_KNOWN) if counts[k] and steps[k]]:
        recall, _ = curve(steps[k], counts[k])
        at = steps[k][: int(np.argmin(abs(recall - 0.8))) + 1]
        errors += sum(wrong for _, wrong in at)
        boxes += len(at)
        hits += sum(hit for hit, _ in at)
        false += sum(not hit and not wrong for hit, wrong in at)
    known = [k for k in range(NUM_KNOWN) if counts[k]]
    ap = np.mean([area_under(steps[k], counts[k]) if steps[k] else 0 for k in known])
    unknown = sum(hit for hit, _ in steps[NUM_KNOWN])
    recall = unknown / counts[NUM_KNOWN]
    return dict(
        ap_known=ap,
        ap_known_11=np.mean([eleven(steps[k], counts[k]) if steps[k] else 0 for k in known]),
        recall_unknown=recall,
        precision_unknown=unknown / len(steps[NUM_KNOWN]),
        a_ose=sum(wrong for k in range(NUM_KNOWN) for _, wrong in steps[k]),
        wi=errors / boxes,
        wi_ratio=(hits / (hits + false)) / (hits / boxes) - 1,
        h_score=2 * ap * recall / (ap + recall),
        num_unknown=counts[NUM_KNOWN],
        num_known=sum(counts[:NUM_KNOWN]),
        num_predictions=sum(map(len, steps)),
    )


def scene(seed, ignored):
    """Crowded images, where boxes lie on objects of several labels."""
    rng = np.random.default_rng(seed)

    def boxes(count, scores):
        corner = rng.integers(0, 5, (count, 2)) * 6.0
        shift = rng.uniform(-2, 2, (count, 4)) if scores else 0
        return LabeledBoxes(
            rng.integers(0, 12, count),
            np.concatenate([corner, corner + 12], 1) + shift,
            rng.integers(0, NUM_KNOWN + 1, count),
            rng.permutation(count) / count if scores else None,
            None if scores else rng.random(count) < ignored,
        )

    return boxes(90, False), boxes(400, True)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ignored", [0, 0.3])
def test_every_number_is_that_of_a_box_by_box_walk(seed, ignored):
    truth, found = scene(seed, ignored)
    result = open_set_metrics(truth, found, NUM_KNOWN).to_dict()
    expected = brute_force(truth, found)
    assert expected["a_ose"] > 3 and 0 < expected["recall_unknown"] < 1
    for key, value in expected.items():
        assert result[key] == pytest.approx(value, abs=1e-12), key


A, B, C = [0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]


def test_the_two_forms_of_wilderness_impact():
    """Two hits, one false box on an unknown object, one on nothing: P_K 2/3, P_KU 2/4."""
    truth = LabeledBoxes([0, 0, 0], [A, B, C], [0, 0, 1])
    found = LabeledBoxes([0] * 4, [A, C, [80, 80, 90, 90], B], [0] * 4, [0.9, 0.8, 0.7, 0.6])
    result = open_set_metrics(truth, found, 1, wi_recall=1.0)
    assert result.wi == 1 / 4
    assert result.wi_ratio == pytest.approx((2 / 3) / (2 / 4) - 1)


def test_a_hit_that_also_lies_on_an_unknown_object_is_no_false_box():
    truth = LabeledBoxes([0, 0], [A, A], [0, 1])
    result = open_set_metrics(truth, LabeledBoxes([0], [A], [0], [0.9]), 1)
    assert (result.a_ose, result.wi, result.wi_ratio) == (1, 1, 0)


def test_an_overlap_of_exactly_one_half_is_no_hit_and_a_second_hit_is_false():
    half = [0, 0, 10, 20]
    truth = LabeledBoxes([0], [A], [1])
    found = LabeledBoxes([0, 0, 0], [half, A, A], [1, 1, 1], [0.9, 0.8, 0.7])
    result = open_set_metrics(truth, found, 1)
    assert (result.recall_unknown, result.precision_unknown) == (1, pytest.approx(1 / 3))


def test_the_h_score_of_published_rows():
    assert harmonic_mean(73.6, 82.6) == pytest.approx(77.84, abs=0.01)
    assert harmonic_mean(0.0, 0.0) == 0 and np.isnan(harmonic_mean(np.nan, 0.5))


COCO = {
    "images": [{"id": 1}],
    "categories": [{"id": 3, "name": "dog"}, {"id": 9, "name": "zebra"}],
    "annotations": [
        {"image_id": 1, "category_id": 3, "bbox": [0, 0, 10, 10]},
        {"image_id": 1, "category_id": 9, "bbox": [20, 20, 10, 10], "iscrowd": 1},
        {"image_id": 1, "category_id": 3, "bbox": [50, 50, 10, 10], "difficult": 1},
        {"image_id": 1, "category_id": 3, "bbox": [70, 70, 10, 10], "ignore": 1},
    ],
}


@pytest.mark.parametrize(
    ("how", "labels", "ignored"),
    [
        (dict(), [0, 0], [0, 0]),
        (dict(crowd="objects"), [0, 1, 0], [0, 0, 0]),
        (dict(crowd="ignored"), [0, 1, 0], [0, 1, 0]),
        (dict(crowd="objects", difficult="ignored"), [0, 1, 0], [0, 0, 1]),
        (dict(difficult="left_out"), [0], [0]),
    ],
)
def test_what_crowds_and_difficult_objects_count_as(how, labels, ignored):
    boxes = truth_boxes(COCO, ["dog"], **how)
    assert boxes.labels.tolist() == labels and boxes.ignored.tolist() == ignored


def test_another_treatment_is_refused():
    with pytest.raises(ValueError, match="marked iscrowd: expected objects, ignored, left_out"):
        truth_boxes(COCO, ["dog"], crowd="keep")
