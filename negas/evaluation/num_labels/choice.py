"""How many negative labels? Chosen without OOD data: ID classes play the unknown in turn.

For a held-out class c its label is taken from the detector's list. Boxes on objects of c that are
still confident then are pseudo-OOD, boxes on objects of the other classes are ID, and a score with
the first M negatives has to part them. The mean over classes, as a function of M, is the curve.
Everything is computed from the detections on the ID validation set; nothing is trained or run.

Shapes: N boxes, K ID labels, B labels of the bank, F held-out classes, S settings of M.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from negas.labels.selection.ranking import unit_rows
from negas.metrics.coco import CocoSource, category_ids, id_labels_of, load_coco
from negas.metrics.protocol import Protocol, select_samples
from negas.metrics.roc import ood_metrics
from negas.records import BoxRecords
from negas.scores import Score

Metric = Literal["auroc", "fpr95"]
METRICS: tuple[Metric, ...] = ("auroc", "fpr95")
ORDERS = ("bank", "dissimilar", "random")


@dataclass(frozen=True)
class Fold:
    """One held-out class: which boxes are ID ``[N]`` and which pseudo-OOD ``[N]``, as masks."""

    name: str
    label: int
    is_id: np.ndarray
    is_ood: np.ndarray


@dataclass(frozen=True)
class Curve:
    """Metrics by number of negatives, for one order of the bank's labels.

    Attributes:
        order: name of the order.
        ms: the S settings of M, rising.
        classes: the F held-out classes.
        values: metric -> ``[F, S]``.
        without: metric -> ``[F]``: max sigmoid, which reads no negatives.
    """

    order: str
    ms: tuple[int, ...]
    classes: tuple[str, ...]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    without: dict[str, np.ndarray] = field(default_factory=dict)

    def mean(self, metric: Metric) -> np.ndarray:
        """Mean over classes ``[S]``."""
        return self.values[metric].mean(axis=0)

    def error(self, metric: Metric) -> np.ndarray:
        """Standard error ``[S]`` of that mean: how much the choice of classes matters."""
        return _standard_error(self.values[metric])


@dataclass(frozen=True)
class Choice:
    """What the curves say.

    Attributes:
        order: the best order of the bank's labels.
        num: the best M; on equal values the smallest, in the order given first.
        value: its mean metric.
        gain: by how much it is better than max sigmoid (negative: worse), mean over classes.
        gain_error: standard error of that (classes are paired).
        equal: settings (order, M) whose paired difference to the best is within its standard error.
    """

    order: str
    num: int
    value: float
    gain: float
    gain_error: float
    equal: tuple[tuple[str, int], ...]


def make_folds(
    records: BoxRecords,
    truth: CocoSource,
    cut: float,
    protocol: Protocol = "matched",
    min_boxes: int = 5,
    progress: Callable[[Sequence], Sequence] = lambda items: items,
) -> tuple[list[Fold], dict[str, int]]:
    """Hold out every ID class in turn.

    A box is pseudo-OOD if its confidence without the held-out label reaches the cut, it overlaps an
    object of that class (IoU > 0.5) and is no true detection of another object. ID samples are the
    true detections of the other classes (``matched``) or all other confident boxes (``vos``).

    Args:
        records: detections of the ID validation set, with ``meta["id_labels"]``.
        truth: its ground truth.
        cut: least confidence of a sample, in [0, 1].
        protocol: ``matched`` or ``vos``.
        min_boxes: leave out a class with fewer pseudo-OOD boxes (or with fewer ID boxes left).
        progress: wraps the loop over classes, for a bar.

    Returns:
        The folds, and the number of pseudo-OOD boxes of each class that was left out.

    Raises:
        ValueError: fewer than two ID labels, labels that are no categories, or every class is left
            out.
    """
    names = id_labels_of(records)
    if len(names) < 2:
        raise ValueError("holding a class out needs at least two ID labels.")
    coco = load_coco(truth)
    folds, left_out = [], {}
    for label, category in progress(list(enumerate(category_ids(coco, names)))):
        rest = without_label(records, label)
        held_out = {
            **coco.dataset,
            "annotations": [a for a in coco.dataset["annotations"] if a["category_id"] == category],
        }
        true = select_samples(rest, cut, "matched", coco, "id")
        is_ood = select_samples(rest, cut, "matched", held_out, "ood") & ~true
        is_id = true if protocol == "matched" else select_samples(rest, cut, protocol) & ~is_ood
        if min(is_ood.sum(), is_id.sum()) < max(1, min_boxes):
            left_out[names[label]] = int(is_ood.sum())
        else:
            folds.append(Fold(names[label], label, is_id, is_ood))
    if not folds:
        most = max(left_out.values())
        raise ValueError(
            f"no ID class can be held out: at the confidence cut {cut:.4g} none leaves "
            f"{min_boxes} boxes behind (the most is {most}); lower the cut or min_boxes, or use a "
            f"larger validation set."
        )
    return folds, left_out


def held_out_curve(
    records: BoxRecords,
    folds: Sequence[Fold],
    score: Score,
    ms: Sequence[int],
    orders: np.ndarray,
    name: str = "bank",
    cosine: bool = False,
) -> Curve:
    """Mean metrics over the held-out classes for every M.

    Args:
        records: the boxes of the folds, with the negative logits ``[N, B]`` of the whole bank.
        folds: see :func:`make_folds`.
        score: reads negatives.
        ms: settings of M, each at most B.
        orders: ``[B]``, the bank's labels best first, or ``[K, B]``, one row per held-out label.
        name: of the order.
        cosine: score cosines in place of head logits (needs embeddings).

    Raises:
        ValueError: a score without negatives, no negative logits, or an M that does not fit.
    """
    if not score.needs_negatives:
        raise ValueError(
            f"score {score.name!r} reads no negatives, so their number does not matter to it; "
            f"choose one that does, such as 'negs'."
        )
    if records.neg_logits is None:
        raise ValueError("these records hold no negative logits; rescore them with a bank first.")
    size = records.neg_logits.shape[1]
    ms = check_ms(ms, size)
    orders = np.broadcast_to(orders, (records.num_ids, size))
    source = records.as_cosines() if cosine else records
    values = {metric: np.zeros((len(folds), len(ms))) for metric in METRICS}
    without = {metric: np.zeros(len(folds)) for metric in METRICS}
    for row, fold in enumerate(folds):
        keep = np.arange(records.num_ids) != fold.label
        sides = [np.flatnonzero(mask) for mask in (fold.is_id, fold.is_ood)]
        # max sigmoid ranks as the largest logit does; that does not saturate
        plain = [records.id_logits[rows][:, keep].max(axis=1) for rows in sides]
        _put(without, row, ood_metrics(*plain))
        for column, num in enumerate(ms):
            labels = orders[fold.label, :num]
            pair = [
                score(source.id_logits[rows][:, keep], source.neg_logits[rows][:, labels])
                for rows in sides
            ]
            _put(values, (row, column), ood_metrics(*pair))
    return Curve(name, ms, tuple(fold.name for fold in folds), values, without)


def choose(curves: Sequence[Curve], metric: Metric = "auroc") -> Choice:
    """The order and M with the best mean; ties go to the smallest M, then to the first order.

    Raises:
        ValueError: no curve, or an unknown metric.
    """
    if not curves or metric not in METRICS:
        raise ValueError(f"give at least one curve and a metric of {', '.join(METRICS)}.")
    sign = 1.0 if metric == "auroc" else -1.0
    options = [(curve, column) for curve in curves for column in range(len(curve.ms))]
    # rounding: two means that differ in the last bit of a sum are equal
    best, column = max(
        options, key=lambda at: (np.round(sign * at[0].mean(metric)[at[1]], 9), -at[0].ms[at[1]])
    )
    chosen = best.values[metric][:, column]
    gain = sign * (chosen - best.without[metric])
    equal = []
    for curve, at in options:
        behind = sign * (chosen - curve.values[metric][:, at])
        if behind.mean() <= _standard_error(behind) + 1e-12:
            equal.append((curve.order, curve.ms[at]))
    return Choice(
        best.order,
        best.ms[column],
        float(chosen.mean()),
        float(gain.mean()),
        float(_standard_error(gain)),
        tuple(equal),
    )


def label_orders(
    kind: str,
    size: int,
    neg_feats: object | None = None,
    id_feats: object | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """An order of the bank's labels, best first.

    Args:
        kind: ``bank`` (as they stand), ``dissimilar`` (least like any ID text first; without the
            held-out class, which plays the unknown, when one is held out), ``random``.
        size: B.
        neg_feats: ``[B, D]`` text embeddings, for ``dissimilar``.
        id_feats: ``[K, D]``.
        seed: of ``random``.

    Returns:
        ``[B]`` with all ID labels, to be used in the end, and ``[B]`` or ``[K, B]`` for the folds.

    Raises:
        ValueError: unknown kind, or embeddings are missing.
    """
    if kind == "bank":
        return (order := np.arange(size)), order
    if kind == "random":
        return (order := np.random.default_rng(seed).permutation(size)), order
    if kind != "dissimilar":
        raise ValueError(f"the order must be one of {', '.join(ORDERS)}, got {kind!r}.")
    if neg_feats is None or id_feats is None:
        raise ValueError("the order 'dissimilar' needs text embeddings: name the text encoder.")
    negatives = unit_rows("neg_feats", neg_feats)
    similarity = np.round(negatives @ unit_rows("id_feats", id_feats, negatives.shape[1]).T, 6)
    per_fold = [np.delete(similarity, label, axis=1) for label in range(similarity.shape[1])]
    order, *folds = (part.max(axis=1).argsort(kind="stable") for part in [similarity, *per_fold])
    return order, np.stack(folds)


def check_ms(ms: Sequence[int], size: int) -> tuple[int, ...]:
    """Settings of M, rising and once each.

    Raises:
        ValueError: none, or one that is not in 1..B.
    """
    found = tuple(sorted({int(m) for m in ms}))
    if not found or found[0] < 1 or found[-1] > size:
        raise ValueError(f"every M must lie in 1..{size}, the size of the bank; got {list(ms)}.")
    return found


def without_label(records: BoxRecords, label: int) -> BoxRecords:
    """The boxes as a detector without that label would hand them on: labels and confidences."""
    keep = np.arange(records.num_ids) != label
    logits = records.id_logits[:, keep]
    names = [name for name, kept in zip(id_labels_of(records), keep, strict=True) if kept]
    confidence = 1 / (1 + np.exp(-logits.max(axis=1).astype(np.float64)))
    meta: Mapping[str, Any] = {**records.meta, "id_labels": names}
    return replace(
        records, id_logits=logits, labels=logits.argmax(axis=1), scores=confidence, meta=dict(meta)
    )


def _put(table: dict[str, np.ndarray], place: object, result: object) -> None:
    for metric, values in table.items():
        values[place] = getattr(result, metric)


def _standard_error(values: np.ndarray) -> np.ndarray:
    """Over the first axis; 0 for a single value."""
    count = len(values)
    return values.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else abs(0 * values[0])
