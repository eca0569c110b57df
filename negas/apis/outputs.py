"""What the Inferencer leaves behind: painted images and videos, and one COCO json."""

from __future__ import annotations

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from negas.files import (
    append_lines,
    plain,
    read_lines,
    refuse_input,
    whole_file,
    write_json,
)
from negas.text import escaped
from negas.unknown import UNKNOWN_LABEL, UNKNOWN_NAME

from .inputs import Picture, Pictures

RESULTS_FILE = "predictions.json"
_COLUMNS = {  # of an annotation, and the lists of a prediction that they are from
    "id_score": "id_scores",
    "known": "known",
    "unknown_like": "unknown_like",
    "unknown_like_score": "unknown_like_score",
}


class CocoResults:
    """Predictions as a COCO dict whose annotations carry ``score``, ``id_score`` and ``known``.

    Args:
        class_names: categories 1..K.
        info: what the numbers depend on, for people.
        unknown: whether unknown objects are among them: the category K+1.
    """

    def __init__(self, class_names: Sequence[str], info: dict, unknown: bool = False) -> None:
        self.info = info
        names = [*class_names, *([UNKNOWN_NAME] if unknown else [])]
        self.categories = [dict(id=k + 1, name=name) for k, name in enumerate(names)]
        self._unknown = len(names)
        self.images: list[dict] = []
        self.annotations: list[dict] = []

    def add(self, size: Sequence[int], prediction: dict) -> None:
        """Add one picture of (width, height); see :class:`~negas.apis.Inferencer`'s predictions."""
        image = dict(id=len(self.images) + 1, file_name=prediction["file_name"])
        image.update(width=size[0], height=size[1])
        if "frame" in prediction:
            image["frame"] = prediction["frame"]
        self.images.append(image)
        for i, (left, top, right, bottom) in enumerate(prediction["bboxes"]):
            label = prediction["labels"][i]
            row = dict(
                id=len(self.annotations) + 1,
                image_id=image["id"],
                category_id=self._unknown if label == UNKNOWN_LABEL else label + 1,
                label=prediction["label_names"][i],
                bbox=[left, top, right - left, bottom - top],
                area=(right - left) * (bottom - top),
                iscrowd=0,
                score=prediction["scores"][i],
            )
            for key, column in _COLUMNS.items():
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


class Journal:
    """Predictions as they are made, in ``predictions.jsonl``: what a kill leaves of a run.

    The first line says what they depend on. A run that comes to its end removes the file.

    Args:
        folder: exists.
        about: what predictions depend on, JSON values.
        resume: go on with what is there; otherwise it is replaced.

    Attributes:
        rows: what is there and still holds: ``size`` (width, height), ``stamp`` of the file and
            ``prediction``.

    Raises:
        ValueError: what is there was made with something else.
    """

    def __init__(self, folder: Path, about: dict, resume: bool) -> None:
        self.path = folder / "predictions.jsonl"
        self.rows: list[dict] = []
        about = json.loads(json.dumps(plain(about)))
        if resume and self.path.is_file():
            found, _ = read_lines(self.path)
            head = found[0] if found else about  # cut off in its first line: nothing was done
            rows = [row for row in found[1:] if _is_row(row)]
            for key, value in about.items():
                if not isinstance(head, dict) or head.get(key) != value:
                    raise ValueError(
                        f"{str(self.path)!r} was made with another {key.replace('_', ' ')}; name "
                        "another --out-dir, or start anew without --resume"
                    )
            # of a video that was cut short, the painted copy cannot be gone on with
            last = rows[-1]["prediction"] if rows else {}
            open_video = last["file_name"] if "frame" in last else None
            self.rows = [
                row
                for row in rows
                if row["prediction"]["file_name"] != open_video
                and row["stamp"] == _stamp(row["prediction"]["file_name"])
            ]
        with whole_file(self.path) as partial:  # a kill does not lose what was there
            append_lines(partial, [about, *self.rows])

    @property
    def done(self) -> set[str]:
        """Files whose predictions are there."""
        return {row["prediction"]["file_name"] for row in self.rows}

    def add(self, size: Sequence[int], prediction: dict) -> None:
        """Keep one more."""
        stamp = _stamp(prediction["file_name"])
        append_lines(self.path, [dict(size=list(size), stamp=stamp, prediction=prediction)])

    def remove(self) -> None:
        """All is in ``predictions.json`` now."""
        self.path.unlink(missing_ok=True)


def _is_row(row: object) -> bool:
    """Whether a line is one that :meth:`Journal.add` wrote, not a damaged one."""
    prediction = row.get("prediction") if isinstance(row, dict) else None
    whole = isinstance(prediction, dict) and isinstance(prediction.get("file_name"), str)
    return whole and {"size", "stamp"} <= row.keys()


def _stamp(path: str) -> list[int] | None:
    """Size and time of a file, which change with its content."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


class Painted:
    """Painted copies in ``<folder>/vis``: images under their names, videos as MP4.

    Args:
        folder: is made.
        names: of all pictures; a copy that would land on an input is refused here.

    Raises:
        FileExistsError: see ``names``.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder / "vis"
        self._video: cv2.VideoWriter | None = None
        self._file = ExitStack()
        self._name: str | None = None
        self._videos: set[Path] = set()
        for name in names:
            refuse_input(self._place(name), "--out-dir")

    def _place(self, name: str) -> Path:
        place = self.folder / name
        written = place.suffix and cv2.haveImageWriter(f"x{place.suffix.lower()}")
        return place if written else self.folder / f"{name}.png"

    def add(self, picture: Picture, drawn: np.ndarray) -> None:
        """Write one picture; ``drawn`` [h, w, 3] RGB.

        Raises:
            OSError: it cannot be written, or OpenCV cannot write videos here.
        """
        pixels = np.ascontiguousarray(drawn[..., ::-1])
        if picture.frame is None:
            path = self._place(picture.name)
            try:
                written, data = cv2.imencode(path.suffix.lower(), pixels)
            except cv2.error:  # a format has limits of its own: JPEG 2000 takes no small picture
                written = False
            if not written:
                path, data = self.folder / f"{picture.name}.png", cv2.imencode(".png", pixels)[1]
            with whole_file(path) as partial:
                partial.write_bytes(data.tobytes())
            return
        if self._name != picture.name:
            self.close()
            path = (self.folder / picture.name).with_suffix(".mp4")
            if path in self._videos:  # clip.avi beside clip.mov
                path = self.folder / f"{picture.name}.mp4"
            self._videos.add(path)
            codec = cv2.VideoWriter_fourcc(*"mp4v")
            partial = self._file.enter_context(whole_file(path, ending=".mp4"))
            self._video = cv2.VideoWriter(str(partial), codec, picture.fps, pixels.shape[1::-1])
            if not self._video.isOpened():
                partial.unlink()
                raise OSError(f"the painted video {str(path)!r} cannot be written; use --no-vis")
            self._name = picture.name
        self._video.write(pixels)

    def close(self) -> None:
        """Finish the video that is being written, if any."""
        if self._video is not None:
            self._video.release()
        self._video = self._name = None
        self._file.close()


def print_left_out(pictures: Pictures) -> None:
    """Say once, on standard error, what of a folder is no input."""
    if pictures.left_out:
        print(f"note: left out: {pictures.left_out}", file=sys.stderr)


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
        print(f"  {escaped(found['path'])}: {escaped(found['reason'])}", file=sys.stderr)
    return 1
