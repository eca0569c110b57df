"""The choice of M: held-out classes by hand, curves against a loop, ties, refusals."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from negas.evaluation.num_labels.choice import (
    Curve,
    choose,
    held_out_curve,
    label_orders,
    make_folds,
    without_label,
)
from negas.metrics import ood_metrics
from negas.records import BoxRecords
from negas.scores import get_score

NAMES = ["cat", "dog", "tv"]


def coco(objects, images=2):
    """`objects`: (image, category name, xywh)."""
    return dict(
        images=[dict(id=i, file_name=f"{i}.png") for i in range(images)],
        categories=[dict(id=10 + i, name=name) for i, name in enumerate(NAMES)],
        annotations=[
            dict(image_id=image, category_id=10 + NAMES.index(name), bbox=list(box))
            for image, name, box in objects
        ],
    )


def boxes(rows, **more):
    """`rows`: (image, xywh, id logits)."""
    logits = np.array([row[2] for row in rows], dtype=np.float32)
    xywh = np.array([row[1] for row in rows], dtype=np.float32)
    return BoxRecords(
        image_ids=np.array([row[0] for row in rows]),
        bboxes=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        labels=logits.argmax(1),
        scores=1 / (1 + np.exp(-logits.max(1))),
        id_logits=logits,
        images=np.arange(2),
        meta=dict(id_labels=NAMES),
        **more,
    )


LEFT, RIGHT, LOW = (0, 0, 10, 10), (40, 0, 10, 10), (0, 40, 10, 10)


@pytest.fixture
def scene():
    truth = coco([(0, "cat", LEFT), (0, "dog", RIGHT), (1, "cat", LEFT), (1, "tv", LOW)])
    records = boxes(
        [
            (0, LEFT, [3, 1, -4]),  # 0: a cat, a little like a dog
            (0, RIGHT, [-4, 2, -4]),  # 1: a dog
            (0, (41, 0, 10, 10), [0.5, 1, -4]),  # 2: the dog again (duplicate)
            (1, LEFT, [2, -4, -4]),  # 3: a cat that is like nothing else
            (1, LOW, [-4, 2, 4]),  # 4: a tv, somewhat like a dog
            (1, RIGHT, [-4, -4, 1]),  # 5: background
        ]
    )
    return records, truth


def test_a_detector_without_a_label(scene):
    rest = without_label(scene[0], 0)
    assert rest.meta["id_labels"] == ["dog", "tv"]
    assert rest.labels.tolist() == [0, 0, 0, 0, 1, 1]
    wanted = 1 / (1 + np.exp(-np.array([1.0, 2, 1, -4, 4, 1])))
    np.testing.assert_allclose(rest.scores, wanted, rtol=1e-6)
    assert scene[0].labels.tolist() == [0, 1, 1, 0, 2, 2]


def test_folds_by_hand(scene):
    folds, left_out = make_folds(*scene, cut=0.5, min_boxes=1)
    # cat: box 0 is still confident as a dog, box 3 is not; dog 1 and tv 4 are true
    # dog: box 2 is confident as a cat (logit .5); tv: box 4 as a dog
    found = {f.name: (np.flatnonzero(f.is_ood).tolist(), np.flatnonzero(f.is_id).tolist())
             for f in folds}  # fmt: skip
    assert found == {"cat": ([0], [1, 4]), "dog": ([2], [0, 3, 4]), "tv": ([4], [0, 1, 3])}
    assert left_out == {}
    folds, _ = make_folds(*scene, cut=0.5, protocol="vos", min_boxes=1)
    found = {f.name: np.flatnonzero(f.is_id).tolist() for f in folds}
    assert found == {"cat": [1, 2, 4, 5], "dog": [0, 3, 4, 5], "tv": [0, 1, 2, 3]}


def test_classes_with_too_few_boxes_are_left_out_and_counted(scene):
    folds, left_out = make_folds(*scene, cut=0.7, min_boxes=1)
    assert [fold.name for fold in folds] == ["cat", "tv"]
    assert left_out == {"dog": 0}
    with pytest.raises(ValueError, match=r"at the confidence cut 0.5 none leaves 2 boxes .*is 1\)"):
        make_folds(*scene, cut=0.5, min_boxes=2)


def test_a_true_detection_is_not_pseudo_ood():
    """A cat in front of a dog, well overlapping: the dog found right stays ID."""
    truth = coco([(0, "cat", LEFT), (0, "dog", (0, 1, 10, 10)), (1, "cat", LEFT)])
    records = boxes([(0, (0, 1, 10, 10), [-1, 3, -4]), (1, LEFT, [4, 1, -4])])
    (fold,), _ = make_folds(records, truth, 0.5, min_boxes=1)
    assert fold.name == "cat"
    assert (fold.is_id.tolist(), fold.is_ood.tolist()) == ([True, False], [False, True])


@pytest.fixture
def random_world():
    """60 boxes, each exactly on an object of a random class; 12 negatives."""
    rng = np.random.default_rng(4)
    objects, rows = [], []
    for i in range(60):
        place = (20 * (i % 30), 0, 10, 10)
        name = NAMES[rng.integers(3)]
        objects.append((i // 30, name, place))
        logits = rng.normal(size=3)
        logits[NAMES.index(name)] += 2.5
        rows.append((i // 30, place, logits))
    embeddings = rng.normal(size=(60, 7)).astype(np.float32)
    records = boxes(rows, embeddings=embeddings)
    return records.rescore(rng.normal(size=(12, 6))), coco(objects)


def test_curve_against_a_loop(random_world):
    records, truth = random_world
    folds, _ = make_folds(records, truth, 0.3, min_boxes=3)
    order = np.random.default_rng(1).permutation(12)
    curve = held_out_curve(records, folds, get_score("negs"), [7, 2, 12], order, "shuffled")
    assert curve.ms == (2, 7, 12) and len(curve.classes) == len(folds) > 1
    sigmoid = lambda x: 1 / (1 + np.exp(-x.astype(np.float64)))  # noqa: E731
    for row, fold in enumerate(folds):
        ids = np.delete(sigmoid(records.id_logits), fold.label, axis=1).max(1)
        rows = np.flatnonzero(fold.is_id | fold.is_ood)
        plain = roc_auc_score(fold.is_id[rows], ids[rows])
        assert curve.without["auroc"][row] == pytest.approx(plain)
        for column, num in enumerate(curve.ms):
            score = ids - sigmoid(records.neg_logits[:, order[:num]]).max(1)
            auroc = roc_auc_score(fold.is_id[rows], score[rows])
            assert curve.values["auroc"][row, column] == pytest.approx(auroc)
            fpr = ood_metrics(score[fold.is_id], score[fold.is_ood]).fpr95
            assert curve.values["fpr95"][row, column] == pytest.approx(fpr)
    np.testing.assert_allclose(curve.mean("auroc"), curve.values["auroc"].mean(0))
    cosines = held_out_curve(records, folds, get_score("negs"), [2], order, cosine=True)
    assert not np.allclose(cosines.values["auroc"], curve.values["auroc"][:, :1])


def test_negatives_that_name_the_unknown_are_found(random_world):
    """The fourth label fires on the class that is held out, the ones behind it on anything."""
    records, truth = random_world
    categories = {10 + i: i for i in range(3)}
    classes = [categories[ann["category_id"]] for ann in truth["annotations"]]
    logits = np.full((60, 9), -6.0)
    logits[:, 3:6] = np.where(np.arange(3) == np.array(classes)[:, None], 3.0, -6.0)
    logits[:, 6:] = np.random.default_rng(0).normal(2, 3, size=(60, 3))  # these fire on anything
    records = records.with_neg_logits(logits)
    folds, _ = make_folds(records, truth, 0.3, min_boxes=3)
    # a bank names no ID class: only that of the held-out one, which is unknown then, comes up
    orders = np.array([[0, 1, 2, 3 + label, 6, 7, 8, 3, 4] for label in range(3)])
    curve = held_out_curve(records, folds, get_score("negs"), range(1, 8), orders)
    choice = choose([curve])
    assert choice.num == 4
    assert choice.value == 1 and choice.gain > 2 * choice.gain_error > 0


def made_curve(name, auroc, fpr=None, without=0.5, ms=(5, 10, 20)):
    auroc = np.array(auroc, dtype=float)
    fpr = 1 - auroc if fpr is None else np.array(fpr, dtype=float)
    count = len(auroc)
    plain = dict(auroc=np.full(count, without), fpr95=np.full(count, 1 - without))
    return Curve(name, ms, tuple(NAMES[:count]), dict(auroc=auroc, fpr95=fpr), plain)


def test_ties_go_to_the_smallest_m_then_to_the_first_order():
    first = made_curve("bank", [[0.6, 0.8, 0.8], [0.8, 0.6, 0.6]])
    second = made_curve("random", [[0.1, 0.7, 0.2], [0.1, 0.7, 0.1]])
    assert (choose([first]).order, choose([first]).num) == ("bank", 5)
    assert choose([second, first]).num == 5
    assert choose([made_curve("random", [[0.7, 0.7, 0.1]]), first]).order == "random"


def test_the_metric_has_a_direction():
    curve = made_curve("bank", [[0.6, 0.8, 0.7]], fpr=[[0.5, 0.4, 0.3]])
    assert choose([curve]).num == 10
    assert choose([curve], "fpr95").num == 20
    assert choose([curve], "fpr95").value == pytest.approx(0.3)
    assert choose([curve], "fpr95").gain == pytest.approx(0.2)


def test_what_the_noise_does_not_tell_apart():
    # paired: M = 10 is behind by .01 and .03 (within), M = 20 by .1 and .12 (not)
    curve = made_curve("bank", [[0.8, 0.8, 0.7], [0.9, 0.86, 0.78]])
    choice = choose([curve])
    assert choice.equal == (("bank", 5), ("bank", 10))
    assert choice.gain == pytest.approx(0.35)
    assert choice.gain_error == pytest.approx(np.std([0.3, 0.4], ddof=1) / 2**0.5)


def test_the_held_out_class_does_not_rank_the_labels():
    ids = np.eye(3)
    negatives = np.array([[0.9, 0.1, 0.3], [0.1, 0.2, 0.8], [0.5, 0.5, 0.4]])
    final, folds = label_orders("dissimilar", 3, negatives, ids)
    unit = negatives / np.linalg.norm(negatives, axis=1, keepdims=True)
    assert final.tolist() == np.argsort(unit.max(1), kind="stable").tolist() == [2, 0, 1]
    assert folds[0].tolist() == [0, 2, 1]  # without the first class label 0 is the least alike
    assert folds[2].tolist() == [1, 2, 0]
    assert [order.tolist() for order in label_orders("bank", 3)] == [[0, 1, 2]] * 2
    random = label_orders("random", 40, seed=1)[0]
    assert sorted(random) == list(range(40)) and random.tolist() != sorted(random)
    assert random.tolist() == label_orders("random", 40, seed=1)[0].tolist()


def test_refusals(random_world):
    records, truth = random_world
    folds, _ = make_folds(records, truth, 0.3, min_boxes=3)
    negs, order = get_score("negs"), np.arange(12)
    for given, words in [
        ((records, folds, get_score("msp"), [2], order), "'msp' reads no negatives"),
        ((records.with_neg_logits(None), folds, negs, [2], order), "no negative logits"),
        ((records, folds, negs, [13], order), r"in 1\.\.12"),
        ((records, folds, negs, [0, 3], order), r"in 1\.\.12"),
        ((records, folds, negs, [], order), r"in 1\.\.12"),
    ]:
        with pytest.raises(ValueError, match=words):
            held_out_curve(*given)
    with pytest.raises(ValueError, match="must be one of bank, dissimilar, random"):
        label_orders("best", 3)
    with pytest.raises(ValueError, match="needs text embeddings"):
        label_orders("dissimilar", 3)
    with pytest.raises(ValueError, match="at least one curve"):
        choose([])
    with pytest.raises(ValueError, match="'dog' is no category"):
        make_folds(
            records, {**truth, "categories": [dict(id=10, name="cat")], "annotations": []}, 0.3
        )
