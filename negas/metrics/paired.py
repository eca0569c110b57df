"""Paired comparison of two runs on the same images: intervals of the differences.

Two runs keep different boxes of the same images, so boxes cannot be paired but images can. Each
draw takes the same images for both runs; what both find hard cancels in the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from .bootstrap import (
    Interval,
    check_draws,
    image_draws,
    percentile_intervals,
    weighted_metrics,
)
from .roc import check_recall, check_scores, ood_metrics


@dataclass(frozen=True, eq=False)
class GroupedScores:
    """Scores of one set and the image each box comes from, both ``[N]``; larger = ID."""

    scores: np.ndarray
    images: np.ndarray

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.images):
            raise ValueError(
                f"each score needs its image: {len(self.scores)} scores, {len(self.images)} images."
            )


@dataclass(frozen=True)
class PairedResult:
    """Differences second - first of ``auroc`` and ``fpr95``, with percentile intervals.

    Attributes:
        auroc: above 0: the second is better.
        fpr95: below 0: the second is better.
        level: coverage of the intervals.
        num_draws: draws asked for.
        num_skipped: draws that left a run without a box on one side.
        num_id_images: images that were drawn from, ID side.
        num_ood_images: OOD side.
        seed: of the draws.
    """

    auroc: Interval
    fpr95: Interval
    level: float
    num_draws: int
    num_skipped: int
    num_id_images: int
    num_ood_images: int
    seed: int

    def to_dict(self) -> dict:
        """All fields, intervals as dicts."""
        return asdict(self)


def paired_bootstrap(
    first: tuple[GroupedScores, GroupedScores],
    second: tuple[GroupedScores, GroupedScores],
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    recall: float = 0.95,
    images: tuple[Sequence, Sequence] | None = None,
) -> PairedResult:
    """Resample images ``n`` times, the same ones for both runs.

    Args:
        first: ID and OOD scores of the run that is the reference.
        second: of the other run.
        n: number of draws.
        seed: of the draws; the global random state is not touched.
        level: coverage of the percentile intervals.
        recall: ID recall at which the FPR is read.
        images: all ID and all OOD images, also those where neither run keeps a box; by default the
            ones that occur.

    Raises:
        ValueError: a run without a box on one side, scores that are not finite, image ids of two
            kinds, or every draw fails.
    """
    check_recall(recall)
    check_draws(n, level)
    listed = [_all_images(side, first, second, images) for side in (0, 1)]
    runs = [_Run.of(run, listed) for run in (first, second)]
    sizes = [len(names) for names in listed]
    draws = []
    for counts in image_draws(sizes, n, seed):
        values = [run.metrics(counts, recall) for run in runs]
        if all(value is not None for value in values):
            draws.append(np.subtract(values[1], values[0]))
    if not draws:
        raise ValueError("every draw left a run without boxes; the sets hold too few images.")
    one, other = (ood_metrics(*(side.scores for side in run), recall) for run in (first, second))
    differences = (other.auroc - one.auroc, other.fpr95 - one.fpr95)
    intervals = percentile_intervals(differences, draws, level)
    return PairedResult(*intervals, level, n, n - len(draws), *sizes, seed)


@dataclass(frozen=True, eq=False)
class _Run:
    """Where each box's score stands among the distinct scores, and its image's number."""

    places: list[np.ndarray]
    members: list[np.ndarray]
    distinct: int

    @classmethod
    def of(cls, run: tuple[GroupedScores, GroupedScores], listed: list[np.ndarray]) -> _Run:
        names = ("ID scores", "OOD scores")
        scores = [check_scores(name, side.scores) for name, side in zip(names, run, strict=True)]
        pooled, place = np.unique(np.concatenate(scores), return_inverse=True)
        places = [place[: len(scores[0])], place[len(scores[0]) :]]
        members = [
            np.searchsorted(names, side.images) for names, side in zip(listed, run, strict=True)
        ]
        return cls(places, members, len(pooled))

    def metrics(self, counts: list[np.ndarray], recall: float) -> tuple[float, float] | None:
        drawn = [count[member] for count, member in zip(counts, self.members, strict=True)]
        if not all(weights.any() for weights in drawn):
            return None
        weighted = [
            np.bincount(place, weights, self.distinct)
            for place, weights in zip(self.places, drawn, strict=True)
        ]
        return weighted_metrics(*weighted, recall)


def _all_images(
    side: int,
    first: tuple[GroupedScores, GroupedScores],
    second: tuple[GroupedScores, GroupedScores],
    images: tuple[Sequence, Sequence] | None,
) -> np.ndarray:
    """Sorted image ids of the ID side (0) or the OOD side (1)."""
    parts = [np.asarray(run[side].images) for run in (first, second)]
    if len({part.dtype.kind for part in parts}) > 1:
        raise ValueError("image ids of the two runs must both be integers or both be strings.")
    found = np.unique(np.concatenate(parts))
    if images is None:
        return found
    listed = np.unique(np.asarray(images[side]))
    if listed.dtype.kind != found.dtype.kind or len(np.setdiff1d(found, listed)):
        raise ValueError("a box lies on an image that images does not list.")
    return listed
