"""What the vocabulary finds of a run's unknown objects, and what that costs on ID test images.

All from the cells in the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from negas.labels.names import used_categories
from negas.labels.vocabulary import Vocabulary
from negas.metrics.controls import mean_of_draws, rotated_bank
from negas.records import ID
from negas.unknown.thresholds import LEAST, ThresholdOptions, UnknownThreshold

from ..recorded import Recorded
from .annotated import KINDS, id_objects_of, kinds_of, share_of, targets_of
from .boxes import UnknownBoxes, find_by_groups
from .threshold import Validation, kept_words, threshold_of

ALL, WITHOUT_OOD, SEEN_WORDS, OTHER_WORDS = "all", "without_ood", "seen_words", "other_words"
FIRST = "first"  # so many words of the vocabulary
PLAIN, REFITTED = "none", "refitted"
ROTATED, ROTATED_REFITTED = "rotated", "rotated_refitted"
RECALLS = ("recall", "recall_seen", "recall_unseen")
NUMBERS = (*RECALLS, *(f"id_{kind}" for kind in KINDS), "words", "score_thr")
SIZES = (20, 40, 80, 160, 320, 640, 1000)  # numbers of words of the curve, and all of them
MOST_TURNS = 3  # of the vocabulary: each is as much work as all other rows together
NOTHING = 1.0  # a threshold at which nothing is found
FALSE_BOXES = np.linspace(0, 2, 41)  # an ID image, where the curve of recall is read


def unknown_section(run: Recorded, draws: int = 1000, rotations: int = 0, seed: int = 0) -> dict:
    """Rows and curves of a run's unknown objects; empty without cells or a threshold.

    Args:
        run: a finished test.
        draws: of whole images for the intervals; 0: none.
        rotations: draws of the rotated vocabulary, at most :data:`MOST_TURNS`; 0: no such rows.
        seed: of both.

    Returns:
        ``rows`` (:meth:`Evaluation.rows`) and ``curves`` (:meth:`Evaluation.curves`).

    Raises:
        ValueError: annotations or records cannot be read.
    """
    if "threshold" not in (run.results or {}).get("unknown", {}) or not run.has_cells:
        return {}
    found = Evaluation(run)
    if not found.targets:
        return {}
    turns = min(rotations, MOST_TURNS)
    return dict(rows=found.rows(draws, turns, seed), curves=found.curves())


class Evaluation:
    """What the vocabulary of a run finds.

    Args:
        run: with cells and a threshold.

    Attributes:
        threshold: of the run.
        targets: unknown objects by OOD set; a set without annotations is left out.
        id_objects: objects of the ID test images; ``None`` without annotations.
        parts: columns of the vocabulary by OOD set and part.

    Raises:
        ValueError: annotations or records cannot be read.
        FileNotFoundError: there are no cells.
    """

    def __init__(self, run: Recorded) -> None:
        self.run, self.threshold = run, threshold_of(run)
        self.columns = np.array(kept_words(run))
        self.targets, self.id_objects = targets_of(run), id_objects_of(run)
        self.parts = {
            (name, part): group
            for name in self.targets
            for part, group in parts_of(run, self.columns, name).items()
        }

    @cached_property
    def _found(self) -> dict[str, dict[tuple, UnknownBoxes]]:
        """By set and part: all boxes over a low threshold; words meet each set once.

        Of the first M words, those over their own threshold, as (FIRST, M).
        """
        distinct: dict[bytes, tuple[list[tuple[str, str]], np.ndarray]] = {}
        for key, group in self.parts.items():
            distinct.setdefault(group.tobytes(), ([], group))[0].append(key)
        lowest = min(LEAST, self.threshold.score_thr)
        groups = [(keys, group, lowest) for keys, group in distinct.values()]
        groups += [([(FIRST, size)], group, least) for size, group, least in self._first_words]
        found = self._at([group for _, group, _ in groups], [least for *_, least in groups])
        keys = [(i, key) for i, (names, *_) in enumerate(groups) for key in names]
        return {name: {key: boxes[i] for i, key in keys} for name, boxes in found.items()}

    def rows(self, draws: int = 1000, rotations: int = 0, seed: int = 0) -> list[dict]:
        """A row for each OOD set and part of the vocabulary, all at the threshold of the run.

        Parts: ``all`` kept words; ``without_ood``, without those that name a class of the set
        (:meth:`negas.labels.vocabulary.Vocabulary.without`); ``seen_words`` and ``other_words``,
        those that the text tower was trained on and the others, where the run tells. Controls:
        ``refitted``, ``without_ood`` with its own threshold; ``rotated``, the vocabulary turned at
        random, at the threshold of the run; ``rotated_refitted``, with its own hot words and
        threshold. Own ones are found anew on ID validation, at the limits of the run.

        Args:
            draws: see :func:`unknown_section`.
            rotations: see :func:`unknown_section`.
            seed: see :func:`unknown_section`.

        Returns:
            Rows with ``ood_set, vocabulary, control, words`` (how many), ``score_thr``, ``recall``
            of unknown objects (IoU over 0.5) with its ``interval`` (``None`` without draws),
            ``recall_seen`` and ``recall_unseen`` by classes of pre-training (``None`` where the
            annotations do not say), ``num_unknown, num_seen, num_unseen``, and boxes per ID test
            image: ``id_known``, ``id_unknown``, ``id_elsewhere`` (``None`` without annotations).
            Controls are means of ``draws``, with ``recall_std`` and so on.
        """
        least, rows = self.threshold.score_thr, []
        for (name, part), group in self.parts.items():
            row = _row(name, part, PLAIN, len(group), least)
            rows.append(row | self._numbers((name, part), draws, seed, least))
            if part == WITHOUT_OOD and self._validation is not None:
                own = self._own_threshold(group, self.run.word_feats)
                row = _row(name, part, REFITTED, len(group), own)
                rows.append(row | self._numbers((name, part), draws, seed, own))
        rows += self._controls(rotations, seed)
        return [row for name in self.targets for row in rows if row["ood_set"] == name]

    def curves(self) -> dict:
        """Recall of unknown objects against false boxes on ID images, and against words.

        Returns:
            ``false_boxes``: for each OOD set and part of the vocabulary (``all``, ``without_ood``)
            ``points`` of [false boxes per ID test image, recall], and ``at``, that of the run's
            threshold; false is every box but those on annotated unknown objects. ``words``: for the
            first M words of the vocabulary ``words`` (M), how many are ``kept``, the ``score_thr``
            that ID validation gives them at the limits of the run, ``recall`` by OOD set, and
            ``false_boxes``. Either is empty where the annotations that it needs are not there.
        """
        if self.id_objects is None:
            return dict(false_boxes=[], words=[])
        return dict(false_boxes=self._false_box_curves(), words=self._word_curve())

    def _numbers(self, key: tuple[str, str], draws: int, seed: int, score_thr: float) -> dict:
        """Numbers of an OOD set and part of the vocabulary at a threshold."""
        on_ood, on_id = (self._found[name][key].over(score_thr) for name in (key[0], ID))
        return self.targets[key[0]].numbers(on_ood, draws, seed) | self._on_id(on_id)

    def _on_id(self, found: UnknownBoxes) -> dict[str, float | None]:
        if self.id_objects is None:
            return {f"id_{kind}": None for kind in KINDS}
        kinds, images = kinds_of(found, self.id_objects), len(self.run.records[ID].images)
        return {f"id_{kind}": float((kinds == i).sum() / images) for i, kind in enumerate(KINDS)}

    def _at(
        self,
        groups: Sequence[np.ndarray],
        least: Sequence[float],
        feats: np.ndarray | None = None,
    ) -> dict[str, list[UnknownBoxes]]:
        """Boxes of some parts of the vocabulary, each at its threshold, by set."""
        where = (self.threshold.id_cut, groups, feats, least)
        return {name: find_by_groups(self.run, name, *where) for name in (ID, *self.targets)}

    def _controls(self, rotations: int, seed: int) -> list[dict]:
        """The vocabulary turned at random, at the same threshold and at one of its own."""
        drawn: dict[tuple[str, str], list[dict]] = {}
        for i in range(rotations):
            feats = rotated_bank(self.run.word_feats, seed + i)
            turned = self._turned(feats)
            groups, least = zip(*turned.values(), strict=True)
            found = self._at(groups, least, feats)
            for place, (control, (columns, score_thr)) in enumerate(turned.items()):
                for name, target in self.targets.items():
                    row = _row(name, ALL, control, len(columns), score_thr)
                    row |= target.numbers(found[name][place], 0, seed)
                    row |= self._on_id(found[ID][place])
                    drawn.setdefault((name, control), []).append(row)
        return [mean_of_draws(rows, NUMBERS) for rows in drawn.values()]

    def _turned(self, feats: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
        """Columns and threshold of turned words, by control."""
        found = {ROTATED: (self.columns, self.threshold.score_thr)}
        images = self._validation
        if images is None:
            return found
        try:
            columns = images.cool(images.firing_rates(feats), self.threshold.hot_share)
        except ValueError:
            found[ROTATED_REFITTED] = (self.columns, NOTHING)
        else:
            found[ROTATED_REFITTED] = (columns, self._own_threshold(columns, feats))
        return found

    def _own_threshold(self, columns: np.ndarray, feats: np.ndarray) -> float:
        """What ID validation gives some words at the limits of the run."""
        images = self._validation
        try:
            return images.lowest(images.errors(columns, feats), limits_of(self.threshold))
        except ValueError:  # no threshold keeps to them
            return NOTHING

    @cached_property
    def _validation(self) -> Validation | None:
        """``None`` where its annotations are not there."""
        try:
            return Validation(self.run, self.threshold.id_cut)
        except (FileNotFoundError, ValueError):
            return None

    def _false_box_curves(self) -> list[dict]:
        curves, score_thr = [], self.threshold.score_thr
        count = len(self.run.records[ID].images)
        for key in self.parts:
            name, part = key
            if part not in (ALL, WITHOUT_OOD):
                continue
            on_id = self._found[ID][key]
            kinds = kinds_of(on_id, self.id_objects)
            false = np.sort(on_id.scores[(kinds == 0) | (kinds == 2)])[::-1]
            reached = self.targets[name].reached(self._found[name][key])
            at = [(false >= score_thr).sum() / count, (reached >= score_thr).mean()]
            points = _points(false, reached, count)
            at = [float(x) for x in at]
            curves.append(dict(ood_set=name, vocabulary=part, points=points, at=at))
        return curves

    @cached_property
    def _first_words(self) -> list[tuple[int, np.ndarray, float]]:
        """The first M words: M, the columns of those that are kept, and their own threshold."""
        images = self._validation
        if images is None or self.id_objects is None:
            return []
        limits, total = limits_of(self.threshold), len(self.run.words)
        cool = self.columns[np.array(self.threshold.word_rates) <= limits.hot]
        sizes = [m for m in (*(m for m in SIZES if m < total), total) if (cool < m).any()]
        groups, kept = [cool[cool < m] for m in sizes], []
        found = images.errors_by_groups(groups, self.run.word_feats) if groups else []
        for size, group, errors in zip(sizes, groups, found, strict=True):
            try:
                kept.append((size, group, images.lowest(errors, limits)))
            except ValueError:  # no threshold keeps to the limits
                continue
        return kept

    def _word_curve(self) -> list[dict]:
        curve = []
        for size, group, score_thr in self._first_words:
            boxes = {name: found[FIRST, size] for name, found in self._found.items()}
            on_id = self._on_id(boxes[ID])
            recall = {
                name: share_of(target.reached(boxes[name]) > -np.inf)
                for name, target in self.targets.items()
            }
            point = dict(words=size, kept=len(group), score_thr=score_thr, recall=recall)
            curve.append(point | dict(false_boxes=on_id["id_known"] + on_id["id_elsewhere"]))
        return curve


def _row(name: str, part: str, control: str, words: int, score_thr: float) -> dict:
    return dict(ood_set=name, vocabulary=part, control=control, words=words, score_thr=score_thr)


def parts_of(run: Recorded, columns: np.ndarray, name: str) -> dict[str, np.ndarray]:
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
    if not classes:
        return columns
    try:  # all words, those that are not kept, too: they are the same in other runs
        left = set(Vocabulary(tuple(run.words)).without((), classes).words)
    except ValueError:  # every word does
        left = set()
    return np.array([i for i in columns if run.words[i] in left], np.int64)


def limits_of(threshold: UnknownThreshold) -> ThresholdOptions:
    """What the threshold of a run was allowed to cost."""
    return ThresholdOptions(a=threshold.a, b=threshold.b, hot=threshold.hot_share)


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
