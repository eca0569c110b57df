"""Images and crops of annotated objects, for encoders that look at one object at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from negas.pictures import read_rgb

ImageSource = Image.Image | str | os.PathLike


def load_image(source: ImageSource) -> Image.Image:
    """An image file in RGB as a detector sees it; a Pillow image comes back as it is.

    Raises:
        FileNotFoundError: there is no such file.
        PictureError: it is no image, or a damaged one; the message starts with the path.
    """
    if isinstance(source, Image.Image):
        return source
    return read_rgb(source)


def crop_box(image: Image.Image, box: Sequence[float], margin: float = 0.0) -> Image.Image:
    """Cut a square around a box out of an image, as far as the image goes.

    The shorter side is widened to the longer one: an encoder's centre crop would otherwise cut off
    the ends of long objects. At the border the square is moved inside.

    Args:
        image: any mode.
        box: xyxy in pixels of the image.
        margin: share of the longer side that is added all around.

    Raises:
        ValueError: the box does not meet the image.
    """
    left, top, right, bottom = (float(value) for value in box)
    outside = right <= 0 or bottom <= 0 or left >= image.width or top >= image.height
    width, height = right - left, bottom - top
    side = max(width, height)
    side += 2 * margin * side
    sides = []
    for start, end, limit in ((left, right, image.width), (top, bottom, image.height)):
        low = min(max((start + end - side) / 2, 0), max(limit - side, 0))
        sides.append((round(low), min(limit, round(low + side))))
    (x1, x2), (y1, y2) = sides
    if outside or width <= 0 or height <= 0 or x2 <= x1 or y2 <= y1:
        raise ValueError(
            f"the box {[round(value, 1) for value in (left, top, right, bottom)]} has no area in "
            f"an image of {image.width}x{image.height} pixels; boxes are x1, y1, x2, y2."
        )
    return image.crop((x1, y1, x2, y2))


MARGIN = 0.05  # of a crop
DECODER = "opencv"  # what read the pixels of stored features
_LEFT_OUT = ("iscrowd", "difficult", "ignore")


@dataclass(frozen=True)
class ImageItem:
    """A whole image, or a square crop around a box of it.

    Attributes:
        path: the image file.
        box: xyxy in pixels, or ``None`` for the whole image.
        labels: indices of the ID classes it shows, where that is known.
        record: row of the records that a detected box comes from.
    """

    path: str
    box: tuple[float, float, float, float] | None = None
    labels: tuple[int, ...] = ()
    record: int | None = None

    def load(self) -> Image.Image:
        """The image or crop.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, or the box does not meet the image; with the path.
        """
        image = load_image(self.path)
        return image if self.box is None else self.cut(image)

    def cut(self, image: Image.Image) -> Image.Image:
        """The crop out of the image, which is open already."""
        try:
            return crop_box(image, self.box, MARGIN)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error


def annotated_crops(
    where: str | os.PathLike,
    truth: Mapping[str, Any],
    img_dir: str | os.PathLike,
    wanted: Mapping[int, int | None],
    min_size: float,
) -> list[ImageItem]:
    """Crops of the annotations of some categories, without crowds, difficult and small ones.

    Args:
        where: the annotation file, for errors.
        truth: COCO dict.
        img_dir: folder of its images.
        wanted: category id -> index of the ID class, or ``None`` if it is none.
        min_size: least length of the shorter side, in pixels.

    Raises:
        ValueError: an annotation of an image that is not listed.
    """
    files = {image["id"]: str(Path(img_dir) / image["file_name"]) for image in truth["images"]}
    items = []
    for ann in truth["annotations"]:
        if ann["category_id"] not in wanted or any(ann.get(flag) for flag in _LEFT_OUT):
            continue
        if ann["image_id"] not in files:
            raise ValueError(
                f"{where}: an annotation names image {ann['image_id']!r}, which is not in its "
                f"images."
            )
        x, y, width, height = map(float, ann["bbox"])
        if min(width, height) >= min_size:
            label = wanted[ann["category_id"]]
            box = (x, y, x + width, y + height)
            items.append(ImageItem(files[ann["image_id"]], box, () if label is None else (label,)))
    return items
