"""Objects of a run: OSCR of every score, and what becomes of each annotated object.

ID images and those of one OOD set together, as in the open-set metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

import numpy as np

from negas.evaluation.recorded import Recorded
from negas.evaluation.unknown.boxes import unknown_boxes_of
from negas.metrics import LabeledBoxes, ObjectPairs, object_states, oscr, oscr_intervals, pair_boxes
from negas.metrics.objects import (
    KNOWN_STATES,
    OBJECT_COUNTS,
    OSCR_METRICS,
    UNKNOWN_STATES,
    state_counts,
)
from negas.metrics.open_set import Treatment, truth_boxes
from negas.records import ID


def objects_of(
    run: Recorded, name: str, crowd: Treatment = "left_out", difficult: Treatment = "objects"
) -> LabeledBoxes:
    """Annotated objects of the images of a set that were looked at; every other class is unknown.

    Args:
        run: with annotations.
        name: of the set.
        crowd: see :func:`negas.metrics.truth_boxes`.
        difficult: see ``crowd``.

    Raises:
        FileNotFoundError: its annotations do not exist.
    """
    key = (name, crowd, difficult)
    if key not in run.objects:
        truth = truth_boxes(run.truth(name), run.id_labels, crowd, difficult)
        seen = np.isin(truth.image_ids.astype(str), run.records[name].images.astype(str))
        parts = ("image_ids", "bboxes", "labels", "ignored", "names")
        run.objects[key] = replace(truth, **{part: getattr(truth, part)[seen] for part in parts})
    return run.objects[key]


def pairs_of(run: Recorded, name: str) -> ObjectPairs:
    """Recorded boxes of a set and the objects that they lie on; found once per run.

    Raises:
        FileNotFoundError: its annotations do not exist.
    """
    if name not in run.pairs:
        records, objects = run.records[name], objects_of(run, name)
        boxes = LabeledBoxes(records.image_ids.astype(str), records.bboxes, records.labels)
        objects = replace(objects, image_ids=objects.image_ids.astype(str))
        run.pairs[name] = pair_boxes(boxes, objects, len(run.id_labels))
    return run.pairs[name]


def paired_rows_of(run: Recorded, ood_sets: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Rows ``[R]`` of the records that lie on an object, ascending, of the ID set and OOD sets.

    Args:
        run: detections of one run.
        ood_sets: ``None``: all. A set whose annotations do not exist has no such row.

    Raises:
        ValueError: annotations cannot be read.
    """
    found = {}
    for name in (ID, *(run.ood_sets if ood_sets is None else ood_sets)):
        try:
            found[name] = np.unique(pairs_of(run, name).boxes)
        except FileNotFoundError:
            found[name] = np.zeros(0, dtype=np.int64)
    return found


def reached_objects(
    run: Recorded, values: Mapping[str, np.ndarray], name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Largest threshold that finds each known, and takes each unknown object for known.

    Args:
        run: with annotations of the ID set and the OOD set.
        values: scores of the rows of :func:`paired_rows_of`, by set.
        name: of the OOD set.

    Returns:
        Known ``[n]`` and unknown ``[m]`` objects' thresholds (``-inf``: none), and the number of
        the image of each; those of the OOD set follow the ID set's.
    """
    parts, offset = [], 0
    for each in (ID, name):
        pairs = pairs_of(run, each)
        best = pairs.reached(values[each][np.searchsorted(np.unique(pairs.boxes), pairs.boxes)])
        images = run.records[each].images.astype(str)
        order = np.argsort(images)
        at = order[np.searchsorted(images, pairs.objects.image_ids, sorter=order)] + offset
        parts.append((best[pairs.known], best[~pairs.known], at[pairs.known], at[~pairs.known]))
        offset += len(images)
    known, unknown, known_at, unknown_at = map(np.concatenate, zip(*parts, strict=True))
    return known, unknown, known_at, unknown_at


def has_objects(run: Recorded, name: str) -> bool:
    """Whether the ID set and an OOD set have annotations; they may be empty."""
    return ID in run.pairs and name in run.pairs


def oscr_numbers(
    run: Recorded, values: Mapping[str, np.ndarray], name: str, draws: int, seed: int
) -> tuple[dict[str, float], dict[str, dict]]:
    """:data:`~negas.metrics.objects.OSCR_METRICS` of one score on an OOD set, and intervals.

    With them go the counts of objects, ``objects_known`` and ``objects_unknown`` (0 without
    annotations). NaN without objects of a kind; intervals are empty without draws.

    Args:
        run: whose boxes were paired by :func:`paired_rows_of`.
        values: scores of those rows, by set.
        name: of the OOD set.
        draws: of whole images, ID and OOD images apart; 0: no intervals.
        seed: of the draws.
    """
    if not has_objects(run, name):
        return dict.fromkeys(OSCR_METRICS, float("nan")) | dict.fromkeys(OBJECT_COUNTS, 0), {}
    known, unknown, *images = reached_objects(run, values, name)
    numbers = oscr(known, unknown).to_dict()
    intervals = {}
    if draws:
        sizes = [len(run.records[each].images) for each in (ID, name)]
        made = oscr_intervals(known, unknown, tuple(images), sizes, draws, seed)
        intervals = {key: asdict(interval) for key, interval in made.items()}
    counts = dict(zip(OBJECT_COUNTS, (len(known), len(unknown)), strict=True))
    return {key: numbers[key] for key in OSCR_METRICS} | counts, intervals


def states_of(
    run: Recorded, values: Mapping[str, np.ndarray], name: str, cut: float, tau: float
) -> np.ndarray:
    """What becomes of each object of a set, see :func:`negas.metrics.object_states`, ``[M]``.

    Args:
        run: whose boxes were paired by :func:`paired_rows_of`.
        values: scores of those rows, by set.
        name: of the set.
        cut: least confidence of a box.
        tau: least score of a known box.
    """
    pairs = pairs_of(run, name)
    verdicts = values[name][np.searchsorted(np.unique(pairs.boxes), pairs.boxes)] >= tau
    shown = run.records[name].scores[pairs.boxes] >= np.float32(cut)
    further = unknown_boxes_of(run).get(name)
    if further is not None:
        further = replace(further, image_ids=further.image_ids.astype(str))
    return object_states(pairs, shown, verdicts, further)


def object_counts(
    run: Recorded, values: Mapping[str, np.ndarray], name: str, cut: float, tau: float
) -> dict:
    """Counts of :func:`states_of` on the ID set and an OOD set together.

    Returns:
        ``known`` and ``unknown``, counts by state; ``unknown_by_class``, the same by class name;
        ``unknown_seen`` and ``unknown_unseen``, the same by whether the annotations say that the
        class was in the detector's pre-training (absent where they do not); ``tau``.
    """
    sides = [(pairs_of(run, each), states_of(run, values, each, cut, tau)) for each in (ID, name)]
    known = np.concatenate([states[pairs.known] for pairs, states in sides])
    unknown = np.concatenate([states[~pairs.known] for pairs, states in sides])
    names = np.concatenate([pairs.objects.names[~pairs.known] for pairs, _ in sides])
    found = dict(
        tau=tau,
        known=_by_state(KNOWN_STATES, known),
        unknown=_by_state(UNKNOWN_STATES, unknown),
        unknown_by_class={
            str(each): _by_state(UNKNOWN_STATES, unknown[names == each])
            for each in np.unique(names)
        },
    )
    seen = seen_classes(run, ID) | seen_classes(run, name)
    if seen.keys() >= set(names.tolist()) and len(names):
        was = np.array([seen[each] for each in names.tolist()])
        found["unknown_seen"] = _by_state(UNKNOWN_STATES, unknown[was])
        found["unknown_unseen"] = _by_state(UNKNOWN_STATES, unknown[~was])
    return found


def seen_classes(run: Recorded, name: str) -> dict[str, bool]:
    """Whether each class of a set was in pre-training, where its annotations say so."""
    categories = run.truth(name).dataset["categories"]
    return {c["name"]: c["seen"] for c in categories if isinstance(c.get("seen"), bool)}


def _by_state(names: tuple[str, ...], states: np.ndarray) -> dict[str, int]:
    return dict(zip(names, state_counts(states), strict=True))
