"""Settings and outcome of a choice of M, and the files it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from negas.labels.choose import METRICS, Choice, Curve, Metric
from negas.metrics.protocol import Protocol
from negas.visualization.label_curve import Line, plot_label_curves


@dataclass(frozen=True)
class Options:
    """How to choose.

    Attributes:
        ms: settings of M to try; by default those of 5, 10, ... 200 that the bank has.
        score: name of a score that reads negatives.
        score_options: its options; ``logits="cosine"`` scores cosines in place of head logits.
        metric: ``auroc`` or ``fpr95``, what "best" means.
        orders: ``bank``, ``dissimilar``, ``random``.
        protocol: ``matched`` or ``vos``.
        cut: least confidence; default: the run's own, or the best F1 on these boxes.
        min_boxes: leave out classes with fewer pseudo-OOD boxes.
        encoder: text encoder for what the run has no embeddings of, and for ``dissimilar``.
        template: sentence around a label for that encoder.
        ann_file: ground truth of the boxes; default: as the dump says.
        compare: also score the run's test sets, after the choice, for comparison only.
        seed: of the random order.
    """

    ms: Sequence[int] | None = None
    score: str = "negs"
    score_options: Mapping[str, Any] = field(default_factory=dict)
    metric: Metric = "auroc"
    orders: Sequence[str] = ("bank",)
    protocol: Protocol = "matched"
    cut: float | None = None
    min_boxes: int = 5
    encoder: str | None = None
    template: str = "a photo of {}"
    ann_file: str | None = None
    compare: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """Curves, what they say, and what a reader needs beside them.

    Attributes:
        choice: the best order and M.
        curves: one per order.
        labels: the chosen labels, best first.
        counts: held-out class -> (ID boxes, pseudo-OOD boxes).
        left_out: class -> pseudo-OOD boxes, too few.
        notes: sentences for the reader.
        tests: order -> set -> metric -> values per M on the test sets.
        report: everything, ready for json.
    """

    choice: Choice
    curves: list[Curve]
    labels: list[str]
    counts: dict[str, tuple[int, int]]
    left_out: dict[str, int]
    notes: list[str]
    tests: dict[str, dict[str, dict[str, list[float]]]]
    report: dict[str, Any]


def report_of(outcome: Outcome, settings: dict, origin: str) -> dict[str, Any]:
    """Everything, ready for json; ``origin`` says where the embeddings come from."""
    curves = [
        dict(
            order=curve.order,
            ms=list(curve.ms),
            classes=list(curve.classes),
            **{
                metric: dict(
                    mean=curve.mean(metric).tolist(),
                    standard_error=curve.error(metric).tolist(),
                    per_class=curve.values[metric].tolist(),
                    max_sigmoid=curve.without[metric].tolist(),
                )
                for metric in METRICS
            },
        )
        for curve in outcome.curves
    ]
    choice = outcome.choice
    return dict(
        choice=dict(
            order=choice.order,
            num=choice.num,
            value=choice.value,
            gain_over_max_sigmoid=choice.gain,
            gain_standard_error=choice.gain_error,
            within_one_standard_error=[list(pair) for pair in choice.equal],
            labels=outcome.labels,
        ),
        curves=curves,
        boxes={name: dict(id=a, pseudo_ood=b) for name, (a, b) in outcome.counts.items()},
        left_out=outcome.left_out,
        notes=outcome.notes,
        embeddings=origin,
        settings=settings,
        test_sets_for_comparison_only=outcome.tests,  # the first value of each list is M = 0
    )


def draw(outcome: Outcome, path: Path) -> None:
    """The curves as a picture."""
    panels = {}
    for metric in METRICS:
        lines = [
            Line(f"held-out, order: {c.order}", c.ms, c.mean(metric), c.error(metric))
            for c in outcome.curves
        ]
        ms = outcome.curves[0].ms
        for name, table in outcome.tests.get(outcome.choice.order, {}).items():
            values = np.array(table[metric][1:])
            lines.append(Line(f"test set {name} (comparison)", ms, values, thin=True))
        panels[metric] = lines
    without = {metric: float(outcome.curves[0].without[metric].mean()) for metric in METRICS}
    plot_label_curves(panels, without, outcome.choice.num, path)
