"""Score histograms and ROC curves of OOD sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from negas.files import whole_file
from negas.metrics import ood_metrics, oscr, oscr_curve, roc_curve
from negas.metrics.objects import RECALLS

from .text import plain_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTS = ("scores.png", "roc.png")  # of a test


def draw_histogram(
    id_scores: np.ndarray, ood_scores: Mapping[str, np.ndarray], score: str
) -> Figure:
    """Density of a score on ID and OOD samples, with the threshold that keeps 95% of ID.

    Args:
        id_scores: [n].
        ood_scores: [m] per OOD set.
        score: its name, for the axis.
    """
    figure, axes = new_figure(len(ood_scores), width=5)
    everything = np.concatenate([id_scores, *ood_scores.values()])
    bins = np.linspace(everything.min(), everything.max() + 1e-9, 41)
    for axis, (name, values) in zip(axes, ood_scores.items(), strict=True):
        result = ood_metrics(id_scores, values)
        axis.hist(id_scores, bins, density=True, alpha=0.6, color="#1b7837", label="ID (known)")
        axis.hist(values, bins, density=True, alpha=0.6, color="#d95f02", label=f"{name} (unknown)")
        axis.axvline(result.threshold, color="black", linestyle="--", label="95% of ID above")
        axis.set_title(f"{name}: FPR95 {100 * result.fpr95:.1f}, AUROC {100 * result.auroc:.1f}")
        axis.set_xlabel(score)
        axis.legend(fontsize=8)
    axes[0].set_ylabel("density")
    plain_figure(figure)
    return figure


def plot_histogram(
    id_scores: np.ndarray, ood_scores: Mapping[str, np.ndarray], score: str, path: Path
) -> None:
    """:func:`draw_histogram` into an image file."""
    save_figure(draw_histogram(id_scores, ood_scores, score), path)


def plot_roc(curves: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], path: Path) -> None:
    """ROC curves, ID positive.

    Args:
        curves: OOD set -> label -> (ID scores [n], OOD scores [m]).
        path: image file to write.
    """
    figure, axes = new_figure(len(curves), width=4.5)
    for axis, (name, by_label) in zip(axes, curves.items(), strict=True):
        for label, (id_scores, ood_scores) in by_label.items():
            auroc = ood_metrics(id_scores, ood_scores).auroc
            axis.plot(*roc_curve(id_scores, ood_scores), label=f"{label} ({100 * auroc:.1f})")
        axis.axhline(0.95, color="gray", linestyle=":", linewidth=1)
        axis.plot([0, 1], [0, 1], color="gray", linewidth=0.5)
        axis.set(title=name, xlabel="OOD kept (FPR)", ylabel="ID kept (TPR)", aspect="equal")
        axis.legend(fontsize=8, loc="lower right", title="AUROC")
    save_figure(figure, path)


def plot_oscr(
    curves: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], path: Path
) -> None:
    """OSCR curves: unknown objects taken for known over the recall of known ones, lower is better.

    Args:
        curves: OOD set -> label -> thresholds of known [n] and unknown [m] objects, as
            :meth:`negas.metrics.ObjectPairs.reached` gives them.
        path: image file to write.
    """
    figure, axes = new_figure(len(curves), width=4.5)
    for axis, (name, by_label) in zip(axes, curves.items(), strict=True):
        for label, (known, unknown) in by_label.items():
            area = oscr(known, unknown).oscr
            axis.plot(*oscr_curve(known, unknown), label=f"{label} ({100 * area:.1f})")
        for recall in RECALLS:
            axis.axvline(recall, color="gray", linestyle=":", linewidth=1)
        axis.set(title=name, xlabel="known objects found", ylabel="unknown objects taken for known")
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axis.legend(fontsize=8, loc="upper left", title="OSCR")
    save_figure(figure, path)


def plot_scores(
    id_scores: Mapping[str, np.ndarray],
    ood_scores: Mapping[str, Mapping[str, np.ndarray]],
    main: str,
    out_dir: Path,
) -> list[Path]:
    """Both pictures of a run, :data:`PLOTS`.

    Args:
        id_scores: [n] per score name.
        ood_scores: OOD set -> score name -> [m].
        main: score of the histogram.
        out_dir: where to write.
    """
    filled = {name: by for name, by in ood_scores.items() if all(len(v) for v in by.values())}
    if not filled or not all(len(values) for values in id_scores.values()):
        return []
    paths = [out_dir / name for name in PLOTS]
    plot_histogram(id_scores[main], {n: by[main] for n, by in filled.items()}, main, paths[0])
    curves = {
        name: {score: (id_scores[score], values) for score, values in by.items()}
        for name, by in filled.items()
    }
    plot_roc(curves, paths[1])
    return paths


def new_figure(panels: int, width: float) -> tuple[Figure, np.ndarray]:
    """A figure of some panels side by side, each ``width`` inches wide, and its axes [panels]."""
    from matplotlib.figure import Figure

    # Figure without pyplot: no global state, no display.
    figure = Figure(figsize=(width * panels, 4), layout="constrained")
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def save_figure(figure: Figure, path: Path) -> None:
    """Write an image file, texts as they stand, whole or not at all; its folder is made."""
    plain_figure(figure)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, format=path.suffix[1:])
