"""Judged boxes on their picture, and their places between the ID validation scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from negas.predictions import Results
from negas.text import shown_text
from negas.visualization.boxes import KNOWN, UNKNOWN, draw_scene, paintable, unknown_caption
from negas.visualization.text import NAME, plain_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEGIBLE, _LARGEST = 480, 1600  # pixels of the longer side of what is shown
_BINS = 30


def painted(pixels: np.ndarray, results: Results) -> Image.Image:
    """A picture with its boxes: known green, unknown red and dashed, unknown objects red.

    Boxes have the numbers of the table. One without a verdict is drawn as a known one.

    Args:
        pixels: ``[H, W, 3]`` uint8, RGB.
        results: judged.
    """
    page, shrink = paintable(pixels)
    known = [None if box.label < 0 else box.known is not False for box in results]
    captions = [_caption(number, box) for number, box in enumerate(results, 1)]
    longest = max(page.shape[:2])
    scale = min(max(1.0, _LEGIBLE / longest), _LARGEST / longest)
    return draw_scene(Image.fromarray(page), results.boxes * shrink, known, captions, scale)


def _caption(number: int, box) -> str:
    if box.label < 0:
        return f"{number} {unknown_caption(box.unknown_like, box.confidence)}"
    value = box.confidence if box.id_score is None else box.id_score
    if box.known is False:
        return f"{number} {unknown_caption(None, value)}"
    return f"{number} {shown_text(box.name, NAME)} {value:.2f}"


def places(id_scores: np.ndarray | None, results: Results, tau: float | None) -> Figure | None:
    """Where each box lies between the ID validation scores; ``None`` where there are none.

    Args:
        id_scores: ``[v]``.
        results: judged; unknown objects have no place.
        tau: drawn as a line.
    """
    if id_scores is None or not len(id_scores):
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axis = figure.subplots()
    boxes = [(n, box) for n, box in enumerate(results, 1) if box.id_score is not None]
    values = [box.id_score for _, box in boxes]
    ends = (min([*id_scores, *values]), max([*id_scores, *values]))
    counts, _, _ = axis.hist(
        id_scores, bins=_BINS, range=ends, color="#b8c4ce", label="ID validation boxes"
    )
    top = max(float(counts.max()), 1.0)
    for i, (number, box) in enumerate(boxes):
        colour = [part / 255 for part in (UNKNOWN if box.known is False else KNOWN)]
        height = top * (1.06 + 0.11 * (i % 3))
        axis.plot([box.id_score] * 2, [0, height], color=colour, linewidth=1.5)
        axis.text(box.id_score, height, str(number), color=colour, ha="center", va="bottom")
    if tau is not None:
        axis.axvline(tau, color="black", linestyle="--", linewidth=1, label="tau")
    axis.set(xlabel="id_score", ylabel="boxes", ylim=(0, 1.45 * top))
    axis.set_title("The boxes between those of ID validation", loc="left", fontsize=10)
    axis.legend(loc="upper left", fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    plain_figure(figure)
    return figure
