"""``predictions.json``, which ``negas infer`` leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from negas.files import read_json, write_json
from negas.unknown import UNKNOWN_LABEL, UNKNOWN_NAME

from .coco import VERDICT, result_rows
from .results import Results

PREDICTIONS_FILE = "predictions.json"


class PredictionsFile:
    """Predictions as a COCO dict whose annotations carry ``id_score``, ``known``, ``unknown_like``.

    Args:
        class_names: categories 1..K.
        info: what the numbers depend on, for people.
        unknown: whether unknown objects are among them: the category K+1.
    """

    def __init__(self, class_names: Sequence[str], info: dict, unknown: bool = False) -> None:
        self.info = info
        names = [*class_names, *([UNKNOWN_NAME] if unknown else [])]
        self.categories = [dict(id=k + 1, name=name) for k, name in enumerate(names)]
        self.images: list[dict] = []
        self.annotations: list[dict] = []

    def add(self, results: Results) -> None:
        """Add one picture."""
        image = dict(id=len(self.images) + 1, file_name=results.file_name)
        image.update(width=results.size[0], height=results.size[1])
        if results.frame is not None:
            image["frame"] = results.frame
        self.images.append(image)
        for label, row in zip(results.labels.tolist(), result_rows(results), strict=True):
            first = dict(id=len(self.annotations) + 1, image_id=image["id"])
            first["category_id"] = len(self.categories) if label == UNKNOWN_LABEL else label + 1
            row["area"] = row["bbox"][2] * row["bbox"][3]
            self.annotations.append(first | row | dict(iscrowd=0))

    def save(self, folder: Path, complete: bool, unreadable: Iterable[dict]) -> Path:
        """Write ``predictions.json``, whole or not at all.

        Args:
            folder: exists.
            complete: whether all inputs were looked at; ``False`` after an interruption.
            unreadable: ``dict(path, reason)`` of inputs without predictions.
        """
        info = self.info | dict(complete=complete, unreadable=list(unreadable))
        content = dict(info=info, images=self.images, annotations=self.annotations)
        target = folder / PREDICTIONS_FILE
        write_json(target, content | dict(categories=self.categories), indent=None)
        return target


def read_predictions(path: str | os.PathLike) -> list[Results]:
    """What :class:`PredictionsFile` wrote, picture by picture.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none of them.
    """
    data = read_json(path, "run negas infer again")
    fault = f"{path}: no predictions of negas infer"
    try:
        by_image: dict[int, list[dict]] = {image["id"]: [] for image in data["images"]}
        for row in data["annotations"]:
            by_image[row["image_id"]].append(row)
        names = [category["name"] for category in data["categories"]]
        unknown = bool(data["info"]["unknown"])
        classes = names[:-1] if unknown else names
        return [_read_one(image, by_image[image["id"]], classes) for image in data["images"]]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{fault} ({type(error).__name__}: {error})") from error


def _read_one(image: dict, rows: list[dict], classes: list[str]) -> Results:
    corners = [(x, y, x + w, y + h) for x, y, w, h in (row["bbox"] for row in rows)]
    labels = [row["category_id"] - 1 for row in rows]
    columns = {key: [row[key] for row in rows] for key in VERDICT}
    return Results(
        boxes=corners,
        labels=[label if label < len(classes) else UNKNOWN_LABEL for label in labels],
        names=[row["label"] for row in rows],
        confidence=[row["score"] for row in rows],
        **columns,
        class_names=tuple(classes),
        file_name=image["file_name"],
        size=(image["width"], image["height"]),
        frame=image.get("frame"),
        is_file="frame" not in image and os.path.isfile(image["file_name"]),
    )
