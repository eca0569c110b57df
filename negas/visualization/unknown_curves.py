"""Curves of unknown objects: recall over false boxes, and over the number of words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .curves import new_figure, save_figure

UNKNOWN_PLOT = "unknown.png"  # of a test
_PARTS = {"all": "", "without_ood": ", no OOD words"}


def plot_unknown(curves: Mapping, path: Path) -> None:
    """Draw what there is; nothing is written without any curve.

    Args:
        curves: of :meth:`negas.evaluation.unknown.rows.Evaluation.curves`.
        path: image file to write.
    """
    drawn = [draw for key, draw in _PANELS.items() if curves[key]]
    if not drawn:
        path.unlink(missing_ok=True)
        return
    figure, axes = new_figure(len(drawn), width=5.2)
    for axis, draw in zip(axes, drawn, strict=True):
        draw(axis, curves)
    save_figure(figure, path)


def _over_false_boxes(axis, curves: Mapping) -> None:
    colors: dict[str, str] = {}
    for curve in curves["false_boxes"]:
        name, part = curve["ood_set"], curve["vocabulary"]
        false, recall = zip(*curve["points"], strict=True)
        style = dict(color=colors[name], linestyle=":") if name in colors else {}
        (line,) = axis.plot(
            false, [100 * r for r in recall], label=f"{name}{_PARTS[part]}", **style
        )
        colors.setdefault(name, line.get_color())
        if not style:
            axis.plot(curve["at"][0], 100 * curve["at"][1], "o", color=colors[name])
    axis.set(xlabel="false boxes per ID image", ylabel="unknown objects found (%)")
    axis.set(xlim=(0, None), ylim=(0, 100), title="dots: threshold of the run")
    axis.legend(fontsize=8, loc="lower right")


def _over_words(axis, curves: Mapping) -> None:
    points = curves["words"]
    sizes = [point["words"] for point in points]
    for name in points[0]["recall"]:
        axis.plot(sizes, [100 * p["recall"][name] for p in points], marker="o", label=name)
    axis.set_xscale("log")
    axis.set_xticks(sizes, [str(size) for size in sizes], rotation=45)
    axis.minorticks_off()
    axis.set(xlabel="words of the vocabulary", ylabel="unknown objects found (%)")
    axis.set(ylim=(0, 100), title="threshold found anew for each")
    axis.legend(fontsize=8, loc="lower right")


_PANELS = dict(false_boxes=_over_false_boxes, words=_over_words)
