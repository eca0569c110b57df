"""What the Inferencer leaves behind: painted images and videos, and one COCO json."""

from __future__ import annotations

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import mmcv
import numpy as np

from negas.files import write_json

from .inputs import Picture

RESULTS_FILE = "predictions.json"


class CocoResults:
    """Predictions as a COCO dict whose annotations carry ``score``, ``id_score`` and ``known``.

    Args:
        class_names: categories 1..K.
        info: what the numbers depend on, for people.
    """

    def __init__(self, class_names: Sequence[str], info: dict) -> None:
        self.info = info
        self.categories = [dict(id=k + 1, name=name) for k, name in enumerate(class_names)]
        self.images: list[dict] = []
        self.annotations: list[dict] = []

    def add(self, picture: Picture, prediction: dict) -> None:
        """Add one picture; ``prediction`` as :class:`~negas.apis.Inferencer` returns it."""
        height, width = picture.pixels.shape[:2]
        image = dict(id=len(self.images) + 1, file_name=picture.path or picture.name)
        image.update(width=width, height=height)
        if picture.frame is not None:
            image["frame"] = picture.frame
        self.images.append(image)
        for i, (left, top, right, bottom) in enumerate(prediction["bboxes"]):
            row = dict(
                id=len(self.annotations) + 1,
                image_id=image["id"],
                category_id=prediction["labels"][i] + 1,
                label=prediction["label_names"][i],
                bbox=[left, top, right - left, bottom - top],
                area=(right - left) * (bottom - top),
                iscrowd=0,
                score=prediction["scores"][i],
            )
            for key, column in (("id_score", "id_scores"), ("known", "known")):
                if column in prediction:
                    row[key] = prediction[column][i]
            self.annotations.append(row)

    def save(self, folder: Path, complete: bool, unreadable: Sequence[dict]) -> Path:
        """Write ``predictions.json``, whole or not at all.

        Args:
            folder: exists.
            complete: whether all inputs were looked at; ``False`` after an interruption.
            unreadable: ``dict(path, reason)`` of inputs without predictions.
        """
        info = self.info | dict(complete=complete, unreadable=list(unreadable))
        content = dict(info=info, images=self.images, annotations=self.annotations)
        target = folder / RESULTS_FILE
        write_json(target, content | dict(categories=self.categories), indent=None)
        return target


class Painted:
    """Painted copies in ``<folder>/vis``: images under their names, videos as MP4."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "vis"
        self._video: cv2.VideoWriter | None = None
        self._name: str | None = None
        self._videos: set[Path] = set()

    def add(self, picture: Picture, drawn: np.ndarray) -> None:
        """Write one picture; ``drawn`` [h, w, 3] RGB.

        Raises:
            OSError: OpenCV cannot write videos here.
        """
        pixels = np.ascontiguousarray(drawn[..., ::-1])
        if picture.frame is None:
            mmcv.imwrite(pixels, str(self.folder / picture.name))
            return
        if self._name != picture.name:
            self.close()
            self.folder.mkdir(parents=True, exist_ok=True)
            path = (self.folder / picture.name).with_suffix(".mp4")
            if path in self._videos:  # clip.avi beside clip.mov
                path = self.folder / f"{picture.name}.mp4"
            self._videos.add(path)
            codec = cv2.VideoWriter_fourcc(*"mp4v")
            self._video = cv2.VideoWriter(str(path), codec, picture.fps, pixels.shape[1::-1])
            if not self._video.isOpened():
                raise OSError(f"the painted video {str(path)!r} cannot be written; use --no-vis")
            self._name = picture.name
        self._video.write(pixels)

    def close(self) -> None:
        """Finish the video that is being written, if any."""
        if self._video is not None:
            self._video.release()
        self._video = self._name = None


def print_unreadable(unreadable: Sequence[dict]) -> int:
    """Name inputs that were left out, on standard error.

    Args:
        unreadable: ``dict(path, reason)`` each.

    Returns:
        A command's exit code: 1 if there are any, so that a script notices, else 0.
    """
    if not unreadable:
        return 0
    print(f"warning: unreadable inputs, left out: {len(unreadable)}", file=sys.stderr)
    for found in unreadable:
        print(f"  {found['path']}: {found['reason']}", file=sys.stderr)
    return 1
