"""The curve of a metric over the number of negative labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .curves import new_figure, save_figure

TITLES = {"auroc": "AUROC (%), larger is better", "fpr95": "FPR95 (%), smaller is better"}


@dataclass(frozen=True)
class Line:
    """One line of a panel: values in [0, 1] per M, with the half width of its band."""

    label: str
    ms: Sequence[int]
    values: np.ndarray
    band: np.ndarray | None = None
    thin: bool = False


def plot_label_curves(
    panels: Mapping[str, Sequence[Line]],
    without: Mapping[str, float],
    chosen: int,
    path: Path,
) -> None:
    """Draw one panel per metric.

    Args:
        panels: metric (``auroc``, ``fpr95``) -> lines.
        without: metric -> value without negatives, a dashed line.
        chosen: M that is marked.
        path: image file to write.
    """
    figure, axes = new_figure(len(panels), width=5.2)
    for axis, (metric, lines) in zip(axes, panels.items(), strict=True):
        for line in lines:
            style = dict(linewidth=1, linestyle=":") if line.thin else dict(marker="o")
            (drawn,) = axis.plot(line.ms, 100 * line.values, label=line.label, **style)
            if line.band is not None:
                low, high = 100 * (line.values - line.band), 100 * (line.values + line.band)
                axis.fill_between(line.ms, low, high, color=drawn.get_color(), alpha=0.15)
        axis.axhline(
            100 * without[metric], color="gray", linestyle="--", label="max sigmoid, held-out"
        )
        axis.axvline(chosen, color="black", linewidth=0.8, label=f"chosen: {chosen}")
        ticks = sorted({m for line in lines for m in line.ms})
        axis.set_xscale("log")
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
        axis.set(xlabel="number of negative labels M", title=TITLES[metric])
    handles, labels = axis.get_legend_handles_labels()  # the same in all panels
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    save_figure(figure, path)
