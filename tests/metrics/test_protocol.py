"""Which boxes are samples: a hand-made scene; and the rotated bank."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from negas.metrics import rotated_bank, sample_rows, select_samples
from negas.metrics.protocol import score_label
from negas.records import BoxRecords

GT = {
    "images": [{"id": i, "width": 100, "height": 100} for i in (1, 2, 3)],
    "categories": [{"id": 7, "name": "dog"}, {"id": 4, "name": "cat"}, {"id": 9, "name": "cup"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 4, "bbox": [0, 0, 10, 10]},
        {"id": 2, "image_id": 1, "category_id": 7, "bbox": [50, 50, 20, 20]},
        {"id": 3, "image_id": 2, "category_id": 4, "bbox": [0, 0, 10, 10], "iscrowd": 1},
        {"id": 4, "image_id": 2, "category_id": 4, "bbox": [40, 0, 10, 10], "difficult": 1},
        {"id": 5, "image_id": 2, "category_id": 9, "bbox": [80, 80, 10, 10]},
    ],
}
ROWS = [  # image, box, label (0 cat, 1 dog), confidence, true detection, on an object
    (1, (0, 0, 10, 9), 0, 0.6, False, True),  # the cat is taken by the next, more confident box
    (1, (0, 0, 10, 10), 0, 0.9, True, True),
    (1, (0, 0, 10, 10), 1, 0.8, False, True),  # wrong label
    (1, (52, 52, 70, 70), 1, 0.5, True, True),
    (1, (60, 60, 80, 80), 1, 0.7, False, False),  # IoU 1/7
    (2, (0, 0, 10, 10), 0, 0.9, False, True),  # a crowd
    (2, (40, 0, 50, 10), 0, 0.9, False, True),  # a difficult object
    (2, (80, 80, 90, 90), 0, 0.9, False, True),  # not an ID category
    (1, (0, 0, 10, 10), 0, 0.2, False, False),  # under the cut
    (3, (0, 0, 10, 10), 0, 0.9, False, False),  # an image without objects
]
META = {"id_labels": ["cat", "dog"]}


def scene(meta=META):
    return BoxRecords(
        image_ids=[row[0] for row in ROWS],
        bboxes=[row[1] for row in ROWS],
        labels=[row[2] for row in ROWS],
        scores=[row[3] for row in ROWS],
        id_logits=np.zeros((len(ROWS), 2)),
        images=[1, 2, 3],
        meta=meta,
    )


def test_vos_takes_every_confident_box():
    expected = [row[3] >= 0.5 for row in ROWS]
    np.testing.assert_array_equal(select_samples(scene(), 0.5), expected)
    # a cut equal to a confidence keeps it, although float32 and float64 differ there
    assert select_samples(scene(), np.float64(0.6))[0]


def test_matched_id_boxes():
    mask = select_samples(scene(), 0.5, "matched", GT, "id")
    np.testing.assert_array_equal(mask, [row[4] for row in ROWS])


def test_matched_ood_boxes():
    mask = select_samples(scene(), 0.5, "matched", GT, "ood")
    np.testing.assert_array_equal(mask, [row[5] for row in ROWS])


def test_the_best_box_of_each_object():
    ids = select_samples(scene(), 0.5, "objects", GT, "id")
    np.testing.assert_array_equal(ids, [row[4] for row in ROWS])
    twice = scene().select([*range(len(ROWS)), 7])
    mask = select_samples(twice, 0.5, "objects", GT, "ood")
    assert np.flatnonzero(mask).tolist() == [7], "the cup, once; no ID category, none left out"
    assert not select_samples(scene(), 0.95, "objects", GT, "ood").any()


def test_an_iou_of_exactly_one_half_is_no_match():
    records = scene().select([1])
    half = BoxRecords([1], [[0, 0, 10, 5]], [0], [0.9], records.id_logits, meta=META)
    assert not select_samples(half, 0.5, "matched", GT, "id").any()
    assert not select_samples(half, 0.5, "matched", GT, "ood").any()
    assert select_samples(half, 0.5, "matched", GT, "id", iou=0.49).all()


def test_no_boxes():
    assert select_samples(scene().select([]), 0.5, "matched", GT).shape == (0,)


def test_every_box_is_another_object():
    two = {**GT, "annotations": GT["annotations"][:1] * 2}
    mask = select_samples(scene(), 0.5, "matched", two, "id")
    assert mask[0] and mask[1], "two cats in one place serve two boxes"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: select_samples(scene(), 0.5, "voss"), "must be 'vos', 'matched' or 'objects'"),
        (lambda: select_samples(scene(), 0.5, "matched"), "give gt .* or use protocol 'vos'"),
        (
            lambda: select_samples(scene(), 0.5, "matched", {**GT, "images": GT["images"][:2]}),
            "image 3 has boxes but is not in the ground truth",
        ),
        (
            lambda: select_samples(scene({"id_labels": ["cat", "cow"]}), 0.5, "matched", GT),
            "'cow' is no category of the ground truth",
        ),
        (lambda: select_samples(scene({}), 0.5, "matched", GT), r"meta\['id_labels'\] is missing"),
    ],
)
def test_selection_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_row_once_per_sample():
    """SIREN's detections are (box, label) pairs: a box counts once per label over the floor."""
    logits = np.full((len(ROWS), 2), -3.0)
    logits[1] = [-2.19, 0.5]  # sigmoid 0.1007 and 0.62: twice
    logits[3] = [-2.20, 1.0]  # sigmoid 0.0998: once
    records = replace(scene(), id_logits=logits)
    assert sample_rows(records, 0.6).tolist() == [0, 1, 2, 4, 5, 6, 7, 9]
    assert sample_rows(records, 0.5, pair_floor=0.1).tolist() == [1, 1, 3]
    assert sample_rows(records, 0.5, "matched", GT, pair_floor=0.1).tolist() == [1, 1, 3]
    assert sample_rows(records, 0.5, "matched", GT, "ood").tolist() == [0, 1, 2, 3, 5, 6, 7]


def test_a_score_is_called_by_name_and_options():
    assert score_label("negs") == score_label(("negs", {})) == "negs"
    assert score_label(("negs", dict(weight=0.5, neg_reduce="mean"))) == (
        "negs(weight=0.5, neg_reduce=mean)"
    )


def test_rotation_keeps_geometry_and_kind():
    bank = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    turned = rotated_bank(bank, 1)
    assert turned.dtype == np.float32
    np.testing.assert_allclose(turned @ turned.T, bank @ bank.T, atol=1e-4)
    np.testing.assert_array_equal(turned, rotated_bank(bank, 1))
    assert np.abs(turned - rotated_bank(bank, 2)).max() > 0.1
    tensor = rotated_bank(torch.from_numpy(bank), 1)
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), turned, atol=1e-6)
    with pytest.raises(ValueError, match=r"must be \[M, D\]"):
        rotated_bank(bank[0], 1)


def test_rotations_are_uniform():
    first_axis = np.stack([rotated_bank(np.eye(3)[:1], seed)[0] for seed in range(2000)])
    np.testing.assert_allclose(first_axis.mean(0), 0, atol=0.05)
    np.testing.assert_allclose((first_axis**2).mean(0), 1 / 3, atol=0.03)
