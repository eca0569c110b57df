"""What the vocabulary finds of a run's unknown objects, and what that costs on ID test images.

All from the cells in the records. Shapes: n unknown objects found, M annotated ones, V words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from negas.boxes import box_iou, centers_in
from negas.coco_json import unlabelled_objects
from negas.labels.names import used_categories
from negas.labels.vocabulary import Vocabulary
from negas.metrics import LabeledBoxes, pair_boxes
from negas.metrics.bootstrap import draw_counts, percentile_intervals
from negas.metrics.controls import rotated_bank
from negas.metrics.matching import rows_by_image
from negas.records import ID
from negas.unknown.thresholds import LEAST, AnnotatedObjects, ThresholdOptions, UnknownThreshold

from ..objects.object_rows import objects_of, seen_classes
from ..recorded import Recorded
from .boxes import UnknownBoxes, find_by_groups
from .threshold import Validation, annotated_objects, kept_words, threshold_of

ALL, WITHOUT_OOD, SEEN_WORDS, OTHER_WORDS = "all", "without_ood", "seen_words", "other_words"
PLAIN, ROTATED, REFITTED = "none", "rotated", "rotated_refitted"
KINDS = ("known", "unknown", "elsewhere")  # what an unknown object of an ID image lies on
RECALLS = ("recall", "recall_seen", "recall_unseen")
NUMBERS = (*RECALLS, *(f"id_{kind}" for kind in KINDS), "words", "score_thr")
SIZES = (20, 40, 80, 160, 320, 640, 1000)  # numbers of words of the curve, and all of them
FALSE_BOXES = np.linspace(0, 2, 41)  # an ID image, where the curve of recall is read
IOU = 0.5  # a box lies on what it overlaps more


def unknown_section(run: Recorded, draws: int = 1000, rotations: int = 0, seed: int = 0) -> dict:
    """Rows and curves of a run's unknown objects; empty without cells or a threshold.

    Args:
        run: a finished test.
        draws: of whole images for the intervals; 0: none.
        rotations: draws of the rotated vocabulary; 0: no such rows.
        seed: of both.

    Returns:
        ``rows`` (:func:`vocabulary_rows`) and ``curves`` (:func:`curves_of`).

    Raises:
        ValueError: annotations or records cannot be read.
    """
    if "threshold" not in (run.results or {}).get("unknown", {}) or not run.has_cells:
        return {}
    rows = vocabulary_rows(run, draws, rotations, seed)
    return dict(rows=rows, curves=curves_of(run)) if rows else {}


def vocabulary_rows(
    run: Recorded, draws: int = 1000, rotations: int = 0, seed: int = 0
) -> list[dict]:
    """A row for each OOD set and part of the vocabulary, all at the threshold of the run.

    Parts: ``all`` kept words; ``without_ood``, without those that name a class of the set
    (:meth:`negas.labels.Vocabulary.without`); ``seen_words`` and ``other_words``, those that the
    text tower was trained on and the others, where the run tells. Controls: ``rotated``, the
    vocabulary turned at random, at the same threshold; ``rotated_refitted``, with hot words and
    threshold found anew on ID validation for it, at the limits of the run.

    Args:
        run: with cells and a threshold.
        draws: see :func:`unknown_section`.
        rotations: see :func:`unknown_section`.
        seed: see :func:`unknown_section`.

    Returns:
        Rows with ``ood_set, vocabulary, control, words`` (how many), ``score_thr``, ``recall`` of
        unknown objects (IoU over 0.5) with its ``interval`` (``None`` without draws),
        ``recall_seen`` and ``recall_unseen`` by classes of pre-training (``None`` where the
        annotations do not say), ``num_unknown, num_seen, num_unseen``, and boxes per ID test image:
        ``id_known``, ``id_unknown`` and ``id_elsewhere`` (``None`` without annotations). Controls
        are means of ``draws``, with ``recall_std``. A set without annotations has no row.
    """
    threshold, columns = threshold_of(run), np.array(kept_words(run))
    targets, id_objects = _targets(run), _id_objects(run)
    if not targets:
        return []
    parts = {(name, part): g for name in targets for part, g in _parts(run, columns, name).items()}
    groups = [group for _, group in _distinct(parts)]
    least = threshold.score_thr
    counted = _counted(run, threshold.id_cut, groups, least, targets, id_objects)
    place = {key: i for i, (keys, _) in enumerate(_distinct(parts)) for key in keys}
    rows = []
    for name, target in targets.items():
        for (of, part), group in parts.items():
            if of == name:
                found, on_id = counted[name][place[of, part]], counted[ID][place[of, part]]
                row = _row(name, part, PLAIN, len(group), least)
                rows.append(row | target.numbers(found, draws, seed) | on_id)
    controls = _controls(run, threshold, targets, id_objects, rotations, seed)
    return [row for name in targets for row in (*rows, *controls) if row["ood_set"] == name]


def curves_of(run: Recorded) -> dict:
    """Recall of unknown objects against false boxes on ID images, and against numbers of words.

    Returns:
        ``false_boxes``: for each OOD set and part of the vocabulary (``all``, ``without_ood``)
        ``points`` of [false boxes per ID test image, recall], and ``at``, that of the run's
        threshold; false is every box but those on annotated unknown objects. ``words``: for the
        first M words of the vocabulary ``words`` (M), how many are ``kept``, the ``score_thr`` that
        ID validation gives them at the limits of the run, ``recall`` by OOD set, and
        ``false_boxes``. Either is empty where the annotations that it needs are not there.
    """
    threshold, columns = threshold_of(run), np.array(kept_words(run))
    targets, id_objects = _targets(run), _id_objects(run)
    if id_objects is None or not targets:
        return dict(false_boxes=[], words=[])
    return dict(
        false_boxes=_false_box_curves(run, threshold, columns, targets, id_objects),
        words=_word_curve(run, threshold, targets, id_objects),
    )


# --- what is annotated ----------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Target:
    """The annotated unknown objects of an OOD set.

    Attributes:
        objects: M, image ids as texts.
        images: ids of all images that were looked at, as texts.
        seen: whether the class of each was in pre-training, bool ``[M]``; ``None``: not told.
    """

    objects: LabeledBoxes
    images: np.ndarray
    seen: np.ndarray | None

    def reached(self, found: UnknownBoxes) -> np.ndarray:
        """The largest threshold at which each object is found, ``[M]``; ``-inf``: none."""
        boxes = LabeledBoxes(
            found.image_ids.astype(str), found.bboxes, np.zeros(len(found.scores), np.int64)
        )
        pairs = pair_boxes(boxes, self.objects, 0, IOU)
        best = np.full(len(self.objects.labels), -np.inf)
        np.maximum.at(best, pairs.places, found.scores[pairs.boxes])
        return best

    def numbers(self, found: UnknownBoxes, draws: int, seed: int) -> dict:
        """Recalls and counts of a row."""
        hit = self.reached(found) > -np.inf
        row = dict(recall=_share(hit), interval=self._interval(hit, draws, seed))
        row |= dict(num_unknown=len(hit), num_seen=None, num_unseen=None)
        row |= dict(recall_seen=None, recall_unseen=None)
        if self.seen is not None:
            for name, of in (("seen", self.seen), ("unseen", ~self.seen)):
                row |= {f"recall_{name}": _share(hit[of]), f"num_{name}": int(of.sum())}
        return row

    def _interval(self, hit: np.ndarray, draws: int, seed: int) -> dict | None:
        if not draws or not len(hit):
            return None
        order = np.argsort(self.images)
        at = order[np.searchsorted(self.images, self.objects.image_ids, sorter=order)]
        count, generator = len(self.images), np.random.default_rng(seed)
        hits, all_of = (np.bincount(each, minlength=count) for each in (at[hit], at))
        drawn = []
        for _ in range(draws):
            weights = draw_counts(count, generator)
            if total := weights @ all_of:
                drawn.append((weights @ hits / total,))
        (found,) = percentile_intervals((_share(hit),), drawn, 0.95)
        return dict(low=found.low, high=found.high, level=0.95, num_draws=draws)


def _targets(run: Recorded) -> dict[str, Target]:
    """Unknown objects of each OOD set that has any annotated."""
    found = {}
    for name in run.ood_sets:
        try:
            objects = objects_of(run, name)
        except FileNotFoundError:
            continue
        unknown = objects.labels == len(run.id_labels)
        if not unknown.any():
            continue
        parts = ("bboxes", "labels", "names")
        mine = {part: getattr(objects, part)[unknown] for part in parts}
        mine |= dict(image_ids=objects.image_ids[unknown].astype(str), ignored=None)
        seen, names = seen_classes(run, name), mine["names"].tolist()
        told = np.array([seen[n] for n in names]) if seen.keys() >= set(names) else None
        found[name] = Target(replace(objects, **mine), run.records[name].images.astype(str), told)
    return found


def _id_objects(run: Recorded) -> AnnotatedObjects | None:
    """Annotated objects of the ID test images, unlabelled ones among them; ``None``: not there."""
    try:
        truth = run.truth(ID)
        images = run.records[ID].images
        objects = annotated_objects(truth, run.id_labels, images)
    except (FileNotFoundError, ValueError):  # the latter: nothing is annotated
        return None
    further = unlabelled_objects(truth.dataset, f"{run.path}: the annotations of {ID!r}")
    looked_at = set(images.tolist())
    further = [thing for thing in further if thing["image_id"] in looked_at]
    if not further:
        return objects
    corners = np.array([thing["bbox"] for thing in further], np.float64)
    corners[:, 2:] += corners[:, :2]
    none = np.zeros(len(further), bool)
    return AnnotatedObjects(
        np.concatenate([objects.image_ids, [thing["image_id"] for thing in further]]),
        np.concatenate([objects.bboxes, corners]),
        np.concatenate([objects.known, none]),
        np.concatenate([objects.regions, none]),
    )


def kinds_of(found: UnknownBoxes, objects: AnnotatedObjects) -> np.ndarray:
    """What each unknown object of ID images lies on, as an index into :data:`KINDS`, ``[n]``.

    The annotated object that it overlaps most decides. -1: on none, but its centre lies in a crowd
    or in what is to be ignored; such a box is not counted.
    """
    kinds = np.full(len(found.scores), 2)
    for image, rows in rows_by_image(found.image_ids, np.arange(len(kinds))).items():
        things = objects.rows_of(image)
        plain = things[~objects.regions[things]]
        regions = things[objects.regions[things]]
        boxes = found.bboxes[rows].astype(np.float64)
        if len(regions):
            kinds[rows[centers_in(boxes, objects.bboxes[regions]).any(1)]] = -1
        if len(plain):
            overlap = box_iou(boxes, objects.bboxes[plain])
            on = overlap.max(1) > IOU
            kinds[rows[on]] = np.where(objects.known[plain[overlap.argmax(1)]], 0, 1)[on]
    return kinds


# --- rows -----------------------------------------------------------------------------------------
def _row(name: str, part: str, control: str, words: int, score_thr: float) -> dict:
    return dict(ood_set=name, vocabulary=part, control=control, words=words, score_thr=score_thr)


def _parts(run: Recorded, columns: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Columns of each part of the vocabulary for an OOD set; one without words is left out."""
    parts = {ALL: columns, WITHOUT_OOD: without_ood(run, columns, name)}
    told = run.results["unknown"].get("seen_by_text_tower")
    if told is not None:
        was = np.array(told, bool)[columns]
        parts |= {SEEN_WORDS: columns[was], OTHER_WORDS: columns[~was]}
    return {part: group for part, group in parts.items() if len(group)}


def without_ood(run: Recorded, columns: np.ndarray, name: str) -> np.ndarray:
    """Columns of the words that name no class of an OOD set."""
    classes = [n for n in used_categories(run.truth(name).dataset) if n not in run.id_labels]
    words = tuple(run.words[i] for i in columns)
    if not classes:
        return columns
    try:
        left = set(Vocabulary(words).without((), classes).words)
    except ValueError:  # every word does
        left = set()
    return np.array([i for i, w in zip(columns, words, strict=True) if w in left], np.int64)


def _distinct(parts: dict[tuple, np.ndarray]) -> list[tuple[list[tuple], np.ndarray]]:
    """Equal groups once, with what they are called."""
    found: dict[bytes, tuple[list[tuple], np.ndarray]] = {}
    for key, group in parts.items():
        found.setdefault(group.tobytes(), ([], group))[0].append(key)
    return list(found.values())


def _counted(
    run: Recorded,
    id_cut: float,
    groups: Sequence[np.ndarray],
    least: float | Sequence[float],
    targets: dict[str, Target],
    id_objects: AnnotatedObjects | None,
    feats: np.ndarray | None = None,
) -> dict[str, list]:
    """Boxes by OOD set and group; of the ID set the boxes of each kind per image."""
    found: dict[str, list] = {
        name: find_by_groups(run, name, id_cut, groups, feats, least) for name in targets
    }
    found[ID] = [_id_numbers(run, None, id_objects)] * len(groups)
    if id_objects is not None:
        boxes = find_by_groups(run, ID, id_cut, groups, feats, least)
        found[ID] = [_id_numbers(run, each, id_objects) for each in boxes]
    return found


def _id_numbers(
    run: Recorded, found: UnknownBoxes | None, objects: AnnotatedObjects | None
) -> dict[str, float | None]:
    if found is None or objects is None:
        return {f"id_{kind}": None for kind in KINDS}
    kinds, images = kinds_of(found, objects), len(run.records[ID].images)
    return {f"id_{kind}": float((kinds == i).sum() / images) for i, kind in enumerate(KINDS)}


def _controls(
    run: Recorded,
    threshold: UnknownThreshold,
    targets: dict[str, Target],
    id_objects: AnnotatedObjects | None,
    rotations: int,
    seed: int,
) -> list[dict]:
    """The vocabulary turned at random, at the same threshold and at one of its own."""
    drawn: dict[tuple[str, str], list[dict]] = {}
    nothing = UnknownBoxes(*(np.zeros((0, *more)) for more in ((), (4,), (), (), ())))
    for i in range(rotations):
        feats = rotated_bank(run.word_feats, seed + i)
        for control, (columns, score_thr) in _turned(run, threshold, feats).items():
            counted = {name: [nothing] for name in targets}
            counted[ID] = [_id_numbers(run, nothing, id_objects)]
            if len(columns):
                where = (threshold.id_cut, [columns], score_thr, targets, id_objects, feats)
                counted = _counted(run, *where)
            for name, target in targets.items():
                row = _row(name, ALL, control, len(columns), score_thr)
                row |= target.numbers(counted[name][0], 0, seed) | counted[ID][0]
                drawn.setdefault((name, control), []).append(row)
    return [_mean(rows) for rows in drawn.values()]


def _turned(
    run: Recorded, threshold: UnknownThreshold, feats: np.ndarray
) -> dict[str, tuple[np.ndarray, float]]:
    """Columns and threshold of turned words by control; no column if nothing keeps to limits."""
    found = {ROTATED: (np.array(kept_words(run)), threshold.score_thr)}
    limits = limits_of(threshold)
    try:
        images = Validation(run, threshold.id_cut)
    except (FileNotFoundError, ValueError):
        return found
    try:
        columns = images.cool(images.firing_rates(feats), limits.hot)
        found[REFITTED] = (columns, images.lowest(images.errors(columns, feats), limits))
    except ValueError:
        found[REFITTED] = (np.zeros(0, np.int64), 1.0)
    return found


def limits_of(threshold: UnknownThreshold) -> ThresholdOptions:
    """What the threshold of a run was allowed to cost."""
    return ThresholdOptions(a=threshold.a, b=threshold.b, hot=threshold.hot_share)


def _mean(rows: Sequence[dict]) -> dict:
    made = dict(rows[0])
    for key in NUMBERS:
        values = [row[key] for row in rows]
        if None not in values:
            made[key] = float(np.mean(values))
            made[f"{key}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return made | dict(draws=len(rows))


def _share(hit: np.ndarray) -> float:
    return float(hit.mean()) if len(hit) else float("nan")


# --- curves ---------------------------------------------------------------------------------------
def _false_box_curves(
    run: Recorded,
    threshold: UnknownThreshold,
    columns: np.ndarray,
    targets: dict[str, Target],
    id_objects: AnnotatedObjects,
) -> list[dict]:
    parts = {(n, part): g for n in targets for part, g in _parts(run, columns, n).items()}
    parts = {key: group for key, group in parts.items() if key[1] in (ALL, WITHOUT_OOD)}
    curves, least = [], min(LEAST, threshold.score_thr)
    count = len(run.records[ID].images)
    for keys, group in _distinct(parts):
        (on_id,) = find_by_groups(run, ID, threshold.id_cut, [group], None, least)
        kinds = kinds_of(on_id, id_objects)
        false = np.sort(on_id.scores[(kinds == 0) | (kinds == 2)])[::-1]
        for name in dict.fromkeys(name for name, _ in keys):
            (found,) = find_by_groups(run, name, threshold.id_cut, [group], None, least)
            reached = targets[name].reached(found)
            at = [
                float((false >= threshold.score_thr).sum() / count),
                float((reached >= threshold.score_thr).mean()),
            ]
            points = _points(false, reached, count)
            curves += [
                dict(ood_set=of, vocabulary=part, points=points, at=at)
                for of, part in keys
                if of == name
            ]
    order = [*targets]
    return sorted(curves, key=lambda each: (order.index(each["ood_set"]), each["vocabulary"]))


def _points(false: np.ndarray, reached: np.ndarray, images: int) -> list[list[float]]:
    """Largest recall with at most so many false boxes an image, as the threshold runs."""
    points = []
    for level in FALSE_BOXES:
        allowed = int(np.floor(level * images + 1e-9))
        bound = false[allowed] if allowed < len(false) else -np.inf
        above = int((false > bound).sum())  # of equal scores all go
        points.append([above / images, float((reached > bound).mean())])
        if allowed >= len(false):
            break
    return points


def _word_curve(
    run: Recorded,
    threshold: UnknownThreshold,
    targets: dict[str, Target],
    id_objects: AnnotatedObjects,
) -> list[dict]:
    try:
        images = Validation(run, threshold.id_cut)
    except (FileNotFoundError, ValueError):
        return []
    limits, total = limits_of(threshold), len(run.words)
    cool = np.flatnonzero(images.firing_rates(run.word_feats) <= limits.hot)
    sizes = [m for m in (*(m for m in SIZES if m < total), total) if (cool < m).any()]
    groups = [cool[cool < m] for m in sizes]
    kept, found = [], images.errors_by_groups(groups, run.word_feats)
    for size, group, errors in zip(sizes, groups, found, strict=True):
        try:
            kept.append((size, group, images.lowest(errors, limits)))
        except ValueError:  # no threshold keeps to the limits
            continue
    if not kept:
        return []
    least = [score_thr for *_, score_thr in kept]
    groups = [group for _, group, _ in kept]
    counted = _counted(run, threshold.id_cut, groups, least, targets, id_objects)
    return [
        dict(
            words=size,
            kept=len(group),
            score_thr=score_thr,
            recall={
                name: _share(target.reached(counted[name][i]) > -np.inf)
                for name, target in targets.items()
            },
            false_boxes=counted[ID][i]["id_known"] + counted[ID][i]["id_elsewhere"],
        )
        for i, (size, group, score_thr) in enumerate(kept)
    ]
