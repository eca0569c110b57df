"""A picture of any size as an exported network takes it, and the way back for its boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

Rounding = Literal["down", "half_up", "half_even"]
Shrinking = Literal["area", "linear", "pillow"]
_WHOLE = dict(down=int, half_up=lambda side: int(side + 0.5), half_even=round)


class Place(NamedTuple):
    """Where a picture lies in the network's input: sides before and after, offset."""

    size: tuple[int, int]
    scaled: tuple[int, int]
    left: int
    top: int

    def row(self) -> list[int]:
        """As exported files take it: offset, sides after and before."""
        return [self.left, self.top, *self.scaled, *self.size]


@dataclass(frozen=True)
class Letterbox:
    """Scale a picture with its proportions until it fits, and fill up the rest.

    All sizes are width and height in pixels.

    Attributes:
        size: of the network's input.
        fit: into which the picture is scaled; at most ``size``.
        scale_up: whether small pictures are enlarged.
        center: whether the filling goes to both sides, or all to the right and below.
        fill: its colour, RGB.
        rounding: of the scaled sides.
        shrink: how shrinking looks at pixels: ``area`` and ``linear`` are OpenCV's, up to 1 of 255,
            ``pillow`` is Pillow's bilinear.
    """

    size: tuple[int, int]
    fit: tuple[int, int]
    scale_up: bool = True
    center: bool = False
    fill: tuple[int, int, int] = (0, 0, 0)
    rounding: Rounding = "half_up"
    shrink: Shrinking = "linear"

    def place(self, size: tuple[int, int]) -> Place:
        """Where a picture of a size goes."""
        ratio = min(self.fit[0] / size[0], self.fit[1] / size[1])
        if not self.scale_up:
            ratio = min(ratio, 1.0)
        whole = _WHOLE[self.rounding]
        scaled = tuple(max(whole(side * ratio), 1) for side in size)
        rest = [full - side for full, side in zip(self.size, scaled, strict=True)]
        left, top = (round(gap // 2 - 0.1) if self.center and gap else 0 for gap in rest)
        return Place(size, scaled, left, top)

    def __call__(self, picture: Image.Image) -> tuple[np.ndarray, Place]:
        """The network's input, uint8 RGB [3, h, w], and where the picture lies in it."""
        place = self.place(picture.size)
        picture = picture.convert("RGB")
        canvas = Image.new("RGB", self.size, self.fill)
        canvas.paste(self._scaled(picture, place), (place.left, place.top))
        return np.ascontiguousarray(np.asarray(canvas).transpose(2, 0, 1)), place

    def _scaled(self, picture: Image.Image, place: Place) -> Image.Image:
        if place.scaled == place.size:
            return picture
        if self.shrink == "pillow":
            return picture.resize(place.scaled, Image.Resampling.BILINEAR)
        # Not by Pillow, whose bilinear looks at more pixels the more it shrinks.
        shrinks = all(after <= before for before, after in zip(*place[:2], strict=True))
        resize = _by_area if self.shrink == "area" and shrinks else _by_four
        pixels = np.asarray(picture)
        for axis, side in ((0, place.scaled[1]), (1, place.scaled[0])):
            pixels = np.moveaxis(resize(np.moveaxis(pixels, axis, 0), side), 0, axis)
        return Image.fromarray(np.rint(pixels).astype(np.uint8))

    @staticmethod
    def restore(boxes: np.ndarray, place: Place) -> np.ndarray:
        """Boxes [n, 4], xyxy in pixels of the network's input, in those of the picture."""
        offset = np.array([place.left, place.top] * 2, dtype=np.float32)
        ratios = [after / before for before, after in zip(place.size, place.scaled, strict=True)]
        boxes = (boxes - offset) / np.array(ratios * 2, dtype=np.float32)
        return boxes.clip(0, np.array(place.size * 2, dtype=np.float32))


def _by_four(rows: np.ndarray, count: int) -> np.ndarray:
    """Rows between the two nearest ones, as OpenCV's bilinear resizing has them."""
    places = (np.arange(count) + 0.5) * (len(rows) / count) - 0.5
    first = np.floor(places).astype(int)
    part = (places - first).astype(np.float32).reshape(-1, *[1] * (rows.ndim - 1))
    low, high = (rows[one.clip(0, len(rows) - 1)] for one in (first, first + 1))
    return low * (1 - part) + high * part


def _by_area(rows: np.ndarray, count: int) -> np.ndarray:
    """Means of the rows that fall into each new one, parts of rows included: OpenCV's area."""
    ends = np.arange(count + 1) * (len(rows) / count)
    whole = np.minimum(ends.astype(int), len(rows) - 1)
    part = (ends - whole).reshape(-1, *[1] * (rows.ndim - 1))
    below = np.concatenate([np.zeros_like(rows[:1], np.float64), np.cumsum(rows, 0, np.float64)])
    sums = below[whole] + part * rows[whole]
    return np.diff(sums, axis=0) * (count / len(rows))


def padded(size: tuple[int, int], divisor: int) -> tuple[int, int]:
    """The next larger width and height that are multiples of a number."""
    return tuple(math.ceil(side / divisor) * divisor for side in size)
