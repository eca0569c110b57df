"""AUROC, AUPR and FPR95 of two sets of scores.

**Larger scores = in-distribution (ID); ID is the positive class.** Libraries that take OOD as the
positive class (OpenOOD, pytorch-ood) report another number under the name FPR95:

- ``fpr95``, ours and VOS's: the share of **OOD** samples called known at the largest threshold
  that calls at least 95% of the **ID** samples known.
- ``fpr95_out``, theirs: the share of **ID** samples called unknown at the smallest threshold that
  calls at least 95% of the **OOD** samples unknown.

Neither follows from the other. ``fpr95_out`` is ``fpr95`` with the two sets exchanged and all
scores negated.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class OODResult:
    """How well scores tell ID from OOD; all values but thresholds and counts in [0, 1].

    Attributes:
        auroc: ``P(id > ood) + P(id = ood) / 2``.
        aupr: average precision with ID positive, step-wise.
        aupr_out: the same with OOD positive and negated scores.
        fpr95: share of OOD scores at or above ``threshold``.
        fpr95_closest: the same for ``threshold_closest``, the rule of the VOS code.
        fpr95_out: share of ID scores at or below the smallest value that at least ``recall`` of the
            OOD scores do not exceed: FPR95 with OOD positive, as OpenOOD and pytorch-ood have it.
        threshold: largest value that at least ``recall`` of the ID scores reach.
        tpr: share of ID scores that reach it; more than ``recall`` where scores tie.
        num_id: number of ID scores.
        num_ood: number of OOD scores.
        threshold_closest: value whose ID recall is closest to ``recall``, perhaps below it.
        tpr_closest: that recall.
        recall: the recall asked for; the field names say 95 whatever it is.
    """

    auroc: float
    aupr: float
    aupr_out: float
    fpr95: float
    fpr95_closest: float
    threshold: float
    tpr: float
    num_id: int
    num_ood: int
    fpr95_out: float
    threshold_closest: float
    tpr_closest: float
    recall: float = 0.95

    def to_dict(self) -> dict[str, float | int]:
        """All fields as plain numbers."""
        return asdict(self)


def ood_metrics(id_scores: object, ood_scores: object, recall: float = 0.95) -> OODResult:
    """Compare ID scores ``[n]`` with OOD scores ``[m]``: arrays, tensors or lists.

    Raises:
        ValueError: a set is empty, holds NaN or infinity, or ``recall`` is outside (0, 1].
    """
    ids = check_scores("id_scores", id_scores)
    oods = check_scores("ood_scores", ood_scores)
    check_recall(recall)
    ids, oods = np.sort(ids), np.sort(oods)  # each once: all numbers are counts in these two
    threshold = float(ids[len(ids) - required_count(recall, len(ids))])
    closest = _closest(ids, oods, recall)
    return OODResult(
        auroc=_auroc(ids, oods),
        aupr=_average_precision(ids, oods),
        aupr_out=_average_precision(-oods[::-1], -ids[::-1]),
        fpr95=_reaching(oods, threshold),
        fpr95_closest=_reaching(oods, closest),
        threshold=threshold,
        tpr=_reaching(ids, threshold),
        num_id=len(ids),
        num_ood=len(oods),
        fpr95_out=_reaching(-ids[::-1], -oods[required_count(recall, len(oods)) - 1]),
        threshold_closest=closest,
        tpr_closest=_reaching(ids, closest),
        recall=float(recall),
    )


def roc_curve(id_scores: object, ood_scores: object) -> tuple[np.ndarray, np.ndarray]:
    """Points of the ROC curve, ID positive: one for every distinct score, from the largest on.

    Args:
        id_scores: ``[n]``, as those of :func:`ood_metrics`.
        ood_scores: ``[m]``.

    Returns:
        Share of OOD scores and share of ID scores that are at least the score; both begin with 0
        and end with 1.
    """
    ids, oods = check_scores("id_scores", id_scores), check_scores("ood_scores", ood_scores)
    ids, oods = np.sort(ids), np.sort(oods)
    thresholds = np.unique(np.concatenate([ids, oods]))[::-1]
    reaching = [1 - np.searchsorted(each, thresholds) / len(each) for each in (oods, ids)]
    return np.r_[0.0, reaching[0]], np.r_[0.0, reaching[1]]


def _reaching(ascending: np.ndarray, threshold: float) -> float:
    """Share of ascending scores that are at least the threshold."""
    return float(len(ascending) - np.searchsorted(ascending, threshold)) / len(ascending)


def _auroc(ids: np.ndarray, oods: np.ndarray) -> float:
    """``P(id > ood) + P(id = ood) / 2`` of ascending scores: OOD scores below each ID score."""
    below = np.searchsorted(oods, ids, "left").sum(dtype=np.float64)
    not_above = np.searchsorted(oods, ids, "right").sum(dtype=np.float64)
    return float((below + not_above) / 2 / len(ids) / len(oods))


def _average_precision(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Step-wise average precision of ascending scores, larger = positive.

    The recall rises at the distinct positive scores only, by the positives that tie there; the
    precision at such a score counts all samples that reach it, so ties are one step.
    """
    new = np.r_[True, positives[1:] != positives[:-1]]
    start = np.flatnonzero(new)  # where each distinct score begins
    steps = np.diff(np.r_[start, len(positives)])
    true = len(positives) - start
    false = len(negatives) - np.searchsorted(negatives, positives[start])
    return float(steps @ (true / (true + false)) / len(positives))


def threshold_at_recall(ids: np.ndarray, recall: float = 0.95) -> float:
    """The ``ceil(recall * n)``-th largest ID score: at least ``recall`` of them are >= it."""
    rank = required_count(recall, len(ids))
    return float(np.partition(ids, len(ids) - rank)[len(ids) - rank])


def _closest(ids: np.ndarray, oods: np.ndarray, recall: float) -> float:
    """The pooled score whose ID recall is closest to ``recall``, as the VOS code finds it.

    With d_1 > ... > d_q the distinct ID scores: the d_j of the closest recall wins, on equal
    distance the larger recall. Among pooled scores of that recall the VOS code, walking up from
    low thresholds, takes the lowest; so OOD scores between d_j and d_(j+1) count as false
    positives. Only at recall 1 it is d_q itself. Both sets in ascending order.
    """
    start = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])  # of each distinct score
    recalls = (len(ids) - start) / len(ids)  # at the threshold ids[start], falling
    best = int(np.argmin(np.abs(recalls - recall)))  # the first = lowest threshold wins ties
    won = ids[start[best]]
    if best == 0:
        return float(won)
    first = np.searchsorted(oods, ids[start[best - 1]], "right")  # the next larger OOD score
    return float(oods[first] if first < len(oods) and oods[first] < won else won)


def required_count(recall: float, count: int | np.ndarray) -> int | np.ndarray:
    """``ceil(recall * count)`` in exact arithmetic: 0.95 means 19/20, not its nearest float."""
    share = Fraction(recall).limit_denominator(10**6)
    return -(-count * share.numerator // share.denominator)


def check_scores(name: str, scores: object) -> np.ndarray:
    """Scores as a float64 vector; raises ValueError if empty, NaN, infinite or not a vector."""
    if hasattr(scores, "detach"):  # a torch tensor, on whatever device
        scores = scores.detach().cpu().double()
    values = np.asarray(scores)
    if values.dtype.kind not in "fiub" or values.ndim != 1:
        raise ValueError(
            f"{name} must be a vector of numbers, got {values.dtype} of the shape {values.shape}."
        )
    if not len(values):
        raise ValueError(f"{name} is empty: no metric is defined without samples on both sides.")
    values = values.astype(np.float64)
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(f"{name} holds {bad} NaN or infinite values; every score must be finite.")
    return values


def check_recall(recall: float) -> None:
    """Raises ValueError unless ``0 < recall <= 1``."""
    if not 0 < recall <= 1:
        raise ValueError(f"recall must lie in (0, 1], got {recall!r}.")
