"""Images, and crops of annotated or detected boxes, as items that are opened when needed.

Boxes are xyxy in pixels of the whole image.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from negas.labels.crops import crop_box, load_image
from negas.records import BoxRecords

MARGIN = 0.05  # of a crop, as in negas.labels.prototypes
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


def ground_truth_crops(
    where: str,
    truth: Mapping[str, Any],
    files: Mapping[Any, str],
    wanted: Mapping[int, int] | Collection[int],
    min_size: float,
) -> list[ImageItem]:
    """Crops of the annotations of some categories, without crowds, difficult and small ones.

    Args:
        where: the annotation file, for errors.
        truth: COCO dict.
        files: image id -> path.
        wanted: category ids; of ID classes with their index.
        min_size: least length of the shorter side, in pixels.

    Raises:
        ValueError: an annotation of an image that is not listed, or no crop is left.
    """
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
            labels = (wanted[ann["category_id"]],) if isinstance(wanted, Mapping) else ()
            box = (x, y, x + width, y + height)
            items.append(ImageItem(files[ann["image_id"]], box, labels))
    if not items:
        raise ValueError(
            f"{where}: no box of at least {min_size:g} pixels of the wanted classes; check the "
            f"category names, use whole images, or lower the least size."
        )
    return sorted(items, key=lambda item: (item.path, item.box))  # an image is opened once


def detected_crops(
    name: str,
    detections: str | os.PathLike | None,
    files: Mapping[Any, str],
    min_score: float | None,
    min_size: float,
) -> tuple[list[ImageItem], dict[str, Any]]:
    """Crops of detected boxes, and the confidence cut that was used.

    Args:
        name: of the set, for errors.
        detections: records of a test run (npz), or COCO results (json).
        files: image id -> path.
        min_score: least confidence; ``None``: the cut of the run whose records these are.
        min_size: least length of the shorter side, in pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no file, no cut, boxes of images that are not listed, or no box is left.
    """
    if detections is None:
        raise ValueError(
            f"the set {name!r} has no detections; give records (npz) of tools/test.py or COCO "
            f"results (json), or choose another view."
        )
    from_records = Path(detections).suffix == ".npz"
    if from_records:
        records = BoxRecords.load(detections)
        rows = zip(records.image_ids.tolist(), records.bboxes.tolist(), records.scores, strict=True)
        min_score = _cut_of_run(Path(detections)) if min_score is None else min_score
    else:
        rows = _from_results(detections)
    if min_score is None:
        raise ValueError(
            f"{detections}: no confidence cut is known for these boxes; give one (--min-score)."
        )
    by_text = {str(image): path for image, path in files.items()}
    items = []
    for row, (image, box, score) in enumerate(rows):
        if str(image) not in by_text:
            raise ValueError(
                f"{detections}: a box is on image {image!r}, which is not in the annotations of "
                f"the set {name!r}; they belong to another set."
            )
        if score >= min_score and min(box[2] - box[0], box[3] - box[1]) >= min_size:
            place = row if from_records else None
            items.append(ImageItem(by_text[str(image)], tuple(map(float, box)), record=place))
    if not items:
        raise ValueError(
            f"{detections}: no box of at least {min_size:g} pixels has a confidence of "
            f"{min_score:g} or more; lower the cut (--min-score)."
        )
    items.sort(key=lambda item: (item.path, item.box))
    return items, {"min_score": min_score}


def _cut_of_run(records: Path) -> float | None:
    """The confidence cut in the results of the test run that wrote ``<run>/records/<set>.npz``."""
    results = records.parent.parent / "ood_results.json"
    if not results.is_file():
        return None
    try:
        cut = json.loads(results.read_text(encoding="utf-8")).get("cut")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{results}: not valid JSON ({error}); give --min-score.") from error
    return None if cut is None else float(cut)


def _from_results(path: str | os.PathLike) -> list[tuple[Any, list[float], float]]:
    rows = []
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file of detections.") from None
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error}).") from error
    if not isinstance(results, list):
        raise ValueError(f"{path}: COCO results are a list of detections.")
    for index, row in enumerate(results):
        try:
            x, y, width, height = map(float, row["bbox"])
            rows.append((row["image_id"], [x, y, x + width, y + height], float(row["score"])))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: result {index} is no COCO detection ({type(error).__name__}: {error})."
            ) from error
    return rows
