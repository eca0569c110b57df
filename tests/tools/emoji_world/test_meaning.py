"""Reading objects against words, on embeddings whose answer is known."""

from pathlib import Path

import numpy as np
import pytest
from meaning import object_embeddings, read_words

from negas.evaluation.recorded import Recorded
from negas.metrics.coco import load_coco
from negas.records import BoxRecords


def run(embeddings, bboxes, annotations):
    n = len(bboxes)
    records = BoxRecords(
        image_ids=[1] * n,
        bboxes=np.array(bboxes, np.float32),
        labels=[0] * n,
        scores=[0.5] * n,
        id_logits=np.zeros((n, 1)),
        embeddings=embeddings,
    )
    categories = [dict(id=7, name="fox"), dict(id=8, name="kite")]
    truth = dict(images=[dict(id=1), dict(id=2)], categories=categories, annotations=annotations)
    return Recorded.of(Path("work"), dict(near=records), truths=dict(near=load_coco(truth)))


def test_the_best_box_of_each_object_is_read():
    objects = [
        dict(id=1, image_id=1, category_id=7, bbox=[0, 0, 10, 10]),
        dict(id=2, image_id=1, category_id=8, bbox=[50, 50, 10, 10]),  # no box fits
        dict(id=3, image_id=2, category_id=8, bbox=[0, 0, 10, 10]),  # no box on this image
    ]
    embeds = np.arange(9, dtype=np.float32).reshape(3, 3)
    boxes = [[0, 0, 10, 7], [0, 0, 10, 10], [80, 80, 90, 90]]
    found = object_embeddings(run(embeds, boxes, objects), "near")
    assert list(found) == ["fox"]
    np.testing.assert_array_equal(found["fox"], embeds[1:2])


def test_records_without_embeddings_are_refused():
    with pytest.raises(ValueError, match="work: the records hold no embeddings"):
        object_embeddings(run(None, [[0, 0, 1, 1]], []), "near")


def test_naming_and_correlation():
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(40)]
    raw = rng.normal(size=(40, 16))
    feats = {w: v / np.linalg.norm(v) for w, v in zip(words, raw, strict=True)}
    classes = words[:10]
    # objects that sit exactly on their own word: named right, logits follow the cosines
    exact = {w: np.r_[feats[w], 0.3][None].repeat(3, 0).astype(np.float32) for w in classes[:4]}
    result = read_words(exact, feats, classes, words[:20], words[20:])
    assert (result.objects, result.classes) == (12, 4)
    assert (result.top1, result.top10, result.chance) == (1.0, 1.0, 0.1)
    assert result.trained_r == pytest.approx(1, abs=1e-5)
    assert result.untrained_r == pytest.approx(1, abs=1e-5)
    # objects that look like another class are named wrong and say nothing about their own word
    swapped = {classes[0]: exact[classes[1]]}
    wrong = read_words(swapped, feats, classes, words[:20], words[20:])
    assert wrong.top1 == 0
    assert abs(wrong.untrained_r) < 0.9
