"""Objects: OSCR and states, against counting by hand and by brute force."""

import numpy as np
import pytest

from negas.boxes import box_iou
from negas.metrics import (
    LabeledBoxes,
    object_states,
    oscr,
    oscr_curve,
    oscr_intervals,
    pair_boxes,
    paired_oscr_intervals,
)
from negas.metrics.objects import KNOWN_STATES, OSCR_METRICS, UNKNOWN_STATES, state_counts

NONE = -np.inf
A, B, C, D = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]
OFF = [200, 200, 210, 210]


def boxes(*rows, image=0):
    """Boxes of one image from (corners, label)."""
    return LabeledBoxes(
        np.full(len(rows), image), [box for box, _ in rows], np.array([x for _, x in rows], int)
    )


# --- pairs ----------------------------------------------------------------------------------------
def test_known_objects_are_found_by_their_own_boxes_unknown_ones_taken_by_any():
    truth = boxes((A, 0), (B, 1), (C, 2))  # K is 2, so C is unknown
    found = boxes((A, 0), (A, 1), (B, 0), (C, 0), (C, 1), (OFF, 0), (A, 0))
    pairs = pair_boxes(found, truth, 2)
    scores = np.array([0.3, 0.9, 0.8, 0.4, 0.5, 1.0, 0.6])
    reached = pairs.reached(scores[pairs.boxes])
    assert reached.tolist() == [0.6, NONE, 0.5], "B only has a box of another label"


def test_a_box_finds_the_object_of_its_label_that_it_overlaps_most():
    close = [2, 0, 12, 10]  # overlaps A by 2 / 3
    truth = boxes((A, 0), (close, 0), ([1, 0, 11, 10], 1))
    pairs = pair_boxes(boxes(([0, 0, 10, 10], 0)), truth, 1)
    assert pairs.reached(np.full(len(pairs.boxes), 0.7)).tolist() == [0.7, NONE, 0.7]


def test_an_overlap_must_exceed_the_bound_and_lie_in_the_same_image():
    truth = boxes((A, 1))
    half = boxes(([0, 0, 10, 5], 0))
    assert not len(pair_boxes(half, truth, 1).boxes)
    assert len(pair_boxes(half, truth, 1, iou=0.49).boxes) == 1
    assert not len(pair_boxes(boxes((A, 0), image=1), truth, 1).boxes)


def test_no_boxes_and_no_objects():
    nothing = LabeledBoxes([], np.zeros((0, 4)), np.zeros(0, int))
    assert pair_boxes(nothing, boxes((A, 0)), 1).reached(np.zeros(0)).tolist() == [NONE]
    assert pair_boxes(boxes((A, 0)), nothing, 1).reached(np.zeros(0)).tolist() == []


# --- OSCR -----------------------------------------------------------------------------------------
def test_oscr_counted_by_hand():
    result = oscr([0.9, 0.8, 0.6, 0.4, NONE], [0.7, 0.5, NONE, NONE])
    # of 20 pairs: 0.9 and 0.8 beat all four, 0.6 three, 0.4 two, the lost one none
    assert result.oscr == pytest.approx((4 + 4 + 3 + 2) / 20)
    assert (result.taken_at_50, result.taken_at_60) == (0.25, 0.25), "3 of 5 are at least 50%"
    assert result.taken_at_70 == 0.5, "4 of 5, at 0.4"
    assert (result.recall, result.taken, result.num_known, result.num_unknown) == (0.8, 0.5, 5, 4)


def test_ties_are_one_threshold_and_count_half():
    assert oscr([0.5], [0.5]).oscr == 0.5
    assert oscr([0.5, 0.5, 0.1], [0.5]).taken_at_50 == 1
    assert oscr([NONE], [NONE]).oscr == 0, "never found is lost"
    assert oscr([0.1], [NONE]).oscr == 1


def test_a_recall_that_no_threshold_reaches_has_no_share():
    result = oscr([0.9, 0.8, NONE, NONE], [0.1])
    assert result.taken_at_50 == 0 and np.isnan([result.taken_at_60, result.taken_at_70]).all()


def test_a_curve_without_a_found_object_stands_on_the_axis():
    recall, taken = oscr_curve([NONE], [0.5, NONE])
    assert (recall.tolist(), taken.tolist()) == ([0, 0], [0, 0.5])


def test_without_objects_of_a_kind_there_are_no_numbers():
    for known, unknown in (([], [0.5]), ([0.5], []), ([], [])):
        result = oscr(known, unknown).to_dict()
        assert np.isnan([result[key] for key in OSCR_METRICS]).all()
        with pytest.raises(ValueError, match="needs known and unknown objects"):
            oscr_curve(known, unknown)
    assert (oscr([], [0.5]).taken, np.isnan(oscr([], [0.5]).recall)) == (1, True)
    with pytest.raises(ValueError, match="NaN"):
        oscr([np.nan], [0.5])


@pytest.mark.parametrize("seed", range(8))
def test_the_curve_rises_from_nothing_to_everything_and_has_the_area(seed):
    rng = np.random.default_rng(seed)
    known, unknown = rng.normal(1, 1, 60).round(1), rng.normal(0, 1, 40).round(1)
    known[rng.random(60) < 0.2], unknown[rng.random(40) < 0.3] = NONE, NONE
    recall, taken = oscr_curve(known, unknown)
    assert (np.diff(recall) >= 0).all() and (np.diff(taken) >= 0).all()
    assert recall[0] == taken[0] == 0
    result = oscr(known, unknown)
    assert (recall[-1], taken[-1]) == (result.recall, result.taken)
    steps = (taken[1:] + taken[:-1]) / 2 * np.diff(recall)
    below = steps.sum() + (1 - result.recall)  # beyond, the share counts as 1
    assert result.oscr == pytest.approx(1 - below)
    assert oscr(3 * known + 1, 3 * unknown + 1) == result, "only the order counts"


@pytest.mark.parametrize("seed", range(6))
def test_brute_force_on_random_boxes(seed):
    """Threshold by threshold: which objects are found, with nothing but pairwise IoU."""
    rng = np.random.default_rng(seed)
    num_known, sides = 3, []
    for count in (160, 60):
        corner = rng.uniform(0, 30, (count, 2))
        sides.append(np.concatenate([corner, corner + rng.uniform(8, 20, (count, 2))], 1))
    truth = LabeledBoxes(rng.integers(0, 6, 60), sides[1], rng.integers(0, num_known + 1, 60))
    found = LabeledBoxes(rng.integers(0, 6, 160), sides[0], rng.integers(0, num_known, 160))
    scores = rng.random(160).round(2)
    pairs = pair_boxes(found, truth, num_known)
    reached = pairs.reached(scores[pairs.boxes])
    overlap = box_iou(found.bboxes, truth.bboxes)
    overlap[found.image_ids[:, None] != truth.image_ids[None]] = 0
    same = found.labels[:, None] == truth.labels[None]
    recalls, shares = [], []
    for threshold in np.unique(scores)[::-1]:
        hit = np.zeros(60, bool)
        for box in np.flatnonzero(scores >= threshold):
            hit |= (overlap[box] > 0.5) & (truth.labels == num_known)
            own = np.where(same[box], overlap[box], 0)
            if own.max() > 0.5:
                hit[own.argmax()] = True
        np.testing.assert_array_equal(hit, reached >= threshold)
        recalls.append(hit[truth.labels < num_known].mean())
        shares.append(hit[truth.labels == num_known].mean())
    known = truth.labels < num_known
    assert 5 < (reached[known] > 0).sum() < known.sum() and (reached[~known] > 0).any()
    result = oscr(reached[known], reached[~known])
    assert (result.recall, result.taken) == (recalls[-1], shares[-1])
    at_40 = (
        next(share for recall, share in zip(recalls, shares, strict=True) if recall >= 0.5)
        if (recalls[-1] >= 0.5)
        else np.nan
    )
    np.testing.assert_equal(result.taken_at_50, at_40)


# --- intervals ------------------------------------------------------------------------------------
def sample(seed=0, n=80, m=60):
    rng = np.random.default_rng(seed)
    known, unknown = rng.normal(1.5, 1, n), rng.normal(0, 1, m)
    known[: n // 8], unknown[: m // 3] = NONE, NONE
    return known, unknown, (np.arange(n) // 2, n // 2 + np.arange(m) // 3), (n // 2, m // 3)


def test_intervals_are_those_of_objects_resampled_image_by_image():
    known, unknown, images, sizes = sample()
    made = oscr_intervals(known, unknown, images, sizes, n=300, seed=3)
    rng, draws = np.random.default_rng(11), []
    for _ in range(300):
        first = rng.integers(0, sizes[0], sizes[0])
        second = sizes[0] + rng.integers(0, sizes[1], sizes[1])
        drawn = oscr(
            np.concatenate([known[images[0] == i] for i in first]),
            np.concatenate([unknown[images[1] == i] for i in second]),
        )
        draws.append([getattr(drawn, key) for key in OSCR_METRICS])
    for i, key in enumerate(OSCR_METRICS):
        assert made[key].value == getattr(oscr(known, unknown), key)
        assert made[key].std == pytest.approx(np.std(np.array(draws)[:, i]), rel=0.25)
        assert made[key].low <= made[key].value <= made[key].high


def test_intervals_repeat_with_their_seed_and_leave_the_global_state_alone():
    state = np.random.get_state()[1].copy()
    first, again = (oscr_intervals(*sample(), n=20, seed=1) for _ in range(2))
    assert first == again != oscr_intervals(*sample(), n=20, seed=2)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    for wrong in (dict(n=0), dict(level=1)):
        with pytest.raises(ValueError, match="n >= 1 and 0 < level < 1"):
            oscr_intervals(*sample(), **wrong)


def test_a_draw_that_does_not_reach_the_recall_counts_as_one():
    known = np.r_[np.full(31, 0.5), np.full(29, NONE)]  # about half of the draws are below 50%
    made = oscr_intervals(known, np.full(9, 0.1), (np.arange(60), np.full(9, 60)), (60, 1), n=200)
    assert made["taken_at_50"].value == 0 and made["taken_at_50"].high == 1
    assert np.isnan([made["taken_at_70"].value, made["taken_at_70"].low]).all()
    assert made["oscr"].low < made["oscr"].value < made["oscr"].high


def test_draws_without_an_object_of_a_kind_are_left_out():
    made = oscr_intervals(np.array([0.9]), np.array([0.1]), ([0], [2]), (2, 2), n=50)
    assert (made["oscr"].low, made["oscr"].high) == (1, 1)
    lost = oscr_intervals(np.zeros(0), np.array([0.1]), (np.zeros(0, int), [0]), (0, 1), n=5)
    assert np.isnan(lost["oscr"].low)


def test_differences_are_those_of_objects_resampled_image_by_image():
    known, unknown, images, sizes = sample()
    other = known + np.random.default_rng(5).normal(0.3, 0.1, len(known))
    sides = (known, unknown), (other, unknown - 0.1)
    made = paired_oscr_intervals(*sides, images, sizes, n=300, seed=3)
    rng, draws = np.random.default_rng(11), []
    for _ in range(300):
        first = rng.integers(0, sizes[0], sizes[0])
        second = sizes[0] + rng.integers(0, sizes[1], sizes[1])
        places = [
            np.concatenate([np.flatnonzero(at == i) for i in drawn])
            for at, drawn in zip(images, (first, second), strict=True)
        ]
        one, two = (oscr(*(x[at] for x, at in zip(s, places, strict=True))) for s in sides)
        draws.append([getattr(two, key) - getattr(one, key) for key in OSCR_METRICS])
    one, two = (oscr(*side) for side in sides)
    for i, key in enumerate(OSCR_METRICS):
        assert made[key].value == pytest.approx(getattr(two, key) - getattr(one, key))
        assert made[key].std == pytest.approx(np.std(np.array(draws)[:, i]), rel=0.25)
    assert made["oscr"].low > 0 > made["taken_at_60"].value
    back = paired_oscr_intervals(*sides[::-1], images, sizes, n=300, seed=3)
    assert back["oscr"].low == pytest.approx(-made["oscr"].high)
    alone = oscr_intervals(*sides[0], images, sizes, n=300, seed=3)
    assert made["oscr"].std < 0.6 * alone["oscr"].std, "what both find hard cancels"


def test_a_run_differs_nowhere_from_itself_and_not_at_all_from_other_objects():
    known, unknown, images, sizes = sample()
    made = paired_oscr_intervals((known, unknown), (known, unknown), images, sizes, n=20)
    assert {(one.low, one.value, one.high) for one in made.values()} == {(0, 0, 0)}
    with pytest.raises(ValueError, match="same known and unknown objects"):
        paired_oscr_intervals((known, unknown), (known[1:], unknown), images, sizes)


# --- states ---------------------------------------------------------------------------------------
def states(found, truth, shown, verdicts, unknown_boxes=None):
    pairs = pair_boxes(found, truth, truth.labels.max())
    ranks = object_states(
        pairs, np.array(shown)[pairs.boxes], np.array(verdicts)[pairs.boxes], unknown_boxes
    )
    return [
        (KNOWN_STATES if known else UNKNOWN_STATES)[rank]
        for known, rank in zip(pairs.known, ranks, strict=True)
    ]


def test_every_object_has_exactly_one_state():
    places = [[30 * i, 0, 30 * i + 10, 10] for i in range(9)]
    truth = boxes(*((place, 0 if i < 5 else 2) for i, place in enumerate(places)))
    found = boxes(
        (places[0], 0),  # known object: a known box of its label, and one of another
        (places[0], 1),
        (places[1], 1),  # another label only, besides a box called unknown
        (places[1], 0),
        (places[2], 0),  # called unknown
        (places[3], 0),  # below the cut
        (places[5], 1),  # unknown object: a known box, and one called unknown
        (places[5], 0),
        (places[6], 0),  # called unknown
        (places[7], 0),  # below the cut
    )
    shown = [1, 1, 1, 1, 1, 0, 1, 1, 1, 0]
    verdicts = [1, 1, 1, 0, 0, 1, 1, 0, 0, 1]
    shown, verdicts = np.array(shown, bool), np.array(verdicts, bool)
    expected = ["right", "wrong_label", "called_unknown", "missed", "missed"]
    expected += ["taken", "flagged", "not_found", "not_found"]
    assert states(found, truth, shown, verdicts) == expected
    further = boxes(*((places[i], -1) for i in (0, 3, 5, 6, 7)))
    expected[3], expected[7] = "called_unknown", "found"
    assert states(found, truth, shown, verdicts, further) == expected


def test_a_box_of_the_right_label_that_finds_another_object_is_no_wrong_label():
    close = [2, 0, 12, 10]
    truth = boxes((A, 0), (close, 0), (OFF, 1))
    assert states(boxes((A, 0)), truth, [True], [True]) == ["right", "missed", "not_found"]


def test_below_all_thresholds_every_object_with_a_box_counts():
    rng = np.random.default_rng(0)
    truth = boxes((A, 0), (B, 1), (C, 1), (D, 1))
    found = boxes((A, 0), (B, 0), (C, 0))
    pairs = pair_boxes(found, truth, 1)
    every = np.ones(len(pairs.boxes), bool)
    assert state_counts(object_states(pairs, every, every)) == [3, 0, 0, 1]
    assert state_counts(object_states(pairs, ~every, every)) == [0, 0, 0, 4]
    result = oscr(*(pairs.reached(rng.random(3))[side] for side in (pairs.known, ~pairs.known)))
    assert (result.recall, result.taken) == (1, pytest.approx(2 / 3))
