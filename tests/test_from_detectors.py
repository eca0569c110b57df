"""Records from what other detectors return: their documented results, and what is refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from negas.records import BoxRecords
from negas.scores import get_score

NAMES = ["cat", "dog", "car"]
BOXES = [[1.0, 2.0, 30.0, 40.0], [5.0, 5.0, 9.0, 25.0]]


@pytest.fixture
def ann(tmp_path):
    """A json of two images, ids 7 and 9, in folders."""
    data = dict(
        images=[dict(id=7, file_name="a/1.jpg"), dict(id=9, file_name="b/1.jpg")],
        annotations=[dict(id=1, image_id=7, category_id=20, bbox=[1, 2, 29, 38])],
        categories=[dict(id=20, name="dog"), dict(id=10, name="cat"), dict(id=90, name="car")],
    )
    (tmp_path / "id.json").write_text(json.dumps(data))
    return tmp_path / "id.json"


def plain(**changes):
    first = dict(image_id=7, bboxes=BOXES, labels=[1, 0], scores=[0.5, 0.9])
    return [first | changes, dict(image_id=9, bboxes=[], labels=[], scores=[])]


def test_plain_arrays_become_records(ann):
    records = BoxRecords.from_detections(plain(), NAMES, ann_file=ann, img_dir="pictures")
    assert records.image_ids.tolist() == [7, 7] and records.images.tolist() == [7, 9]
    assert records.bboxes.tolist() == BOXES and records.labels.tolist() == [1, 0]
    assert records.id_logits is None and records.num_ids == 3
    assert records.meta == dict(id_labels=NAMES, ann_file=str(ann), img_dir="pictures")
    named = BoxRecords.from_detections(plain(labels=["dog", "cat"]), NAMES)
    assert named.labels.tolist() == [1, 0] and "ann_file" not in named.meta
    half = plain(bboxes=torch.tensor(BOXES, dtype=torch.bfloat16, requires_grad=True))
    assert BoxRecords.from_detections(half, NAMES).bboxes.tolist() == BOXES


def test_logits_and_negatives_reach_the_scores():
    logits, negatives = np.array([[0.0, 2.0, -1], [3, 1, 0]]), np.array([[1.0], [-2.0]])
    more = dict(id_logits=logits, neg_logits=negatives)
    records = BoxRecords.from_detections(plain(**more), NAMES, neg_labels=["fox"])
    assert records.meta["neg_labels"] == ["fox"]
    np.testing.assert_allclose(
        records.score_with(get_score("negs")), get_score("negs")(logits, negatives), atol=1e-6
    )
    empty = [dict(image_id=1, bboxes=[], labels=[], scores=[], id_logits=[], neg_logits=[])]
    none = BoxRecords.from_detections(empty, NAMES, neg_labels=["fox"])
    assert none.id_logits.shape == (0, 3) and none.neg_logits.shape == (0, 1)


def test_confidences_are_the_one_score_without_logits(tmp_path):
    scores = np.array([0.0, 1e-6, 0.25, 0.5, 1 - 2.0**-24, 1.0], dtype=np.float32)
    part = dict(image_id="x", bboxes=np.tile([0, 0, 5, 5], (6, 1)), labels=[0] * 6, scores=scores)
    BoxRecords.from_detections([part], NAMES).save(tmp_path / "id.npz")
    records = BoxRecords.load(tmp_path / "id.npz")
    values = records.score_with(get_score("max_sigmoid"))
    np.testing.assert_allclose(values, scores, atol=2e-8)
    assert (np.diff(values) > 0).all()  # the order is kept, also next to 1
    assert records.score_with(get_score("max_sigmoid"), np.array([3, 3])).tolist() == [0.5, 0.5]
    for name in ("energy", "msp", "negs"):
        with pytest.raises(ValueError, match=f"'{name}' needs ID logits .* confidences only"):
            records.score_with(get_score(name))


def test_mmdetection_samples(ann):
    def sample(image, **pred):
        made = DetDataSample(metainfo=dict(img_id=image))
        made.pred_instances = InstanceData(**pred)
        return made

    logits = torch.tensor([[0.0, 2.0, -1.0], [3.0, 1.0, 0.0]])
    found = dict(bboxes=torch.tensor(BOXES), labels=torch.tensor([1, 0]))
    found |= dict(scores=torch.tensor([0.5, 0.9]), id_logits=logits)
    none = {key: value[:0] for key, value in found.items()}
    samples = [sample(7, **found), sample(9, **none)]
    records = BoxRecords.from_mmdet(samples, NAMES, ann_file=ann)
    assert records.images.tolist() == [7, 9] and records.labels.tolist() == [1, 0]
    assert records.id_logits.tolist() == logits.tolist()
    # multi-label post-processing: one box, one row
    twice = {key: torch.cat([value, value[:1]]) for key, value in found.items()}
    twice["labels"][2], twice["scores"][2] = 2, 0.1
    again = sample(7, **twice, prior_inds=torch.tensor([5, 6, 5]))
    assert BoxRecords.from_mmdet([again.to_dict()], NAMES).query_inds.tolist() == [5, 6]
    with pytest.raises(ValueError, match="no 'img_id'"):
        BoxRecords.from_mmdet([DetDataSample()], NAMES)


def ultralytics_result(path, bboxes, conf, cls):
    """The documented part of ``ultralytics.engine.results.Results``."""
    boxes = SimpleNamespace(
        xyxy=torch.tensor(bboxes).reshape(-1, 4), conf=torch.tensor(conf), cls=torch.tensor(cls)
    )
    names = {0: "cat", 1: "dog", 2: "car"}
    return SimpleNamespace(path=path, boxes=boxes, names=names, orig_shape=(50, 60))


def test_ultralytics_results(ann):
    results = [
        ultralytics_result("/data/val/b/1.jpg", BOXES, [0.9, 0.3], [1.0, 0.0]),
        ultralytics_result("/data/val/a/1.jpg", [], [], []),
    ]
    records = BoxRecords.from_ultralytics(iter(results), ann_file=ann)
    assert records.image_ids.tolist() == [9, 9] and records.images.tolist() == [7, 9]
    assert records.labels.tolist() == [1, 0] and records.meta["id_labels"] == NAMES
    by_id = BoxRecords.from_ultralytics(results, image_ids=[3, 4])
    assert by_id.images.tolist() == [3, 4] and by_id.image_ids.tolist() == [3, 3]
    results[1].boxes = None
    with pytest.raises(ValueError, match=r"results\[1\] holds no boxes; .* task 'detect'"):
        BoxRecords.from_ultralytics(results, ann_file=ann)
    with pytest.raises(ValueError, match="there are 1 image_ids for 2 results"):
        BoxRecords.from_ultralytics(results, image_ids=[3])


def test_torchvision_outputs():
    categories = ["__background__", "cat", "N/A", "dog", "car"]
    output = dict(boxes=torch.tensor(BOXES), labels=torch.tensor([3, 1]))
    output["scores"] = torch.tensor([0.5, 0.9])
    records = BoxRecords.from_torchvision([output], [7], categories)
    assert records.labels.tolist() == [1, 0] and records.meta["id_labels"] == NAMES
    assert records.id_logits is None
    logits = torch.tensor([[9.0, 0, 9, 2, -1], [9, 3, 9, 1, 0]])
    with_logits = BoxRecords.from_torchvision([output | dict(logits=logits)], [7], categories)
    assert with_logits.id_logits.tolist() == [[0, 2, -1], [3, 1, 0]]
    own = BoxRecords.from_torchvision([output | dict(logits=logits[:, [1, 3, 4]])], [7], NAMES)
    assert own.labels.tolist() == [2, 0] and own.id_logits.shape == (2, 3)  # counted from 1
    for label in (0, 2, 5):
        wrong = output | dict(labels=torch.tensor([label, 1]))
        with pytest.raises(ValueError, match=rf"outputs\[0\] has the label {label}, which is none"):
            BoxRecords.from_torchvision([wrong], [7], categories)


def coco_result(**changes):
    return dict(image_id=7, category_id=10, bbox=[1, 2, 29, 38], score=0.75) | changes


def test_coco_results(ann, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps([coco_result()]))
    records = BoxRecords.from_coco_results(tmp_path / "results.json", ann)
    assert records.meta["id_labels"] == ["dog", "cat", "car"] and records.labels.tolist() == [1]
    assert records.bboxes.tolist() == [[1, 2, 30, 40]] and records.images.tolist() == [7, 9]
    # of an OOD set, whose json has other categories
    other = dict(images=[dict(id="z")], annotations=[], categories=[])
    (tmp_path / "near.json").write_text(json.dumps(other))
    near = [coco_result(image_id="z", category_id=90)]
    records = BoxRecords.from_coco_results(near, tmp_path / "near.json", ann, ["car", "dog"])
    assert records.meta["id_labels"] == ["car", "dog"] and records.labels.tolist() == [0]
    assert len(BoxRecords.from_coco_results([], tmp_path / "near.json", ann)) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(image_id=8), "result 0 is of the image 8, which is not in .*id.json"),
        (dict(category_id=1), "result 0 has the category_id 1, which is no ID label's"),
        (dict(bbox=[1, 2, -3, 4]), r"has the bbox \[1, 2, -3, 4\]; expected \[x, y, width, height"),
        (dict(bbox=3), "has the bbox 3; expected"),
        (dict(bbox=[0.1, 0.2, 0.3, 0.4]), "the boxes are shares of the image"),
        (dict(score=None), "result 0 has no 'score'"),
        (dict(score=75), r"the score 75; expected a confidence in \[0, 1\]"),
    ],
)
def test_coco_results_that_do_not_belong(ann, change, message):
    with pytest.raises(ValueError, match=message):
        BoxRecords.from_coco_results([coco_result(**change)], ann)


@pytest.mark.parametrize(
    ("detections", "message"),
    [
        ([], "there are no detections"),
        (plain()[:1], "lists 2 images, and 1 of them were not given, first 9; give every image"),
        ([*plain(), plain()[1]], "the image 9 is given 2 times"),
        ([dict(bboxes=BOXES)], r"detections\[0\] has no 'image_id'"),
        (plain(image_id="c/2.jpg"), "the image 'c/2.jpg' is neither an id nor a file name in"),
        (plain(image_id="1.jpg"), "has 2 images whose file name ends with '1.jpg'"),
        (plain(labels=[1, 3]), r"detections\[0\]: the label 3 is outside 0..2"),
        (plain(labels=["dog", "cow"]), "the label 'cow' is no ID label"),
        (plain(scores=[0.5]), "bboxes has the shape .* and 1 rows as in scores"),
        (plain(scores=[0.5, 1.5]), r"scores must lie in \[0, 1\], got 1.5 in row 1"),
        (plain(bboxes=np.array(BOXES)[:, [2, 3, 0, 1]]), "bboxes must be xyxy"),
        (plain(bboxes=np.array(BOXES) / 100), "the boxes are shares of the image; expected xyxy"),
        (plain(id_logits=np.zeros((2, 2))), "3 names for 2 columns"),
        ([plain(id_logits=np.zeros((2, 3)))[0], plain(image_id=9)[0]], "has no 'id_logits', which"),
    ],
)
def test_what_is_refused(ann, detections, message):
    with pytest.raises(ValueError, match=message):
        BoxRecords.from_detections(detections, NAMES, ann_file=ann)
