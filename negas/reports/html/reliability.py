"""How far the confidence can be taken at its word: precision per bin of confidence.

Expected calibration error: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
Eq. 3; on boxes as in Kueppers et al., "Multivariate Confidence Calibration for Object Detection",
CVPR Workshops 2020 (here over the confidence alone).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from negas.visualization.text import plain_figure


@dataclass(frozen=True, eq=False)
class Reliability:
    """Boxes in bins of equal width over [0, 1].

    Attributes:
        edges: ``[bins + 1]``.
        confidence: ``[bins]`` mean confidence, NaN in an empty bin.
        precision: ``[bins]`` share of right boxes, NaN in an empty bin.
        count: ``[bins]`` boxes.
        ece: mean distance of the two, weighted by the count, in [0, 1]; NaN without boxes.
    """

    edges: np.ndarray
    confidence: np.ndarray
    precision: np.ndarray
    count: np.ndarray
    ece: float


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> Reliability:
    """Compare confidence and precision.

    Args:
        confidence: ``[N]`` in [0, 1].
        correct: bool ``[N]``, whether the box is a true detection.
        bins: how many.

    Raises:
        ValueError: other lengths, or a confidence outside [0, 1].
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    correct = np.asarray(correct, dtype=np.float64)
    if confidence.shape != correct.shape or confidence.ndim != 1:
        raise ValueError(
            f"confidence and correct must be two lists of one length, got {confidence.shape} and "
            f"{correct.shape}"
        )
    if len(confidence) and not (0 <= confidence.min() and confidence.max() <= 1):
        raise ValueError("confidence must lie in [0, 1]")
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    total_confidence = np.bincount(place, confidence, bins)
    total_correct = np.bincount(place, correct, bins)
    with np.errstate(invalid="ignore"):
        means = total_confidence / count, total_correct / count
    gap = np.abs(total_confidence - total_correct).sum()
    ece = float(gap / len(confidence)) if len(confidence) else float("nan")
    return Reliability(np.linspace(0, 1, bins + 1), *means, count, ece)


def plot_reliability(curve: Reliability, cut: float, path: Path) -> None:
    """Bars of the precision, the diagonal, the confidence cut, and the number of boxes per bin."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.6), layout="constrained")
    FigureCanvasAgg(figure)  # a figure without pyplot: no global state, no display
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    width = np.diff(curve.edges)
    filled = curve.count > 0
    upper.bar(
        curve.edges[:-1][filled],
        curve.precision[filled],
        width[filled],
        align="edge",
        color="#1f6fb4",
        edgecolor="white",
        alpha=0.8,
        label="precision",
    )
    upper.plot([0, 1], [0, 1], color="gray", linewidth=1, label="confidence = precision")
    upper.plot(
        curve.confidence[filled], curve.precision[filled], "o-", color="#d95f02", markersize=4
    )
    upper.axvline(cut, color="black", linestyle="--", label=f"cut {cut:.3f}")
    upper.set(ylabel="precision on ID", ylim=(0, 1), xlim=(0, 1))
    upper.set_title(f"ECE {100 * curve.ece:.1f}%")
    upper.legend(fontsize=8, loc="upper left")
    lower.bar(
        curve.edges[:-1], curve.count, width, align="edge", color="#8a8f98", edgecolor="white"
    )
    lower.axvline(cut, color="black", linestyle="--")
    lower.set(xlabel="confidence", ylabel="boxes")
    plain_figure(figure)
    figure.savefig(path)
