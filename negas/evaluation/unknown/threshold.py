"""The threshold of a run's unknown objects, from its ID validation images."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from pycocotools.coco import COCO

from negas.metrics.matching import corners
from negas.records import ID_VAL, ID_VAL_CLEAN
from negas.unknown.thresholds import (
    LEAST,
    AnnotatedObjects,
    Errors,
    FiringWords,
    ThresholdOptions,
    UnknownThreshold,
    cells_on_background,
)

from ..recorded import Recorded
from .boxes import find_by_groups, id_cut_of, options_of, word_logits


def threshold_of(run: Recorded) -> UnknownThreshold:
    """The threshold that the test found; where it has none, it is found now and kept.

    Raises:
        ValueError: see :func:`find_threshold`.
        FileNotFoundError: see :func:`find_threshold`.
    """
    about = run.results.get("unknown", {})
    if "threshold" not in about:
        found = find_threshold(run)
        about["threshold"] = found.record()
        return found
    return UnknownThreshold.from_settings(
        about["threshold"], f"{run.path}: unknown.threshold", section=True
    )


def kept_words(run: Recorded) -> list[int]:
    """Columns of the vocabulary that :func:`threshold_of` uses."""
    column = {word: i for i, word in enumerate(run.words)}
    return [column[word] for word in threshold_of(run).words]


def validation_set(run: Recorded) -> str:
    """The set that thresholds of unknown objects come from: of the two, the one without unknowns.

    Raises:
        ValueError: the run has no ID validation images.
    """
    for name in (ID_VAL_CLEAN, ID_VAL):
        if name in run.sets:
            return name
    raise ValueError(
        f"{run.path}: there are no ID validation images, and the threshold of unknown objects "
        "never comes from test images; test with test_cfg.id_val_dataloader or "
        "test_cfg.id_val_clean_dataloader"
    )


def find_threshold(
    run: Recorded,
    limits: ThresholdOptions | None = None,
    id_cut: float | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> UnknownThreshold:
    """Cut hot words, then find the lowest threshold that keeps to the limits.

    A threshold that the config gives stays, and so do all words; its costs are counted.

    Args:
        run: with cells of ID validation images, and their annotations.
        limits: what a threshold may cost; ``None``: the defaults.
        id_cut: ID boxes of this confidence hide what they lie on; ``None``: the run's cut, or where
            it has none, the detector's own.
        draws: of whole images, for the intervals.
        seed: of the draws.

    Raises:
        ValueError: no validation set, nothing annotated in it, only hot words, or no threshold
            keeps to the limits.
        FileNotFoundError: there are no cells, or the annotations are not where they were.
    """
    limits = limits or ThresholdOptions()
    options, words = options_of(run), run.words
    images = Validation(run, id_cut)
    rates = images.firing_rates(run.word_feats)
    fixed = options.is_calibrated
    columns = np.arange(len(words)) if fixed else images.cool(rates, limits.hot)
    least = max(float(options.score_thr), 1e-6) if fixed else LEAST
    errors = images.errors(columns, run.word_feats, least)
    score_thr = float(options.score_thr) if fixed else images.lowest(errors, limits)
    stray, on_known = errors.rates(score_thr)
    hot = sorted(set(range(len(words))) - {*columns.tolist()}, key=lambda i: -rates[i])
    return UnknownThreshold(
        score_thr=score_thr,
        words=tuple(words[i] for i in columns),
        word_rates=tuple(rates[columns].tolist()),
        a=limits.a,
        b=limits.b,
        background_per_image=stray,
        on_known_share=on_known,
        intervals=dict(errors.intervals(score_thr, draws, seed)),
        hot_share=limits.hot,
        hot=tuple((words[i], float(rates[i])) for i in hot),
        images=len(errors.images),
        known_objects=len(errors.known[0]),
        id_cut=images.id_cut,
        found_on=images.name,
        source="config" if fixed else "calibrated",
    )


class Validation:
    """The ID validation images that thresholds of unknown objects come from.

    Args:
        run: with cells of them, and their annotations.
        id_cut: ID boxes of this confidence hide what they lie on; ``None``: see
            :func:`~.boxes.id_cut_of`.

    Raises:
        ValueError: there is no such set, or nothing is annotated in it.
        FileNotFoundError: there are no cells, or the annotations are not where they were.
    """

    def __init__(self, run: Recorded, id_cut: float | None = None) -> None:
        self.run, self.name = run, validation_set(run)
        self.id_cut = id_cut_of(run) if id_cut is None else id_cut
        self.cells = cells = run.cells[self.name]
        self._where = (
            f"{run.path}: no threshold of unknown objects can be found on the set {self.name!r}"
        )
        try:
            self.objects = annotated_objects(
                run.truth(self.name), cells.meta["id_labels"], cells.images
            )
        except ValueError as error:
            raise ValueError(f"{self._where}: {error}") from error

    def firing_rates(self, feats: np.ndarray) -> np.ndarray:
        """Share of the images on whose background each of V words fires, ``[V]``."""
        cells = self.cells
        background = cells.select(cells_on_background(cells.image_ids, cells.bboxes, self.objects))
        firing = FiringWords(background.image_ids, len(feats))
        word_logits(background, feats, firing.take)
        return firing.rates(len(cells.images))

    def cool(self, rates: np.ndarray, hot: float) -> np.ndarray:
        """Columns of the words that fire in at most a share ``hot`` of the images.

        Raises:
            ValueError: there is none.
        """
        columns = np.flatnonzero(rates <= hot)
        if not len(columns):
            raise ValueError(
                f"{self._where}: every word of the vocabulary fires on the background of more than "
                f"{hot:.0%} of its images; let words fire in more of them, or give other words"
            )
        return columns

    def errors(self, columns: Sequence[int], feats: np.ndarray, least: float = LEAST) -> Errors:
        """What unknown objects by some of the words cost."""
        return self.errors_by_groups([columns], feats, least)[0]

    def errors_by_groups(
        self, groups: Sequence[Sequence[int]], feats: np.ndarray, least: float = LEAST
    ) -> list[Errors]:
        """:meth:`errors` of several parts of the vocabulary."""
        return [
            Errors.of(self.cells.images, found.image_ids, found.bboxes, found.scores, self.objects)
            for found in find_by_groups(self.run, self.name, self.id_cut, groups, feats, least)
        ]

    def lowest(self, errors: Errors, limits: ThresholdOptions) -> float:
        """The lowest threshold that keeps to the limits.

        Raises:
            ValueError: there is none.
        """
        try:
            return errors.lowest(limits.a, limits.b)
        except ValueError as error:
            raise ValueError(f"{self._where}: {error}") from error


def annotated_objects(
    truth: COCO, id_labels: Sequence[str], images: np.ndarray
) -> AnnotatedObjects:
    """All annotations of these images ``[I]``; a class that is no ID label is an object as well.

    Raises:
        ValueError: none is of an ID class.
    """
    known = {c["id"] for c in truth.dataset["categories"] if c["name"] in id_labels}
    looked_at = set(images.tolist())
    things = [thing for thing in truth.dataset["annotations"] if thing["image_id"] in looked_at]
    return AnnotatedObjects(
        np.array([thing["image_id"] for thing in things]),
        corners(things),
        np.array([thing["category_id"] in known for thing in things], bool),
        np.array([bool(t.get("iscrowd") or t.get("ignore")) for t in things], bool),
    )


def threshold_lines(found: UnknownThreshold) -> list[str]:
    """What a threshold costs, in lines of at most 80 columns."""
    low_high = {key: tuple(ends) for key, ends in found.intervals.items()}
    lines = []
    if found.source == "calibrated":
        total = len(found.words) + len(found.hot)
        worst = ", ".join(f"{word} {rate:.0%}" for word, rate in found.hot[:5])
        lines.append(
            f"unknown objects: {len(found.hot)} of {total} words are hot: they fire on background "
            f"in over {found.hot_share:.0%} of the images"
            + (f"; the worst: {worst}" if worst else "")
        )
    low, high = low_high["background_per_image"]
    lines.append(
        f"unknown objects from a score of {found.score_thr:.4f} ({found.source}): on background "
        f"{found.background_per_image:.2f} an image ({low:.2f} to {high:.2f}; "
        f"{found.a:g} allowed)"
    )
    low, high = low_high["on_known_share"]
    lines.append(
        f"on {found.on_known_share:.1%} of {found.known_objects} known objects "
        f"({low:.1%} to {high:.1%}; {found.b:.0%} allowed), {found.images} images of "
        f"{found.found_on}"
    )
    return [part for line in lines for part in wrap(line, 80, subsequent_indent="  ")]
