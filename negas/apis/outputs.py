"""What the Inferencer leaves behind beside ``predictions.json``: painted copies, a journal."""

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
)
from negas.predictions import Results
from negas.text import escaped

from .inputs import Picture, Pictures


class Journal:
    """Predictions as they are made, in ``predictions.jsonl``: what a kill leaves of a run.

    The first line says what they depend on. A run that comes to its end removes the file.

    Args:
        folder: exists.
        about: what predictions depend on, JSON values.
        resume: go on with what is there; otherwise it is replaced.

    Attributes:
        results: what is there and still holds, by picture.

    Raises:
        ValueError: what is there was made with something else.
    """

    def __init__(self, folder: Path, about: dict, resume: bool) -> None:
        self.path = folder / "predictions.jsonl"
        rows: list[dict] = []
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
            last = rows[-1]["results"] if rows else {}
            open_video = None if last.get("frame") is None else last["file_name"]
            rows = [
                row
                for row in rows
                if row["results"]["file_name"] != open_video
                and row["stamp"] == _stamp(row["results"]["file_name"])
            ]
        with whole_file(self.path) as partial:  # a kill does not lose what was there
            append_lines(partial, [about, *rows])
        self.results = [Results.of_record(row["results"]) for row in rows]

    @property
    def done(self) -> set[str]:
        """Files whose predictions are there."""
        return {one.file_name for one in self.results}

    def add(self, results: Results) -> None:
        """Keep those of one more picture."""
        stamp = _stamp(results.file_name)
        append_lines(self.path, [dict(stamp=stamp, results=results.record())])

    def remove(self) -> None:
        """All is in ``predictions.json`` now."""
        self.path.unlink(missing_ok=True)


def _is_row(row: object) -> bool:
    """Whether a line is one that :meth:`Journal.add` wrote, not a damaged one."""
    try:
        Results.of_record(row["results"])
    except (KeyError, TypeError, ValueError):
        return False
    return "stamp" in row


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
