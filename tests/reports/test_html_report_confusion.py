"""OOD objects by the ID label they were given."""

import numpy as np
import pytest

from negas.records import BoxRecords
from negas.reports.html.mistakes import annotated_objects, confusion, objects_found

LABELS = ["cat", "dog"]


def records(boxes, images, labels):
    logits = np.where(np.arange(2) == np.array(labels)[:, None], 2.0, -2.0).astype(np.float32)
    return BoxRecords(
        image_ids=np.array(images),
        bboxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels),
        scores=np.full(len(labels), 0.9),
        id_logits=logits,
        images=np.array([1, 2, 3]),
        meta=dict(id_labels=LABELS),
    )


@pytest.fixture
def truth():
    """Zebras on images 1 and 2, a clock and a crowd of clocks on image 1, a pizza on image 3."""
    things = [
        (1, 10, [0, 0, 10, 10], 0),
        (1, 30, [50, 50, 10, 10], 0),
        (1, 30, [80, 80, 20, 20], 1),
        (2, 10, [0, 0, 10, 10], 0),
        (3, 20, [0, 0, 10, 10], 0),
    ]
    names = {10: "zebra", 20: "pizza", 30: "clock", 40: "kite"}
    return dict(
        images=[dict(id=i) for i in (1, 2, 3)],
        annotations=[
            dict(id=i, image_id=image, category_id=c, bbox=box, area=100, iscrowd=crowd)
            for i, (image, c, box, crowd) in enumerate(things)
        ],
        categories=[dict(id=c, name=name) for c, name in names.items()],
    )


BOXES = [
    ([0, 0, 10, 10], 1, 0),  # zebra as cat
    ([0, 1, 10, 10], 1, 0),  # the same once more
    ([0, 0, 10, 9], 2, 1),  # zebra as dog
    ([50, 50, 60, 60], 1, 1),  # clock as dog
    ([0, 0, 10, 5], 3, 0),  # IoU 0.5 with the pizza: not over it
    ([80, 80, 100, 100], 1, 0),  # a crowd is no object
]


def test_counts_by_hand(truth):
    made = records(*zip(*BOXES, strict=True))
    known = np.array([True, False, True, False, True, False])
    table = confusion("near", made, known, truth, LABELS)
    assert table.columns == ["cat", "dog"]
    rows = [(r.category, r.objects, r.boxes, r.known, list(r.cells)) for r in table.rows]
    assert rows == [
        ("zebra", 2, 3, 2, [(2, 1), (1, 1)]),
        ("clock", 1, 1, 0, [(0, 0), (1, 0)]),
    ]
    assert table.largest == 2
    assert "4 of 6 boxes" in table.note and "1 of the 2 others" in table.note
    assert "1 annotated categories have no box" in table.note  # the pizza; kites do not occur


def test_the_object_with_the_largest_overlap_counts(truth):
    near = dict(id=9, image_id=2, category_id=20, bbox=[0, 0, 10, 9], area=90, iscrowd=0)
    truth["annotations"].append(near)
    objects, names = annotated_objects(truth)
    found = objects_found(records([[0, 0, 10, 9.2]], [2], [0]), objects)
    assert names[objects.labels[found[0]]] == "pizza"


def test_no_boxes(truth):
    table = confusion("near", records([], [], []), np.array([], bool), truth, LABELS)
    assert table.rows == [] and "0 of 0" in table.note and table.largest == 1
