"""Parts of ANTS without a state: the threshold of negative images, the weight, clean captions.

ANTS (CVPR 2026), where the paper and the authors' code differ both are here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np

ThresholdRule = Literal["percentile", "lowest"]
_BINS = np.arange(0, 1.1, 0.1)  # the authors' edges, with their rounding (0.30000000000000004)


class NegativeThreshold(NamedTuple):
    """Where negative images begin.

    Attributes:
        gamma: the threshold, in the units of the score.
        upper: scores from here on were left out before.
        mined: [N] bool, which of the scores are negative images.
    """

    gamma: float
    upper: float
    mined: np.ndarray


def negative_threshold(
    scores: np.ndarray, eta: float = 0.5, rule: ThresholdRule = "percentile"
) -> NegativeThreshold:
    """Threshold that adapts to a history of scores.

    The histogram (bins of width 0.1) is cut at its steepest step, the first of equals; of the
    scores below that edge (of all, if there is none) ``eta`` are negative.

    Args:
        scores: [N] NegLabel scores, about [0, 1] (values outside are clipped).
        eta: share of the scores below the edge, in (0, 1).
        rule: ``percentile``: gamma is the ``eta`` percentile (linear interpolation) and scores
            below it are negative (authors' code); ``lowest``: the ``max(1, floor(eta * n))`` lowest
            are, with all that equal the largest of them (paper).

    Raises:
        ValueError: no scores, NaN, or an option out of range.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not scores.size or np.isnan(scores).any():
        raise ValueError(
            f"negative_threshold: scores must be a non-empty [N] without NaN, got shape "
            f"{list(scores.shape)}."
        )
    if not 0 < eta < 1:
        raise ValueError(f"negative_threshold: eta must be in (0, 1), got {eta!r}.")
    if rule not in ("percentile", "lowest"):
        raise ValueError(
            f"negative_threshold: rule must be 'percentile' or 'lowest', got {rule!r}."
        )
    clipped = scores.clip(0, 1)
    steps = np.abs(np.diff(np.histogram(clipped, _BINS)[0]))
    upper = float(_BINS[steps.argmax() + 1])
    low = clipped[clipped < upper]
    low = low if low.size else clipped
    if rule == "percentile":
        gamma = float(np.percentile(low, 100 * eta))
        return NegativeThreshold(gamma, upper, clipped < gamma)
    gamma = float(np.sort(low)[max(1, int(eta * low.size)) - 1])
    return NegativeThreshold(gamma, upper, clipped <= gamma)


def adaptive_weight(far_mean: float, near_mean: float, eps: float = 1e-12) -> float:
    """Weight of the far score: ``(1 - a) / ((1 - a) + (1 - b))``; 0.5 where that is 0 / 0.

    Args:
        far_mean: a, mean score with the captions as negatives, in [0, 1].
        near_mean: b, mean score with the similar labels as negatives, in [0, 1].
        eps: smallest denominator.
    """
    total = (1 - far_mean) + (1 - near_mean)
    return 0.5 if total < eps else (1 - far_mean) / total


def clean_sentences(sentences: Iterable[str], drop: Iterable[str] = ()) -> list[str]:
    """Captions and labels of a model as it may write them: blanks, full stops, repeats.

    Args:
        sentences: untrusted texts.
        drop: texts that must not come out, whatever their case.

    Returns:
        Distinct (whatever their case) non-empty texts, in order, without a full stop at the end.
    """
    known = {_bare(text).casefold() for text in drop}
    kept = []
    for sentence in sentences:
        text = _bare(sentence)
        if text and text.casefold() not in known:
            known.add(text.casefold())
            kept.append(text)
    return kept


def _bare(text: str) -> str:
    return " ".join(str(text).split()).rstrip(". ")
