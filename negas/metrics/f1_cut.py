"""The confidence cut of the VOS protocol: the score with the best F1 on the ID set.

Source: the "optimal F1" threshold of ProbDet (Harakeh & Waslander, ICLR 2021), which VOS (Du et
al., ICLR 2022) uses to choose the boxes that are scored.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from pycocotools.cocoeval import COCOeval

from .coco import CocoSource, average_precision, evaluate_coco


@dataclass(frozen=True)
class ClassCut:
    """Best point of one class: recall in percent, F1 there, and the averaged score there."""

    recall_index: int
    f1: float
    score: float


@dataclass(frozen=True)
class F1Cut:
    """The cut and the AP (in [0, 1]) it comes with.

    Attributes:
        threshold: keep a box if its confidence is at least this.
        per_class: best point by class name; ``None`` for a class without ground truth.
        ap: COCO AP@[.50:.95].
        ap50: at IoU 0.5.
        ap75: at IoU 0.75.
    """

    threshold: float
    per_class: dict[str, ClassCut | None]
    ap: float
    ap50: float
    ap75: float


def f1_threshold(
    coco_gt: CocoSource,
    detections: Sequence[dict] | str | os.PathLike,
    vos: bool = False,
    class_names: Sequence[str] | None = None,
) -> F1Cut:
    """Find the cut on the ID set.

    Precision and scores are averaged over the 10 IoUs of COCO; each class takes the recall point
    with the best F1; the cut is the mean over classes of the averaged score there, classes with 0
    left out. Where a strict IoU does not reach a recall, COCO stores precision 0 and score 0: the
    cut is lower than any real score at that point (all scores 0.5 can give 0.325).

    ``vos`` reproduces the VOS code to the digit: it rounds to 4 decimals, and lets a class without
    ground truth enter the mean with -1 (we leave it out). The other arguments are those of
    :func:`~negas.metrics.coco_map`.

    Raises:
        ValueError: no class gives a score, so there is no cut; or malformed input.
    """
    return f1_cut(evaluate_coco(coco_gt, detections, class_names), vos)


def f1_cut(evaluation: COCOeval, vos: bool = False) -> F1Cut:
    """:func:`f1_threshold` of an evaluation that was made already (it takes most of the time)."""
    precision = evaluation.eval["precision"][:, :, :, 0, -1].mean(axis=0)  # [101 recalls, K]
    scores = evaluation.eval["scores"][:, :, :, 0, -1].mean(axis=0)
    recall = evaluation.params.recThrs[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2 * precision * recall / (precision + recall)
    # argmax stops at NaN, the 0/0 of a class that is never right: it then reads its point 0
    best = f1.argmax(axis=0)
    columns = np.arange(len(best))
    found = scores[best, columns]
    has_truth = precision.max(axis=0) > -1

    names = [category["name"] for category in evaluation.cocoGt.loadCats(evaluation.params.catIds)]
    missing = [name for name, has in zip(names, has_truth, strict=True) if not has]
    if missing:
        warnings.warn(
            f"classes without ground truth are "
            f"{'counted as -1 (vos=True)' if vos else 'left out'}: {', '.join(missing)}.",
            stacklevel=2,
        )
    used = found[(found != 0) & (has_truth | vos)]
    if not used.size:
        raise ValueError(
            "no F1 cut exists: no class has both ground truth and detections; "
            "check the detector and its labels, or give a fixed confidence cut."
        )
    threshold = float(used.mean())
    per_class = {
        name: ClassCut(int(best[k]), float(np.nan_to_num(f1[best[k], k])), float(found[k]))
        if has_truth[k]
        else None
        for k, name in enumerate(names)
    }
    precisions = asdict(average_precision(evaluation))
    return F1Cut(round(threshold, 4) if vos else threshold, per_class, **precisions)
