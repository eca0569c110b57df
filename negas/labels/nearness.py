"""Leakage that words do not show: labels whose text embedding is near that of an OOD class.

A cosine of 0.85 says little by itself: CLIP's texts are all alike, another encoder's are not. The
threshold is therefore read off the bank: how near are its labels to each other, which are meant to
be different things?

Shapes: M labels, N OOD classes, D text channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .leakage import Finding
from .selection.ranking import unit_rows

Encode = Callable[[list[str]], object]  # names -> [n, D] embeddings: a tensor or an array


@dataclass(frozen=True)
class Nearness:
    """How near the labels come to the OOD classes.

    Attributes:
        labels: the M labels.
        nearest: of each label, the OOD class with the largest cosine.
        cosines: that cosine, in [-1, 1].
        baseline: of each label, the largest cosine to another label of the bank.
        threshold: labels at or over it are reported.
        quantile: of the baseline, where the threshold was taken; None if it was given.
    """

    labels: tuple[str, ...]
    nearest: tuple[str, ...]
    cosines: tuple[float, ...]
    baseline: tuple[float, ...]
    threshold: float
    quantile: float | None

    def share_below(self, cosine: float) -> float:
        """Share of labels whose nearest other label is less near than ``cosine``, in [0, 1]."""
        return float(np.mean(np.asarray(self.baseline) < cosine))

    def findings(self) -> list[Finding]:
        """The labels at or over the threshold, with their nearest class."""
        rows = zip(self.labels, self.nearest, self.cosines, strict=True)
        return [
            Finding(
                label,
                name,
                "similar",
                f"cosine {cosine:.3f}; {self.share_below(cosine):.0%} of the labels have no other "
                f"label so near",
            )
            for label, name, cosine in rows
            if cosine >= self.threshold
        ]


def measure_nearness(
    labels: Sequence[str],
    ood_names: Sequence[str | Sequence[str]],
    encode: Encode,
    quantile: float = 0.95,
    threshold: float | None = None,
) -> Nearness:
    """Compare text embeddings of labels and OOD classes (of a class, its first name).

    CHOICE: by default a label is reported if it is nearer to an OOD class than ``quantile`` of the
    labels are to their nearest other label.

    Args:
        labels: the M negative labels, at least two unless ``threshold`` is given.
        ood_names: the N OOD classes, at least one.
        encode: names to embeddings of any length; called once for labels and once for classes.
        quantile: of the baseline, in [0, 1].
        threshold: a cosine in [-1, 1] in place of the quantile.

    Raises:
        ValueError: a number out of range, nothing to compare, or embeddings that are not finite.
    """
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must be in [0, 1], got {quantile}.")
    if threshold is not None and not -1 <= threshold <= 1:
        raise ValueError(f"threshold must be a cosine in [-1, 1], got {threshold}.")
    if len(labels) < (2 if threshold is None else 1) or not len(ood_names):
        raise ValueError(
            f"got {len(labels)} labels and {len(ood_names)} OOD classes; similarity needs two "
            f"labels to compare with each other (or a threshold), and a class."
        )
    names = [entry if isinstance(entry, str) else entry[0] for entry in ood_names]
    feats = unit_rows("the embeddings of labels", encode(list(labels)), dtype=np.float64)
    width = feats.shape[1]
    class_feats = unit_rows("the embeddings of OOD classes", encode(names), width, np.float64)
    # 70,000 labels do not fit against each other at once
    to_classes, baseline = [], []
    for start in range(0, len(feats), 2048):
        block = feats[start : start + 2048]
        to_classes.append(block @ class_feats.T)
        among = block @ feats.T
        among[np.arange(len(block)), np.arange(start, start + len(block))] = -1.0
        baseline.append(among.max(1))
    cosines, baseline = np.clip(np.concatenate(to_classes), -1, 1), np.concatenate(baseline)
    best = cosines.argmax(1)
    limit = float(np.quantile(baseline, quantile)) if threshold is None else threshold
    return Nearness(
        labels=tuple(labels),
        nearest=tuple(names[i] for i in best),
        cosines=tuple(cosines.max(1).tolist()),
        baseline=tuple(np.clip(baseline, -1, 1).tolist()),
        threshold=limit,
        quantile=quantile if threshold is None else None,
    )
