"""Boxes on pictures: known ones green, unknown ones red and dashed, unknown objects red."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from negas.coco_json import check_images
from negas.files import read_json, whole_file
from negas.pictures import read_picture
from negas.records import SET_TITLES, BoxRecords
from negas.scores import get_score
from negas.text import shown_text
from negas.unknown import UNKNOWN_NAME

from .text import NAME, drawable, image_font

KNOWN = (27, 150, 60)
UNKNOWN = (215, 25, 40)
_DASH, _GAP = 9, 5  # pixels
_MARGIN, _FONT, _LEAST_FONT = 8, 15, 10
_HUGE = 50_000_000  # pixels over which a reduced copy is painted: painting takes many times a copy
_REDUCED = 4096  # pixels of that copy's longer side


class Finds(Protocol):
    """Unknown objects of a set: ``image_ids [n]``, ``bboxes [n,4]``, ``scores [n]``, ``words``.

    ``words [n]`` index the words that are told beside them.
    """

    image_ids: np.ndarray
    bboxes: np.ndarray
    scores: np.ndarray
    words: np.ndarray


def draw_scene(
    image: Image.Image,
    bboxes: np.ndarray,
    known: Sequence[bool | None],
    captions: Sequence[str],
    scale: float = 1,
) -> Image.Image:
    """Enlarge an image and draw boxes on it.

    Args:
        image: the scene.
        bboxes: [n, 4] xyxy in pixels of ``image``.
        known: verdict per box; ``None``: an unknown object, which has no ID name.
        captions: text per box.
        scale: enlargement, so that text is legible on small scenes.
    """
    size = (round(image.width * scale), round(image.height * scale))
    page = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(page)
    # Unknown boxes last: they are the fewer and the more important ones.
    order = sorted(range(len(bboxes)), key=lambda i: (not known[i], known[i] is None))
    for i in order:
        box = [
            float(np.clip(value * scale, 0, limit - 1))
            for value, limit in zip(bboxes[i], size * 2, strict=True)
        ]
        if known[i] is None:
            _rectangle(draw, box, UNKNOWN, width=3, halo=True)
        else:
            _rectangle(draw, box, KNOWN if known[i] else UNKNOWN, dashed=not known[i])
    placed: list[_Caption] = []
    # The best places for the important ones, and of these for the first, which are the surest.
    for i in sorted(order, key=lambda i: (known[i] is not None, bool(known[i]), i)):
        colour = KNOWN if known[i] else UNKNOWN
        placed.append(_place_caption(bboxes[i] * scale, captions[i], colour, size, placed))
    for caption in reversed(placed):  # over all boxes
        caption.draw(draw)
    return page


def draw_records(
    image: Image.Image,
    kept: BoxRecords,
    values: np.ndarray,
    tau: float,
    image_id: int | str,
    unknown: Finds | None = None,
    words: Sequence[str] = (),
    scale: float = 1,
    shrink: float = 1,
) -> Image.Image:
    """:func:`draw_scene` with what a test recorded of an image.

    Args:
        image: the scene.
        kept: boxes that are drawn, also those of other images.
        values: their scores, [N].
        tau: a box is known iff its score is at least this.
        image_id: of the image.
        unknown: unknown objects of the set.
        words: what they are like.
        scale: enlargement.
        shrink: of the image against the one that boxes are given for.
    """
    rows = np.flatnonzero(kept.image_ids == image_id)
    known: list[bool | None] = (values[rows] >= tau).tolist()
    texts, boxes = captions(kept, rows, values), kept.bboxes[rows]
    if unknown is not None:
        objects = np.flatnonzero(unknown.image_ids == image_id)
        known += [None] * len(objects)
        texts += [unknown_caption(words[unknown.words[i]], unknown.scores[i]) for i in objects]
        boxes = np.concatenate([boxes, unknown.bboxes[objects]])
    return draw_scene(image, boxes * shrink, known, texts, scale)


def paintable(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture [H, W, 3] to paint on and its scale: one of over 50 megapixels is reduced."""
    height, width = pixels.shape[:2]
    if height * width <= _HUGE:
        return pixels, 1.0
    scale = _REDUCED / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX)), scale


def mark_scale(page: Image.Image, scale: float, width: int, height: int) -> None:
    """Say at the lower edge that a page shows a reduced copy; see :func:`paintable`."""
    if scale < 1:
        text = f"reduced to {100 * scale:.0f}% of {width}x{height} pixels"
        corner = np.array([0, page.height, 0, page.height])
        _place_caption(corner, text, (60, 60, 60), page.size).draw(ImageDraw.Draw(page))


def detections_page(
    records: Mapping[str, BoxRecords],
    score: str,
    cut: float,
    tau: float,
    path: Path,
    per_set: int = 6,
    scale: float = 2,
    title: str = "",
    unknown: Mapping[str, Finds] | None = None,
    words: Sequence[str] = (),
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
        unknown: unknown objects by set name.
        words: what they are like.

    Raises:
        FileNotFoundError: an image or annotation file is missing.
        ValueError: no set has a box over the cut.
    """
    strips = []
    for name, part in records.items():
        kept = part.select(part.scores >= np.float32(cut))
        objects = (unknown or {}).get(name)
        shown = [kept.image_ids, *([] if objects is None else [objects.image_ids])]
        scenes = _some_scenes(np.concatenate(shown), per_set)
        if not scenes:
            continue
        values = kept.score_with(get_score(score))
        known = values >= tau
        files = image_files(part)
        tiles = []
        for image_id in scenes:
            image = Image.fromarray(open_image(files, image_id)[..., ::-1])
            what = (kept, values, tau, image_id, objects, words)
            tiles.append(draw_records(image, *what, scale=scale))
        share = f"{int(known.sum())} of {len(known)} boxes known"
        if objects is not None:
            share += f", {len(objects.scores)} unknown objects found"
        strips.append((f"{SET_TITLES.get(name, name + '-OOD')}: {share}", tiles))
    if not strips:
        raise ValueError(f"no set has a box over the confidence cut {cut:.3f}; nothing to draw")
    rule = f"green: known ({score} >= {tau:.3f}), red and dashed: unknown"
    if unknown:
        rule += ", red: unknown object"
    page = _page(f"{title}   {rule}".strip(), strips)
    save_picture(page, path)
    return path


def save_picture(page: Image.Image, path: Path) -> None:
    """Write an image file, whole or not at all; its folder is made."""
    with whole_file(path) as partial:
        page.save(partial, Image.registered_extensions()[path.suffix.lower()])


def _some_scenes(image_ids: np.ndarray, count: int) -> list:
    """``count`` of the ids, evenly spread over the set."""
    ids = np.unique(image_ids)
    if not len(ids):
        return []
    places = np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int))
    return [ids[i].item() for i in places]


def captions(records: BoxRecords, rows: np.ndarray, values: np.ndarray) -> list[str]:
    """``label score`` for some rows; ``values`` [N] are the scores of all records."""
    names = records.meta["id_labels"]
    return [f"{shown_text(names[records.labels[i]], NAME)} {float(values[i]):.2f}" for i in rows]


def unknown_caption(word: str | None, score: float) -> str:
    """What stands on an unknown object: what it is like, where that is known."""
    like = f": {shown_text(word, NAME)}" if word else ""
    return f"{UNKNOWN_NAME}{like} {float(score):.2f}"


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


def _rectangle(
    draw: ImageDraw.ImageDraw,
    box: list[float],
    colour: tuple,
    dashed: bool = False,
    width: int = 2,
    halo: bool = False,
) -> None:
    left, top, right, bottom = (round(value) for value in box)
    if halo:  # red is seen on red, too
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline="white", width=width + 2)
    if not dashed:
        draw.rectangle((left, top, right, bottom), outline=colour, width=width)
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


@dataclass(frozen=True)
class _Caption:
    """White text on a colour, at a place of a page."""

    text: str
    colour: tuple
    left: int
    top: int
    width: int
    points: int

    @property
    def area(self) -> tuple[int, int, int, int]:
        return self.left, self.top, self.left + self.width + 1, self.top + self.points + 3

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        left, top, right, bottom = self.area
        draw.rectangle((left, top, right - 1, bottom - 1), fill=self.colour)
        middle, font = (left + 2, (top + bottom) / 2), image_font(self.text, self.points)
        draw.text(middle, self.text, fill="white", font=font, anchor="lm")


def _place_caption(
    box: np.ndarray,
    text: str,
    colour: tuple,
    size: tuple[int, int],
    placed: Sequence[_Caption] = (),
) -> _Caption:
    """A caption of a box, where it covers least of the others; it shrinks to fit the page."""
    text, points = drawable(text), _FONT
    while points > _LEAST_FONT and image_font(text, points).getlength(text) > size[0] - 5:
        points -= 1
    width = math.ceil(image_font(text, points).getlength(text)) + 4
    spots = _spots(box, width, points + 3, size)
    taken = np.array([caption.area for caption in placed]).reshape(-1, 4)
    both_lows = np.maximum(spots[:, None], taken[:, :2])
    both_highs = np.minimum(spots[:, None] + (width + 1, points + 3), taken[:, 2:])
    covered = (both_highs - both_lows).clip(min=0).prod(2).sum(1)
    left, top = spots[covered.argmin()].tolist()
    return _Caption(text, colour, left, top, width, points)


def _spots(box: np.ndarray, width: int, height: int, size: tuple[int, int]) -> np.ndarray:
    """Places (left, top) of a caption inside the page, [s, 2], the better ones first.

    Above the box, or inside it at the page's upper edge; else below it, then inside it, then in the
    rows next to it, at last anywhere in them.
    """
    most = max(size[0] - width, 0), size[1] - height
    near = [int(np.clip(x, 0, most[0])) for x in (box[0], box[2] - width)]
    above, inside, below = int(box[1]) - height, int(max(box[1], 0)) + 3, int(box[3]) + 2
    close = [above if above >= 0 else inside, below, inside, int(box[3]) - height - 2]
    rows = [
        top
        for row in range(1, 1 + size[1] // height)
        for top in (above - row * height, below + row * height)
    ]
    first = near[0], min(close[0], most[1])
    anywhere = range(0, most[0] + 1, max(1, width // 4))
    spots = [(left, top) for top in close + rows for left in near]
    spots += [(left, top) for top in close + rows for left in anywhere]
    return np.array([first, *(spot for spot in spots if 0 <= spot[1] <= most[1])])


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
