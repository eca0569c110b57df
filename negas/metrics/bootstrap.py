"""Confidence intervals by resampling: of AUROC and FPR95, of rates, and the draws of all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from .roc import check_recall, check_scores, ood_metrics, required_count


@dataclass(frozen=True)
class Interval:
    """A value with its percentile interval and the standard deviation over the draws."""

    value: float
    low: float
    high: float
    std: float


@dataclass(frozen=True)
class BootstrapResult:
    """Intervals of ``auroc`` and ``fpr95`` (ID positive), and how they were made."""

    auroc: Interval
    fpr95: Interval
    level: float
    num_draws: int
    seed: int
    grouped: bool

    def to_dict(self) -> dict:
        """All fields, intervals as dicts."""
        return asdict(self)


def bootstrap(
    id_scores: object,
    ood_scores: object,
    n: int = 1000,
    seed: int = 0,
    groups: tuple[Sequence, Sequence] | None = None,
    level: float = 0.95,
    recall: float = 0.95,
) -> BootstrapResult:
    """Resample both sets ``n`` times with replacement.

    Args:
        id_scores: ``[n_id]``, larger = ID.
        ood_scores: ``[n_ood]``.
        n: number of draws.
        seed: of the draws; the global random state is not touched.
        groups: ``(id_groups [n_id], ood_groups [n_ood])``, e.g. the image of each box: whole
            images are drawn, because boxes of one image are not independent.
        level: coverage of the percentile intervals.
        recall: ID recall at which the FPR is read.

    Raises:
        ValueError: as :func:`negas.metrics.ood_metrics`, or groups of other lengths.
    """
    ids, oods = check_scores("id_scores", id_scores), check_scores("ood_scores", ood_scores)
    check_recall(recall)
    check_draws(n, level)
    id_draw, ood_draw = _members(ids, oods, groups)
    sizes = [int(members.max()) + 1 for members in (id_draw, ood_draw)]

    pooled, place = np.unique(np.r_[ids, oods], return_inverse=True)
    id_place, ood_place = place[: len(ids)], place[len(ids) :]
    draws = np.empty((n, 2))
    for draw, (id_times, ood_times) in enumerate(image_draws(sizes, n, seed)):
        id_count = np.bincount(id_place, id_times[id_draw], len(pooled))
        ood_count = np.bincount(ood_place, ood_times[ood_draw], len(pooled))
        draws[draw] = weighted_metrics(id_count, ood_count, recall)

    point = ood_metrics(ids, oods, recall)
    intervals = percentile_intervals((point.auroc, point.fpr95), draws, level)
    return BootstrapResult(*intervals, level, n, seed, groups is not None)


def percentile_intervals(
    values: Sequence[float], draws: np.ndarray | Sequence, level: float
) -> list[Interval]:
    """The interval of each of V values, from draws ``[n, V]`` of them."""
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    std = np.std(draws, axis=0, ddof=1 if len(draws) > 1 else 0)
    return [Interval(*map(float, each)) for each in zip(values, low, high, std, strict=True)]


def _members(ids: np.ndarray, oods: np.ndarray, groups: tuple | None) -> list[np.ndarray]:
    """The group index of every sample, for both sets; one group per sample by default."""
    if groups is None:
        return [np.arange(len(ids)), np.arange(len(oods))]
    members = [np.unique(np.asarray(group), return_inverse=True)[1] for group in groups]
    lengths = [len(member) for member in members]
    if lengths != [len(ids), len(oods)]:
        raise ValueError(
            f"groups must name one group per score, {len(ids)} and {len(oods)}, got {lengths}."
        )
    return members


def check_draws(n: int, level: float) -> None:
    """Refuse a number of draws or a coverage that cannot be.

    Raises:
        ValueError: ``n`` is below 1, or ``level`` not in (0, 1).
    """
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"a bootstrap needs n >= 1 and 0 < level < 1, got {n=}, {level=}.")


def image_draws(sizes: Sequence[int], n: int, seed: int) -> Iterator[list[np.ndarray]]:
    """How often each image occurs in each of ``n`` draws with return.

    Equal arguments give equal draws, so that numbers of two runs, or two kinds of numbers, can be
    of the same ones.

    Args:
        sizes: images of each set; sets are drawn independently, as many images as they have.
        n: number of draws.
        seed: of the draws; the global random state is not touched.

    Yields:
        For each set float64 ``[size]``.
    """
    generator = np.random.default_rng(seed)
    for _ in range(n):
        yield [
            np.bincount(generator.integers(size, size=size), minlength=size).astype(np.float64)
            for size in sizes
        ]


def rate_intervals(
    over: Sequence[np.ndarray],
    under: Sequence[np.ndarray],
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Interval]:
    """Intervals of V rates, each a sum over images divided by another, from draws of images.

    Draws in which its lower sum is 0 are left out of a rate; NaN if these are all.

    Args:
        over: V counts by image ``[I]``.
        under: V counts by image ``[I]``.
        n: number of draws.
        seed: of the draws.
        level: coverage of the percentile intervals.

    Raises:
        ValueError: ``n`` or ``level`` cannot be.
    """
    check_draws(n, level)
    times = np.array([drawn for (drawn,) in image_draws([len(over[0])], n, seed)])
    found = []
    for counts, of in zip(over, under, strict=True):
        above, below = times @ counts, times @ of
        drawn = (above[below > 0] / below[below > 0])[:, None]
        if not len(drawn):
            found.append(Interval(*[float("nan")] * 4))
            continue
        found += percentile_intervals([counts.sum() / of.sum()], drawn, level)
    return found


def weighted_metrics(
    id_count: np.ndarray, ood_count: np.ndarray, recall: float
) -> tuple[float, float]:
    """AUROC and FPR from how often each distinct pooled score (ascending) was drawn."""
    num_id, num_ood = id_count.sum(), ood_count.sum()
    ood_below = ood_count.cumsum() - ood_count
    auroc = float(id_count @ (ood_below + 0.5 * ood_count)) / (num_id * num_ood)
    id_reaching = id_count[::-1].cumsum()[::-1]  # ID scores >= each distinct value, falling
    needed = required_count(recall, int(num_id))
    cut = int(np.flatnonzero(id_reaching >= needed)[-1])
    return auroc, float(ood_count[cut:].sum() / num_ood)
