"""The matcher of boxes and objects: by hand, and against plain loops."""

import numpy as np
import pytest

from negas.boxes import box_iou
from negas.metrics.matching import corners, match, rows_by_image

OBJECTS = np.array([[0, 0, 10, 10], [4, 0, 14, 10]])
# lies on the first, on the first again (second best: the other one), on the second, on nothing
BOXES = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [5, 0, 15, 10], [0, 20, 9, 29]], np.float32)


def test_an_object_is_found_once():
    found = match(BOXES, OBJECTS, 0.5)
    assert found.objects.tolist() == [0, 0, 1, -1]
    assert found.hits.tolist() == [True, False, True, False]


def test_the_next_best_object_may_be_taken():
    found = match(BOXES, OBJECTS, 0.5, next_best=True)  # IoU of box 1 and object 1: 7 / 13
    assert found.objects.tolist() == [0, 1, -1, -1]
    assert found.hits.tolist() == [True, True, False, False]


def test_labels_and_ignored_objects():
    labels, object_labels = np.array([1, 1, 1, 0]), np.array([0, 1])
    found = match(BOXES, OBJECTS, 0.5, labels, object_labels)
    assert found.objects.tolist() == [-1, 1, 1, -1] and found.hits.tolist() == [0, 1, 0, 0]
    found = match(BOXES, OBJECTS, 0.5, ignored=np.array([True, False]))
    assert found.objects.tolist() == [0, 0, 1, -1] and found.hits.tolist() == [0, 0, 1, 0]


def test_the_overlap_is_to_be_exceeded():
    half = np.array([[0, 0, 10, 5]])
    assert not match(half, OBJECTS[:1], 0.5).hits.any()
    assert match(half, OBJECTS[:1], np.nextafter(0.5, 0)).hits.all()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_nothing_to_match(shape):
    boxes, objects = (np.zeros((n, 4)) for n in shape)
    for next_best in (False, True):
        found = match(boxes, objects, next_best=next_best, ignored=np.zeros(shape[1], bool))
        assert found.objects.tolist() == [-1] * shape[0] and not found.hits.any()


@pytest.mark.parametrize("next_best", [False, True])
def test_against_a_plain_loop(next_best):
    rng = np.random.default_rng(0)
    for _ in range(50):
        starts = rng.integers(0, 12, (2, 9, 2))
        boxes, objects = np.concatenate([starts, starts + rng.integers(3, 9, (2, 9, 2))], axis=2)
        labels, object_labels = rng.integers(0, 2, (2, 9))
        hits, taken = [], set()
        for box, label in zip(boxes, labels, strict=True):
            best, top = None, 0.3
            for index, (thing, wanted) in enumerate(zip(objects, object_labels, strict=True)):
                overlap = float(box_iou(box[None], thing[None])[0, 0])
                free = index not in taken or not next_best
                if wanted == label and free and overlap > top:
                    best, top = index, overlap
            hits.append(best is not None and best not in taken)
            taken.add(best)
        found = match(boxes, objects, 0.3, labels, object_labels, next_best=next_best)
        assert found.hits.tolist() == hits


def test_rows_of_images_keep_their_order():
    rows = rows_by_image(np.array(["b", "a", "b", "c", "a"]), np.array([4, 2, 1, 0]))
    assert {image: own.tolist() for image, own in rows.items()} == {"a": [4, 1], "b": [2, 0]}
    assert rows_by_image(np.array([1]), np.array([], int)) == {}


def test_corners_of_annotations():
    assert corners([{"bbox": [1, 2, 3, 4]}]).tolist() == [[1, 2, 4, 6]]
    assert corners([]).shape == (0, 4)
