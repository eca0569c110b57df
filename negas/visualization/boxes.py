"""A page of detections: known boxes green, unknown ones red and dashed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from negas.coco_json import check_images
from negas.files import read_json, whole_file
from negas.pictures import read_picture
from negas.records import SET_TITLES, BoxRecords
from negas.scores import get_score
from negas.text import shown_text

from .text import NAME, drawable, image_font

KNOWN = (27, 150, 60)
UNKNOWN = (215, 25, 40)
_DASH, _GAP = 9, 5  # pixels
_MARGIN, _FONT = 8, 15
_HUGE = 50_000_000  # pixels over which a reduced copy is painted: painting takes many times a copy
_REDUCED = 4096  # pixels of that copy's longer side


def draw_scene(
    image: Image.Image,
    bboxes: np.ndarray,
    known: Sequence[bool],
    captions: Sequence[str],
    scale: float = 1,
) -> Image.Image:
    """Enlarge an image and draw boxes on it.

    Args:
        image: the scene.
        bboxes: [n, 4] xyxy in pixels of ``image``.
        known: verdict per box.
        captions: text per box.
        scale: enlargement, so that text is legible on small scenes.
    """
    size = (round(image.width * scale), round(image.height * scale))
    page = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(page)
    # Unknown boxes last: they are the fewer and the more important ones.
    for i in sorted(range(len(bboxes)), key=lambda i: not known[i]):
        box = [
            float(np.clip(value * scale, 0, limit - 1))
            for value, limit in zip(bboxes[i], size * 2, strict=True)
        ]
        _rectangle(draw, box, KNOWN if known[i] else UNKNOWN, dashed=not known[i])
    for i in range(len(bboxes)):  # captions over all boxes
        _caption(draw, bboxes[i] * scale, captions[i], KNOWN if known[i] else UNKNOWN, size)
    return page


def paintable(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture [H, W, 3] to paint on and its scale: one of over 50 megapixels is reduced."""
    height, width = pixels.shape[:2]
    if height * width <= _HUGE:
        return pixels, 1.0
    scale = _REDUCED / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), scale


def mark_scale(page: Image.Image, scale: float, width: int, height: int) -> None:
    """Say at the lower edge that a page shows a reduced copy; see :func:`paintable`."""
    if scale < 1:
        text = f"reduced to {100 * scale:.0f}% of {width}x{height} pixels"
        _caption(ImageDraw.Draw(page), np.array([0, page.height]), text, (60, 60, 60), page.size)


def detections_page(
    records: Mapping[str, BoxRecords],
    score: str,
    cut: float,
    tau: float,
    path: Path,
    per_set: int = 6,
    scale: float = 2,
    title: str = "",
) -> Path:
    """Draw some scenes of every set, one set per row.

    Args:
        records: boxes by set name, with ``meta`` keys ``img_dir``, ``ann_file`` and ``id_labels``.
        score: name of :data:`negas.scores.SCORES`.
        cut: least confidence of a box that is drawn.
        tau: a box is known iff its score is at least this.
        path: image file to write.
        per_set: scenes per set; scenes without a box are passed over.
        scale: enlargement of the scenes.
        title: line on top of the page.

    Raises:
        FileNotFoundError: an image or annotation file is missing.
        ValueError: no set has a box over the cut.
    """
    strips = []
    for name, part in records.items():
        kept = part.select(part.scores >= np.float32(cut))
        scenes = _some_scenes(kept, per_set)
        if not scenes:
            continue
        values = kept.score_with(get_score(score))
        known = values >= tau
        files = image_files(part)
        tiles = []
        for image_id in scenes:
            rows = np.flatnonzero(kept.image_ids == image_id)
            texts = captions(kept, rows, values)
            image = Image.fromarray(open_image(files, image_id)[..., ::-1])
            tiles.append(draw_scene(image, kept.bboxes[rows], known[rows], texts, scale))
        share = f"{int(known.sum())} of {len(known)} boxes known"
        strips.append((f"{SET_TITLES.get(name, name + '-OOD')}: {share}", tiles))
    if not strips:
        raise ValueError(f"no set has a box over the confidence cut {cut:.3f}; nothing to draw")
    rule = f"green: known ({score} >= {tau:.3f}), red and dashed: unknown"
    page = _page(f"{title}   {rule}".strip(), strips)
    save_picture(page, path)
    return path


def save_picture(page: Image.Image, path: Path) -> None:
    """Write an image file, whole or not at all; its folder is made."""
    with whole_file(path) as partial:
        page.save(partial, Image.registered_extensions()[path.suffix.lower()])


def _some_scenes(kept: BoxRecords, count: int) -> list:
    """Ids of ``count`` scenes with a box, evenly spread over the set."""
    ids = np.unique(kept.image_ids)
    if not len(ids):
        return []
    places = np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int))
    return [ids[i].item() for i in places]


def captions(records: BoxRecords, rows: np.ndarray, values: np.ndarray) -> list[str]:
    """``label score`` for some rows; ``values`` [N] are the scores of all records."""
    names = records.meta["id_labels"]
    return [f"{shown_text(names[records.labels[i]], NAME)} {float(values[i]):.2f}" for i in rows]


def image_files(records: BoxRecords) -> dict[int | str, Path]:
    """Image id -> file, from the json that the records name.

    Raises:
        FileNotFoundError: the json does not exist.
        ValueError: it is not sound.
    """
    ann_file, folder = Path(records.meta["ann_file"]), Path(records.meta["img_dir"])
    data = read_json(ann_file, "prepare the data set")
    images = check_images(data, str(ann_file), files=True)
    return {image["id"]: folder / image["file_name"] for image in images}


def open_image(files: Mapping, image_id: int | str) -> np.ndarray:
    """Pixels [H, W, 3], uint8, BGR, of an image of :func:`image_files`.

    Raises:
        FileNotFoundError: it does not exist.
        PictureError: it cannot be read.
    """
    file = files.get(image_id)
    if file is None or not file.is_file():
        raise FileNotFoundError(
            f"image {image_id!r} ({str(file)!r}) does not exist; prepare the data set again"
        )
    return read_picture(file)


def _rectangle(draw: ImageDraw.ImageDraw, box: list[float], colour: tuple, dashed: bool) -> None:
    left, top, right, bottom = (round(value) for value in box)
    if not dashed:
        draw.rectangle((left, top, right, bottom), outline=colour, width=2)
        return
    width = 3
    for start in range(left, right + 1, _DASH + _GAP):
        end = min(start + _DASH, right)
        draw.rectangle((start, top, end, top + width - 1), fill=colour)
        draw.rectangle((start, bottom - width + 1, end, bottom), fill=colour)
    for start in range(top, bottom + 1, _DASH + _GAP):
        end = min(start + _DASH, bottom)
        draw.rectangle((left, start, left + width - 1, end), fill=colour)
        draw.rectangle((right - width + 1, start, right, end), fill=colour)


def _caption(
    draw: ImageDraw.ImageDraw,
    box: np.ndarray,
    text: str,
    colour: tuple,
    size: tuple[int, int],
) -> None:
    """White text on the box's colour: above the box, or inside it at the image's upper edge."""
    text = drawable(text)
    font = image_font(text, _FONT)
    width, height = math.ceil(draw.textlength(text, font=font)) + 4, _FONT + 3
    left = int(np.clip(box[0], 0, max(size[0] - width, 0)))
    top = int(box[1]) - height if box[1] >= height else int(max(box[1], 0)) + 3
    top = min(top, size[1] - height)
    draw.rectangle((left, top, left + width, top + height - 1), fill=colour)
    draw.text((left + 2, top + height / 2), text, fill="white", font=font, anchor="lm")


def _page(title: str, strips: Sequence[tuple[str, list[Image.Image]]]) -> Image.Image:
    """Rows of tiles under headings on white."""
    heading = _FONT + 2 * _MARGIN
    width = max(sum(tile.width + _MARGIN for tile in tiles) for _, tiles in strips) + _MARGIN
    heights = [max(tile.height for tile in tiles) for _, tiles in strips]
    page = Image.new("RGB", (width, heading + sum(h + heading for h in heights)), "white")
    _heading(page, title, heading / 2)
    top = heading
    for (text, tiles), height in zip(strips, heights, strict=True):
        _heading(page, text, top + heading / 2)
        left = _MARGIN
        for tile in tiles:
            page.paste(tile, (left, top + heading))
            left += tile.width + _MARGIN
        top += heading + height
    return page


def _heading(page: Image.Image, text: str, middle: float) -> None:
    text = drawable(text, 200)
    place, font = (_MARGIN, middle), image_font(text, _FONT + 1)
    ImageDraw.Draw(page).text(place, text, fill="black", font=font, anchor="lm")
