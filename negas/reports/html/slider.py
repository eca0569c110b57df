"""The slider of tau: at which values it stops, and how many boxes of each set are known there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from negas.records import ID, SET_TITLES

_STEPS = 400  # of a set, between its least and its largest score


@dataclass(frozen=True)
class SetCounts:
    """Boxes of a set that are known, by place of the slider.

    Attributes:
        title: of the set.
        rate: what the share of known boxes is called.
        known: their number at each tau, falling.
        total: boxes of the set.
    """

    title: str
    rate: str
    known: Sequence[int]
    total: int


@dataclass(frozen=True)
class Slider:
    """Places of the slider.

    Attributes:
        taus: rising; a box is known iff its score is at least this.
        start: which of them is the run's own.
        sets: ID first.
    """

    taus: Sequence[float]
    start: int
    sets: Sequence[SetCounts]

    @property
    def note(self) -> str:
        """What is exact and how fine the slider is."""
        return (
            f"The slider has {len(self.taus)} places, at which the shares are exact: the scores of "
            f"all boxes of a set with up to {_STEPS}, else after every {100 / _STEPS:g}% of them. "
            "It judges the pictures and shares of this section; the tables stay at the run's tau."
        )

    def data(self) -> dict:
        """What the page's script reads."""
        sets = [dict(known=list(one.known), total=one.total) for one in self.sets]
        return dict(taus=list(self.taus), start=self.start, sets=sets)


def tau_slider(values: Mapping[str, np.ndarray], tau: float) -> Slider:
    """The slider of a run.

    Args:
        values: scores ``[n]`` by set, of which ``id`` has some.
        tau: of the run.
    """
    shown = {name: np.sort(values[name]) for name in (ID, *(n for n in values if n != ID))}
    scores = [each for each in shown.values() if len(each)]
    stops = [
        each if len(each) <= _STEPS else each[np.linspace(0, len(each) - 1, _STEPS + 1).astype(int)]
        for each in scores
    ]
    largest = max(each[-1] for each in scores)
    # one place above all scores, where every box is unknown
    taus = np.unique(np.concatenate([*stops, [tau, np.nextafter(largest, np.inf)]]))
    sets = [
        SetCounts(
            title=SET_TITLES.get(name, name),
            rate="TPR" if name == ID else "FPR",
            known=(len(each) - np.searchsorted(each, taus)).tolist(),
            total=len(each),
        )
        for name, each in shown.items()
    ]
    return Slider(taus.tolist(), int(np.searchsorted(taus, tau)), sets)
