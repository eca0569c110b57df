"""A page of heat maps over an image, each with its colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from negas.files import whole_file

from .text import drawable, plain_figure

_TILE, _BAR = 2.9, 0.75  # inches: width of a map, and what its colour bar takes
_SMALL, _LARGE = 0.45, 2.2  # least and largest height of a map in widths
_HEAT, _SIGNED = "inferno", "RdBu_r"
_LETTERS = 34


@dataclass(frozen=True)
class HeatMap:
    """Values over an image.

    Attributes:
        values: [h, w], covering the whole image in any resolution.
        title: above the map.
        note: below the map.
        mark: point (x, y) to mark, in the image's pixels.
    """

    values: np.ndarray
    title: str = ""
    note: str = ""
    mark: tuple[float, float] | None = None


@dataclass(frozen=True)
class HeatRow:
    """Maps side by side; ``signed``: differences, in two colours around 0."""

    title: str
    maps: Sequence[HeatMap]
    signed: bool = False


def paint_heat(
    image: np.ndarray,
    rows: Sequence[HeatRow],
    path: Path,
    limits: tuple[float, float] | None = None,
    title: str = "",
) -> Path:
    """Write a page: the image, and rows of heat maps over it.

    Args:
        image: [H, W, 3], RGB.
        rows: all with the same number of maps.
        path: PNG file to write.
        limits: range of the colours; ``None``: from the least to the largest value of a column,
            the same for all of its rows. Differences have a range of their own, symmetric to 0.
        title: on top of the page.

    Raises:
        ValueError: no map, rows of different length, or limits that are no range.
    """
    from matplotlib.figure import Figure

    count = len(rows[0].maps) if rows else 0
    if not count or any(len(row.maps) != count for row in rows):
        raise ValueError("a page needs rows of equally many heat maps, at least one of each")
    if limits is not None and not limits[0] < limits[1]:
        raise ValueError(f"the colours' range must be rising, got {limits[0]} to {limits[1]}")
    height, width = image.shape[:2]
    tile = _TILE * float(np.clip(height / width, _SMALL, _LARGE))
    # Figure without pyplot: no global state, no display.
    size = (_TILE + count * (_TILE + _BAR), 0.4 + len(rows) * (tile + 0.45))
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(len(rows), count + 1, squeeze=False)
    grey = np.asarray(image, dtype=np.float64) @ (0.299, 0.587, 0.114) / 255
    for number, (line, row) in enumerate(zip(axes, rows, strict=True)):
        for axis in line:
            axis.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
        if number == 0:
            line[0].imshow(image, extent=(0, width, height, 0), aspect="equal")
        else:
            line[0].axis("off")
        for column, (axis, heat) in enumerate(zip(line[1:], row.maps, strict=True)):
            values = [one.maps[column].values for one in rows if one.signed == row.signed]
            low, high = _range(values, row.signed, limits)
            axis.imshow(grey, extent=(0, width, height, 0), cmap="gray", vmin=0, vmax=1)
            shown = axis.imshow(
                heat.values,
                extent=(0, width, height, 0),
                cmap=_SIGNED if row.signed else _HEAT,
                vmin=low,
                vmax=high,
                alpha=0.65,
                interpolation="nearest",
            )
            bar = figure.colorbar(shown, ax=axis, shrink=0.9, ticks=[low, (low + high) / 2, high])
            bar.ax.set_yticklabels(_ticks(low, high, row.signed), fontsize=7)
            axis.set_title(heat.title, fontsize=9)
            axis.set_xlabel(drawable(heat.note, _LETTERS), fontsize=8)
            if heat.mark is not None:
                axis.plot(*heat.mark, "x", color="cyan", markersize=8, markeredgewidth=2)
        line[1].set_ylabel(row.title, fontsize=10)
    plain_figure(figure)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
    return path


def _range(
    values: Sequence[np.ndarray], signed: bool, limits: tuple[float, float] | None
) -> tuple[float, float]:
    low = float(min(one.min() for one in values))
    high = float(max(one.max() for one in values))
    if signed:
        high = max(abs(low), abs(high), 1e-6)
        return -high, high
    if limits is not None:
        return limits
    return (low, high) if high > low else (low - 1e-6, high + 1e-6)


def _ticks(low: float, high: float, signed: bool) -> list[str]:
    """Numbers with as many decimals as tell them apart."""
    digits = int(np.clip(2 - np.floor(np.log10(high - low)), 2, 6))
    sign = "+" if signed else ""
    return [f"{value:{sign if value else ''}.{digits}f}" for value in (low, (low + high) / 2, high)]
