"""Hot words and thresholds of unknown objects: hand-made answers, and every threshold tried."""

import dataclasses
import math

import numpy as np
import pytest

from negas.unknown.thresholds import (
    LEAST,
    AnnotatedObjects,
    Errors,
    FiringWords,
    ThresholdOptions,
    UnknownThreshold,
    cells_on_background,
)

OBJECT, ELSEWHERE = [0, 0, 10, 10], [50, 50, 60, 60]


def annotated(image_ids, bboxes, known=None, regions=None):
    count = len(image_ids)
    return AnnotatedObjects(
        np.array(image_ids),
        np.array(bboxes, float).reshape(-1, 4),
        np.ones(count, bool) if known is None else np.array(known),
        np.zeros(count, bool) if regions is None else np.array(regions),
    )


def errors(image_ids, bboxes, scores, objects, images):
    arrays = (np.array(image_ids), np.array(bboxes, float).reshape(-1, 4), np.array(scores, float))
    return Errors.of(np.array(images), *arrays, objects)


# --- hot words ------------------------------------------------------------------------------------
def test_a_cell_is_background_where_its_centre_lies_in_no_object_of_its_image():
    objects = annotated([1, 2], [OBJECT, ELSEWHERE], [True, False])
    boxes = np.array([[0, 0, 4, 4], [8, 8, 20, 20], ELSEWHERE, ELSEWHERE, OBJECT], float)
    found = cells_on_background(np.array([1, 1, 1, 2, 3]), boxes, objects)
    assert found.tolist() == [False, True, True, False, True]


def test_every_word_that_fires_is_counted_once_an_image():
    fires, not_ = math.log(0.11 / 0.89), math.log(0.09 / 0.91)
    logits = np.full((5, 3), not_)
    logits[[0, 1, 4], 0] = fires  # twice in the image 7
    logits[0, 1] = fires + 5  # the best word of that cell
    counted = FiringWords(np.array([7, 7, 8, 8, 9]), 3)
    for part in (slice(0, 2), slice(2, 5)):  # an image may lie in two parts
        counted.take(part, logits[part])
    assert counted.rates(10).tolist() == [0.2, 0.1, 0]


# --- errors ---------------------------------------------------------------------------------------
def test_each_box_is_an_error_by_what_it_lies_on():
    objects = annotated(
        [1, 1, 1, 2],
        [OBJECT, [20, 20, 30, 30], [70, 70, 90, 90], OBJECT],
        [True, False, True, True],
        [False, False, True, False],
    )
    boxes = {
        "more than half of the known object": [1, 0, 0, 10, 5.1],
        "half": [1, 0, 0, 10, 5],
        "the unknown object": [1, 20, 20, 30, 30],
        "inside the crowd": [1, 72, 72, 76, 76],
        "background": [2, *ELSEWHERE],
        "an image without objects": [3, *OBJECT],
    }
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    rows = np.array(list(boxes.values()))
    found = errors(rows[:, 0].astype(int), rows[:, 1:], scores, objects, [1, 2, 3])
    assert found.background[0].tolist() == [0.8, 0.5, 0.4]
    assert found.known[0].tolist() == [0.9, -np.inf], "of the two known objects, one has a box"
    assert found.rates(0.0) == (1.0, 0.5)
    assert found.rates(0.5) == (2 / 3, 0.5)
    assert found.rates(0.85) == (0.0, 0.5) and found.rates(0.95) == (0.0, 0.0)


def test_a_box_on_two_objects_is_on_both():
    pair = annotated([1, 1], [OBJECT, [0, 0, 10, 9]])
    found = errors([1], [OBJECT], [0.7], pair, [1])
    assert found.known[0].tolist() == [0.7, 0.7] and not len(found.background[0])


def test_without_a_known_object_there_is_nothing_to_measure():
    for known, regions in (([False], [False]), ([True], [True])):
        with pytest.raises(ValueError, match="no object of an ID class is annotated"):
            annotated([1], [OBJECT], known, regions)
    with pytest.raises(ValueError, match="no object of an ID class is annotated"):
        annotated([], [])


# --- the threshold --------------------------------------------------------------------------------
def straying(scores, images=4):
    """Boxes on the background of an image, and one known object without a box."""
    boxes = [ELSEWHERE] * len(scores)
    return errors([1] * len(scores), boxes, scores, annotated([1], [OBJECT]), range(images))


def test_the_lowest_threshold_lies_between_the_score_that_goes_and_the_next():
    found = straying([0.9, 0.8, 0.6, 0.4])
    assert found.lowest(0.5, 0) == pytest.approx(0.7)
    assert found.lowest(0.75, 0) == pytest.approx(0.5)
    assert found.lowest(1, 0) == LEAST, "all may stay"
    assert straying([]).lowest(0, 0) == LEAST


def test_equal_scores_go_together():
    found = straying([0.9, 0.6, 0.6, 0.6])
    assert found.lowest(0.5, 0) == pytest.approx(0.75) and found.rates(0.75)[0] == 0.25


def test_a_share_that_is_a_whole_number_of_objects_is_allowed():
    count = 30  # 0.1 * 30 is 3.0000000000000004, 0.7 * 30 is 20.999999999999996
    objects = annotated(range(count), [OBJECT] * count)
    scores = np.linspace(0.3, 0.9, count)
    for share, kept in ((0.1, 3), (0.7, 21)):
        found = errors(range(count), [OBJECT] * count, scores, objects, range(count))
        assert (scores >= found.lowest(0, share)).sum() == kept


def test_where_every_box_is_too_many_there_is_no_threshold():
    with pytest.raises(ValueError, match=r"at most 0.2 an image .* 10.0% of the known .* allow"):
        straying([0.9, 0.5]).lowest(0.2, 0.1)


def test_against_every_threshold_in_turn():
    rng = np.random.default_rng(3)
    for _ in range(40):
        images, count = np.arange(6), 40
        objects = annotated(
            rng.integers(0, 6, 12),
            np.hstack([corner := rng.integers(0, 30, (12, 2)), corner + 20]),
            np.r_[True, rng.random(11) < 0.6],
        )
        at, corner = rng.integers(0, 6, count), rng.integers(0, 30, (count, 2))
        boxes = np.hstack([corner, corner + rng.integers(15, 25, (count, 2))])
        scores = rng.integers(5, 95, count) / 100
        a, b = rng.random() * 2, rng.random() * 0.6

        def keeps(thr, at=at, boxes=boxes, scores=scores, objects=objects, a=a, b=b):
            stray, hit, total = 0, set(), 0
            for image, box, score in zip(at, boxes, scores, strict=True):
                ious = [iou(box, other) for other in objects.bboxes]
                on = [
                    row
                    for row, value in enumerate(ious)
                    if value >= 0.5 and objects.image_ids[row] == image
                ]
                if score >= thr:
                    stray += not on
                    hit |= {row for row in on if objects.known[row]}
            total = objects.known.sum()
            return stray / 6 <= a and len(hit) / total <= b

        found = errors(at, boxes, scores, objects, images)
        tried = [thr for thr in [LEAST, *np.unique(scores)] if keeps(thr)]
        if not tried:
            with pytest.raises(ValueError, match="at no threshold"):
                found.lowest(a, b)
            continue
        chosen = found.lowest(a, b)
        assert keeps(chosen)
        assert (scores >= chosen).tolist() == (scores >= min(tried)).tolist()


def iou(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def test_intervals_are_of_whole_images():
    scores = [0.9] * 8  # all in one image of four
    found = straying(scores)
    low, high = found.intervals(0.5)["background_per_image"]
    assert low == 0 and high >= 4, "the image is drawn not at all, or twice and more"
    assert found.intervals(0.5)["on_known_share"] == (0, 0)
    assert found.intervals(0.95)["background_per_image"] == (0, 0)
    assert found.intervals(0.5, seed=0) == found.intervals(0.5, seed=0)


# --- what is written down -------------------------------------------------------------------------
def written(**changes):
    values = dict(
        score_thr=0.4,
        words=["kite", "fork"],
        word_rates=[0.0, 0.1],
        a=0.5,
        b=0.1,
        background_per_image=0.4,
        on_known_share=0.05,
        intervals=dict(background_per_image=[0.3, 0.5], on_known_share=[0.0, 0.1]),
        hot_share=0.2,
        hot=[["shrub", 0.9]],
        images=10,
        known_objects=20,
        id_cut=0.3,
        found_on="id_val",
        source="calibrated",
    )
    return values | changes


def test_a_threshold_reads_back_as_it_was_written():
    found = UnknownThreshold.from_settings(written(), "it")
    assert UnknownThreshold.from_settings(found.record(), "it") == found
    assert found.record() == written()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(words=[]), "words is empty"),
        (dict(words=["kite", "kite"]), "'kite' twice"),
        (dict(words=["kite", "shrub"]), "'shrub' twice"),
        (dict(words=["kite", 3]), "words must be a list, each entry a text"),
        (dict(word_rates=[0.1]), "word_rates has 1 entries for 2 words"),
        (dict(word_rates=[0.1, 2]), r"word_rates must lie in \[0, 1\]"),
        (dict(score_thr=1), r"score_thr must lie in \[0, 1\), got 1"),
        (dict(on_known_share=1.5), "on_known_share"),
        (dict(background_per_image=-1), "background_per_image must be at least 0"),
        (dict(hot=[["shrub"]]), r"hot must hold \[word, share\]"),
        (dict(hot=[["shrub", "9"]]), r"hot must hold \[word, share\]"),
        (dict(hot=[["shrub", 9]]), r"hot: 'shrub' must lie in \[0, 1\]"),
        (dict(intervals={}), "intervals.background_per_image must be two numbers, got None"),
        (
            dict(intervals=dict(background_per_image=[0.5, 0.3], on_known_share=[0, 0])),
            "intervals.background_per_image must rise",
        ),
        (
            dict(intervals=dict(background_per_image=[0, 1], on_known_share=[0, math.nan])),
            "intervals.on_known_share must be finite",
        ),
        (dict(images=0), "images must be at least 1"),
        (dict(source="guess"), "source must be one of calibrated, config"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        UnknownThreshold.from_settings(written(**change), "it")


@pytest.mark.parametrize("change", [dict(a=-1), dict(b=1.1), dict(hot=-0.1), dict(a=math.inf)])
def test_limits_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(ThresholdOptions(), **change)
