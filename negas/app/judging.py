"""Verdicts at other thresholds, from what a detector has said once. Numpy only.

Shapes: n boxes, v scores of ID validation boxes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from negas.predictions import Results

KNOWN, UNKNOWN, OBJECT, NO_VERDICT = "known", "unknown", "unknown object", "no verdict"
MISSING = "\N{EN DASH}"
COLUMNS = (
    "box",
    "label",
    "verdict",
    "confidence",
    "id_score",
    "ID boxes below",
    "nearest negative",
    "its score",
)


def judged(results: Results, tau: float | None, unknown_thr: float | None) -> Results:
    """The same boxes, judged at a tau; unknown objects from a threshold on.

    As suppression goes by falling score, what stays is what the detector finds at that threshold.

    Args:
        results: of a picture, with unknown objects down to a threshold that is no higher.
        tau: a box is known iff its score is at least this; ``None``: no verdict.
        unknown_thr: least score of an unknown object; ``None``: none is shown.
    """
    objects = results.labels < 0
    known = results.known.copy()
    for row in np.flatnonzero(~objects):
        score = results.id_score[row]
        known[row] = None if tau is None or np.isnan(score) else bool(score >= tau)
    least = np.inf if unknown_thr is None else np.float32(unknown_thr)
    return replace(results, known=known)[~objects | (results.confidence >= least)]


def verdict(known: bool | None, label: int) -> str:
    """A verdict in words."""
    if label < 0:
        return OBJECT
    return NO_VERDICT if known is None else KNOWN if known else UNKNOWN


def table(results: Results, id_scores: np.ndarray | None = None) -> list[tuple[str, ...]]:
    """:data:`COLUMNS` of every box, as texts.

    Args:
        results: of a picture, judged.
        id_scores: of ID validation boxes, ``[v]``; ``None``: there are none.
    """
    rows = []
    for number, box in enumerate(results, 1):
        below = MISSING
        if id_scores is not None and box.id_score is not None:
            below = f"{100 * share_below(id_scores, box.id_score):.0f}%"
        rows.append(
            (
                str(number),
                box.name,
                verdict(box.known, box.label),
                _number(box.confidence),
                _number(box.id_score),
                below,
                box.unknown_like or MISSING,
                _number(box.unknown_like_score),
            )
        )
    return rows


def share_below(values: np.ndarray, score: float) -> float:
    """The share of ID validation boxes with a lower score, in [0, 1]; NaN without any."""
    return float((values < score).mean()) if len(values) else math.nan


def share_known(values: np.ndarray, tau: float) -> float:
    """The share of boxes with at least this score, in [0, 1]; NaN without any."""
    return float((values >= tau).mean()) if len(values) else math.nan


def span(*parts: Sequence[float] | np.ndarray | None) -> tuple[float, float]:
    """The range of a slider over scores: all of them and a twentieth more on both sides.

    Args:
        *parts: scores; NaN and ``None`` count for nothing. Without any it is (-1, 1).
    """
    given = [np.asarray(part, dtype=np.float64).ravel() for part in parts if part is not None]
    values = np.concatenate([np.zeros(0), *given])
    values = values[np.isfinite(values)]
    if not len(values):
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    more = max((high - low) / 20, 0.01)
    return math.floor((low - more) * 100) / 100, math.ceil((high + more) * 100) / 100


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"
