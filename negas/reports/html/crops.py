"""Pictures of single boxes: the box with what is around it, as JPEG in ``data:`` URIs."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from negas.pictures import read_picture
from negas.visualization.boxes import draw_scene

from .page import Picture, Verdict
from .plots import data_uri

_SIDE = 320  # pixels of a picture's longer side
_AROUND = 0.6  # of the box's longer side, on every side of it
_LEAST = 24  # pixels of the image: a tiny box is shown with at least this much around it


def box_picture(
    file: Path | None,
    bbox: np.ndarray,
    text: str,
    alt: str,
    caption: list[str],
    verdict: Verdict | None = None,
    known: bool | None = None,
) -> Picture:
    """Cut a box out of its image and draw it: known green, unknown red and dashed, objects red.

    Args:
        file: the image, ``None`` if the annotations do not list it.
        bbox: [4] xyxy in pixels of the image.
        text: on the box.
        alt: for those who do not see the picture.
        caption: lines below the picture.
        verdict: on the box, which is drawn both ways; ``None``: as ``known`` says.
        known: whether the box is known; ``None``: an unknown object.
    """
    if file is None:
        missing = "the annotations do not list the image"
        return Picture(alt, None, caption, missing, verdict)
    if not file.is_file():
        return Picture(alt, None, caption, f"image not on disk: {file}", verdict)
    try:
        pixels = read_picture(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        missing = f"image cannot be read: {file} ({reason})"
        return Picture(alt, None, caption, missing, verdict)
    bbox = np.sort(bbox.reshape(2, 2), axis=0).ravel()  # a box with swapped corners can be drawn
    left, top, right, bottom = region = _region(bbox, pixels.shape[1::-1])
    scale = _SIDE / max(region[2] - region[0], region[3] - region[1])
    origin = np.array([*region[:2], *region[:2]])
    crop = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right, ::-1]))

    def drawn(known: bool | None) -> str:
        stream = io.BytesIO()
        page = draw_scene(crop, [bbox - origin], [known], [text], scale)
        page.save(stream, "JPEG", quality=85, optimize=True)
        return data_uri(stream.getvalue(), "image/jpeg")

    if verdict is None:
        return Picture(alt, drawn(known), caption)
    verdict = replace(verdict, unknown_uri=drawn(False))
    return Picture(alt, drawn(True), caption, verdict=verdict)


def _region(bbox: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A square around the box, as far as the image goes: inside it, never empty."""
    limits = np.array(size)
    box = np.clip(bbox.astype(np.float64), 0, np.tile(limits, 2))
    sides = box[2:] - box[:2]
    side = max(float(sides.max()) * (1 + 2 * _AROUND), float(sides.max()) + 2 * _LEAST)
    shown = np.clip(np.ceil(np.full(2, side)), 1, limits).astype(int)
    start = np.floor((box[:2] + box[2:] - shown) / 2).astype(int)
    start = np.clip(start, 0, limits - shown)  # moved rather than cut at the image's edge
    return int(start[0]), int(start[1]), int(start[0] + shown[0]), int(start[1] + shown[1])
