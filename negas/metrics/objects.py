"""What becomes of annotated objects; and OSCR: how many unknown ones are taken at equal recall.

FPR95 and AUROC compare the boxes that a detector keeps: one that stops firing on unknown objects is
not rewarded by them. Here the objects are counted. Boxes carry known labels; a box lies on an
object if their IoU exceeds the bound (0.5). Which box lies on which object depends on no score, so
it is found once (:func:`pair_boxes`) and serves every score and threshold.

Shape letters: N boxes, M objects, P pairs of a box and an object that it lies on.
Source: Dhamija et al., Reducing Network Agnostophobia, NeurIPS 2018 (OSCR), on objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np

from negas.boxes import box_iou

from .bootstrap import Interval, check_draws, image_draws, percentile_intervals
from .matching import rows_by_image
from .open_set import LabeledBoxes
from .roc import required_count

RECALLS = (0.5, 0.6, 0.7)  # of known objects, at which the share of unknown ones is read
_DRAWS = 64  # of a bootstrap at once: their weights stay in the cache
OSCR_METRICS = ("oscr", *(f"taken_at_{round(100 * recall)}" for recall in RECALLS))
OBJECT_COUNTS = ("objects_known", "objects_unknown")  # that OSCR looks at, in a row of results
KNOWN_STATES = ("right", "wrong_label", "called_unknown", "missed")
UNKNOWN_STATES = ("taken", "flagged", "found", "not_found")


@dataclass(frozen=True, eq=False)
class ObjectPairs:
    """Which boxes lie on which objects of one set.

    Attributes:
        objects: the M objects; label K is unknown.
        boxes: int ``[P]``, the row of each pair's box.
        places: int ``[P]``, the row of its object.
        same: bool ``[P]``, whether they have the same label.
        own: bool ``[P]``, whether the object is the one of the box's label that the box overlaps
            most, so that the box can find it.
        known: bool ``[M]``, objects with an ID label.
    """

    objects: LabeledBoxes
    boxes: np.ndarray
    places: np.ndarray
    same: np.ndarray
    own: np.ndarray
    known: np.ndarray

    def reached(self, values: np.ndarray) -> np.ndarray:
        """The largest threshold at which each object is found or taken for known, ``[M]``.

        A known object is found by a box that is its own, an unknown one is taken for known by any
        box on it; ``-inf``: by none.

        Args:
            values: score of each pair's box ``[P]``, larger = known.
        """
        counts = self.own | ~self.known[self.places]
        best = np.full(len(self.known), -np.inf)
        np.maximum.at(best, self.places[counts], values[counts])
        return best


def pair_boxes(
    boxes: LabeledBoxes, objects: LabeledBoxes, num_known: int, iou: float = 0.5
) -> ObjectPairs:
    """Find which boxes lie on which objects.

    Args:
        boxes: with labels 0..K-1.
        objects: label ``num_known`` is unknown.
        num_known: K.
        iou: the overlap to exceed.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    known = objects.labels < num_known
    things_of = rows_by_image(objects.image_ids, np.arange(len(objects.labels)))
    for image, rows in rows_by_image(boxes.image_ids, np.arange(len(boxes.labels))).items():
        things = things_of.get(image)
        if things is None:
            continue
        overlap = box_iou(boxes.bboxes[rows], objects.bboxes[things])
        same = boxes.labels[rows][:, None] == objects.labels[things][None]
        own = np.zeros_like(same)
        own[np.arange(len(rows)), np.where(same, overlap, -1).argmax(axis=1)] = True
        box, thing = np.nonzero(overlap > iou)
        parts.append((rows[box], things[thing], same[box, thing], (own & same)[box, thing]))
    if not parts:
        rows, flags = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        return ObjectPairs(objects, rows, rows, flags, flags, known)
    return ObjectPairs(objects, *map(np.concatenate, zip(*parts, strict=True)), known)


# --- OSCR -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class OSCRResult:
    """Known objects found and unknown objects taken for known, as one threshold runs.

    NaN where there are no known or no unknown objects. All but counts in [0, 1].

    Attributes:
        oscr: area over the curve of the share taken (y) against recall (x): the probability that
            a known object is found at a threshold at which an unknown one is not yet taken, ties
            one half. Beyond the largest recall the share counts as 1, so an object that is never
            found counts as lost. This is Dhamija's area, with recall over share.
        taken_at_50: share of unknown objects taken for known, at the largest threshold that finds
            at least 50% of the known ones; NaN if no threshold does. ``_60``, ``_70`` likewise.
        recall: of known objects, at the lowest threshold.
        taken: share of unknown objects, there.
        num_known: known objects.
        num_unknown: unknown objects.
    """

    oscr: float
    taken_at_50: float
    taken_at_60: float
    taken_at_70: float
    recall: float
    taken: float
    num_known: int
    num_unknown: int

    def to_dict(self) -> dict[str, float | int]:
        """All fields as plain numbers."""
        return asdict(self)


def oscr(known: np.ndarray, unknown: np.ndarray) -> OSCRResult:
    """OSCR from :meth:`ObjectPairs.reached` of known ``[n]`` and unknown ``[m]`` objects.

    Raises:
        ValueError: a value is NaN.
    """
    steps = _Steps(known, unknown)
    (numbers,) = steps.numbers(*steps.once).tolist()
    recall, taken = (
        float(np.isfinite(side).mean()) if len(side) else float("nan")
        for side in (steps.known, steps.unknown)
    )
    return OSCRResult(*numbers, recall, taken, len(steps.known), len(steps.unknown))


def oscr_curve(known: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall of known objects and share of unknown ones taken, ``[T]`` each, from (0, 0) upwards.

    Straight lines between the points give :attr:`OSCRResult.oscr`.

    Raises:
        ValueError: a value is NaN, or there are no known or no unknown objects.
    """
    steps = _Steps(known, unknown)
    if not len(steps.known) or not len(steps.unknown):
        raise ValueError("an OSCR curve needs known and unknown objects.")
    (found,), (above,), (taken,) = steps.counts(*steps.once)
    found = np.r_[0, found]
    x = np.r_[0, np.stack([found[:-1], found[1:]], 1).ravel(), found[-1]]
    y = np.r_[0, np.stack([above, taken], 1).ravel(), np.isfinite(steps.unknown).sum()]
    return x / len(steps.known), y / len(steps.unknown)


def oscr_intervals(
    known: np.ndarray,
    unknown: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    sizes: Sequence[int],
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Percentile intervals of :data:`OSCR_METRICS` over draws of whole images, set by set.

    A draw that does not reach a recall counts as share 1, as the area does; NaN where the value
    itself is.

    Args:
        known: as :func:`oscr` takes it.
        unknown: likewise.
        images: number of each known and each unknown object's image; those of the sets that are
            drawn independently follow each other.
        sizes: images of each of these sets.
        n: number of draws.
        seed: of the draws; the global random state is not touched.
        level: coverage.

    Raises:
        ValueError: a value is NaN, or ``n`` or ``level`` cannot be.
    """
    return _oscr_intervals([(known, unknown)], images, sizes, n, seed, level)


def paired_oscr_intervals(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    images: tuple[np.ndarray, np.ndarray],
    sizes: Sequence[int],
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """:func:`oscr_intervals` of the differences second - first of two runs on the same objects.

    Each draw takes the same images for both, those of :func:`negas.metrics.paired_bootstrap` with
    the same sizes and seed. ``oscr`` above 0, ``taken_at_60`` below 0: the second is better.

    Args:
        first: known ``[n]`` and unknown ``[m]`` objects, as :func:`oscr` takes them.
        second: the same objects in the other run.
        images: see :func:`oscr_intervals`.
        sizes: see :func:`oscr_intervals`.
        n: number of draws.
        seed: of the draws.
        level: coverage.

    Raises:
        ValueError: as :func:`oscr_intervals`, or the runs have not equally many objects.
    """
    if [len(side) for side in first] != [len(side) for side in second]:
        raise ValueError("the two runs must have the same known and unknown objects.")
    return _oscr_intervals([second, first], images, sizes, n, seed, level)


def _oscr_intervals(
    runs: Sequence[tuple[np.ndarray, np.ndarray]],
    images: tuple[np.ndarray, np.ndarray],
    sizes: Sequence[int],
    n: int,
    seed: int,
    level: float,
) -> dict[str, Interval]:
    """Of the numbers of one run, or of the first minus those of the second."""
    check_draws(n, level)
    runs = [_Steps(*run) for run in runs]
    values = [run.numbers(*run.once)[0] for run in runs]
    parts: list[list[np.ndarray]] = [[] for _ in runs]
    draw = image_draws(sizes, n, seed)
    while draws := list(islice(draw, _DRAWS)):
        times = np.stack([np.concatenate(each) for each in draws])
        weights = [times[:, side] for side in images]
        for run, part in zip(runs, parts, strict=True):
            part.append(run.numbers(*weights))
    found = [np.concatenate(part) for part in parts]
    kept = ~np.isnan(found[0][:, 0])  # not draws without any object of a kind
    if not kept.any():
        return dict.fromkeys(OSCR_METRICS, Interval(*[float("nan")] * 4))
    drawn = [np.where(np.isnan(each[kept]), 1.0, each[kept]) for each in found]
    value, drawn = (each[0] - each[1] if len(runs) > 1 else each[0] for each in (values, drawn))
    drawn[:, np.isnan(value)] = np.nan
    return dict(zip(OSCR_METRICS, percentile_intervals(value, drawn, level), strict=True))


class _Steps:
    """The thresholds that find known objects, and the numbers for objects counted so often.

    Attributes:
        known: thresholds ``[n]``.
        unknown: thresholds ``[m]``.
        once: weights ``[1, n]`` and ``[1, m]`` that count each object once.
    """

    def __init__(self, known: np.ndarray, unknown: np.ndarray) -> None:
        self.known, self.unknown = (np.asarray(x, dtype=np.float64) for x in (known, unknown))
        if np.isnan(self.known).any() or np.isnan(self.unknown).any():
            raise ValueError("an object's score is NaN; -inf stands for no box.")
        self.once = tuple(np.ones((1, len(side))) for side in (self.known, self.unknown))
        falling = np.unique(-self.known[self.known > -np.inf])  # negated, so ascending
        self.orders = [np.argsort(-side, kind="stable") for side in (self.known, self.unknown)]
        ranked = [
            -side[order]
            for side, order in zip((self.known, self.unknown), self.orders, strict=True)
        ]
        self.found = np.searchsorted(ranked[0], falling, "right")
        self.above, self.taken = (np.searchsorted(ranked[1], falling, s) for s in ("left", "right"))

    def counts(self, known: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, ...]:
        """Known objects that reach each threshold, unknown ones that exceed and that reach it.

        ``[D, T]`` each, thresholds falling, from weights ``[D, n]`` and ``[D, m]``.
        """
        summed = [
            np.cumsum(np.pad(weights[:, order], ((0, 0), (1, 0))), axis=1)
            for weights, order in zip((known, unknown), self.orders, strict=True)
        ]
        return summed[0][:, self.found], summed[1][:, self.above], summed[1][:, self.taken]

    def numbers(self, known: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """:data:`OSCR_METRICS` ``[D, 4]`` of D draws, from weights ``[D, n]`` and ``[D, m]``."""
        num_known, num_unknown = known.sum(axis=1), unknown.sum(axis=1)
        numbers = np.full((len(known), len(OSCR_METRICS)), np.nan)
        kept = (num_known > 0) & (num_unknown > 0)
        known, unknown, num_known, num_unknown = (
            each[kept] for each in (known, unknown, num_known, num_unknown)
        )
        found, above, taken = self.counts(known, unknown)
        first = np.diff(found, axis=1, prepend=0)
        won = num_unknown[:, None] - (above + taken) / 2
        made = [(first * won).sum(axis=1) / num_known / num_unknown]
        taken = np.pad(taken, ((0, 0), (0, 1)), constant_values=np.nan)  # where none reaches
        for recall in RECALLS:
            needed = required_count(recall, num_known.astype(np.int64))
            place = (found < needed[:, None]).sum(axis=1)
            made.append(taken[np.arange(len(taken)), place] / num_unknown)
        numbers[kept] = np.stack(made, axis=1)
        return numbers


# --- what becomes of each object ------------------------------------------------------------------
def object_states(
    pairs: ObjectPairs,
    shown: np.ndarray,
    verdicts: np.ndarray,
    unknown_boxes: LabeledBoxes | None = None,
    iou: float = 0.5,
) -> np.ndarray:
    """What becomes of each object at one threshold, ``[M]``; exactly one state each.

    Known objects, as indices into :data:`KNOWN_STATES`: ``right``, a known box of its label finds
    it; else ``wrong_label``, a known box of another label lies on it; else ``called_unknown``, only
    boxes that are called unknown do; else ``missed``. Unknown objects, into
    :data:`UNKNOWN_STATES`: ``taken``, a known box lies on it; else ``flagged``, a box with an ID
    label that is called unknown does; else ``found``, an unknown box does; else ``not_found``.

    Args:
        pairs: of the boxes with ID labels.
        shown: bool ``[P]``, whether the pair's box is over the confidence cut.
        verdicts: bool ``[P]``, whether it is called known.
        unknown_boxes: further boxes without an ID label, such as those of a vocabulary; they count
            as called unknown. Labels and scores are not looked at.
        iou: the overlap that these exceed.
    """
    count = len(pairs.known)

    def any_of(mask: np.ndarray) -> np.ndarray:
        found = np.zeros(count, dtype=bool)
        found[pairs.places[mask]] = True
        return found

    called = shown & verdicts
    right, wrong = any_of(called & pairs.own), any_of(called & ~pairs.same)
    flagged, found = any_of(shown & ~verdicts), np.zeros(count, dtype=bool)
    if unknown_boxes is not None:
        found[_lain_on(unknown_boxes, pairs.objects, iou)] = True
    ranks = np.where(
        pairs.known,
        np.select([right, wrong, flagged | found], [0, 1, 2], 3),
        np.select([wrong, flagged, found], [0, 1, 2], 3),  # no box has the label "unknown"
    )
    return ranks.astype(np.int64)


def _lain_on(boxes: LabeledBoxes, objects: LabeledBoxes, iou: float) -> np.ndarray:
    """Rows of the objects on which a box lies."""
    label = np.zeros(len(boxes.labels), dtype=np.int64)
    plain = LabeledBoxes(boxes.image_ids, boxes.bboxes, label)
    return pair_boxes(plain, objects, 0, iou).places


def state_counts(states: np.ndarray) -> list[int]:
    """How many objects are in each of the four states."""
    return np.bincount(states, minlength=len(UNKNOWN_STATES)).tolist()
