"""What the Inferencer looks at: images, folders, arrays and videos, one picture after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import mmcv
import numpy as np

from negas.files import IMAGE_ENDINGS, VIDEO_ENDINGS, cut_name, find_files, protect
from negas.pictures import read_picture

Input = str | Path | np.ndarray


@dataclass
class Picture:
    """One picture.

    Attributes:
        name: file name of its painted copy, unique in a run.
        pixels: [H, W, 3] uint8, BGR as OpenCV and MMDetection have it.
        path: the file it is from; ``None``: an array.
        frame: index in the video ``path``; ``None``: no video.
        fps: frames per second of that video.
    """

    name: str
    pixels: np.ndarray
    path: str | None = None
    frame: int | None = None
    fps: float | None = None


@dataclass
class Pictures:
    """The readable pictures of some inputs, in order; the others are listed in ``unreadable``.

    Attributes:
        inputs: files and arrays.
        decoder: what decodes image files, as ``imdecode_backend`` of MMDetection's pipelines.
        unreadable: ``dict(path, reason)`` of what iteration could not read so far.
        count: pictures that iteration gave so far.
        left_out: what else the folder holds, for people: ``3 .txt, 1 dead link``.
        done: paths that iteration passes over, because their predictions are there already.
    """

    inputs: list[Input]
    decoder: str | None = None
    unreadable: list[dict[str, str]] = field(default_factory=list)
    count: int = 0
    left_out: str = ""
    done: set[str] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, inputs: Input | Sequence[Input]) -> Pictures:
        """Look at inputs as :class:`~negas.apis.Inferencer` takes them; reads no picture yet.

        Raises:
            FileNotFoundError: there is no such file or folder.
            ValueError: an empty folder or list, an array that is no image, or no image or video.
        """
        single = isinstance(inputs, str | Path | np.ndarray)
        if single and not isinstance(inputs, np.ndarray):
            path = Path(inputs)
            if path.is_dir():
                files, left_out = _of_folder(path)
                protect(*files)
                return cls(files, left_out=left_out)
            if not path.is_file():
                raise FileNotFoundError(
                    f"input {str(inputs)!r} does not exist; give an image, a video or a folder"
                )
        if not single and not isinstance(inputs, Iterable):
            raise ValueError(
                f"the input is a {type(inputs).__name__}; give an image, a video, a folder, an "
                "array, or a list of these"
            )
        items = [inputs] if single else list(inputs)
        if not items:
            raise ValueError("there is no input: the list is empty; give images")
        for i, item in enumerate(items):
            if isinstance(item, np.ndarray):
                _check_array(item, i)
            elif not isinstance(item, str | Path):
                raise ValueError(
                    f"input {i} is a {type(item).__name__}, expected a path or an array [H, W, 3]"
                )
            else:
                protect(item)
        return cls(items)

    def names(self) -> list[str]:
        """Names of all painted copies, one per input."""
        fresh = replace(self, _names=set())
        return [
            fresh._unique(Path(f"{i:08d}.png" if isinstance(item, np.ndarray) else item))
            for i, item in enumerate(self.inputs)
        ]

    @property
    def total(self) -> int | None:
        """Number of pictures, if it is known beforehand: of videos it is not."""
        return None if any(_is_video(item) for item in self.inputs) else len(self.inputs)

    def __iter__(self) -> Iterator[Picture]:
        for i, item in enumerate(self.inputs):
            if isinstance(item, np.ndarray):
                found = iter([Picture(self._unique(Path(f"{i:08d}.png")), item)])
            elif str(item) in self.done:
                self._unique(Path(item))
                found = iter(())
            elif _is_video(item):
                found = self._frames(Path(item))
            else:
                found = self._image(Path(item))
            for picture in found:
                self.count += 1
                yield picture

    def check_any(self) -> None:
        """After iteration: was there a picture at all?

        Raises:
            ValueError: nothing could be read.
        """
        if not self.count and self.unreadable:
            first = self.unreadable[0]
            raise ValueError(
                f"no input can be read ({len(self.unreadable)} tried); the first is "
                f"{first['path']!r}: {first['reason']}"
            )

    def _image(self, path: Path) -> Iterator[Picture]:
        try:
            pixels = read_image(path, self.decoder)
        except (OSError, ValueError) as error:
            self._refuse(path, error)
            return
        yield Picture(self._unique(path), pixels, str(path))

    def _frames(self, path: Path) -> Iterator[Picture]:
        try:
            if not path.is_file():
                raise FileNotFoundError("no such file")
            video = mmcv.VideoReader(str(path))
            pixels = video.read()
            if pixels is None:
                raise ValueError("no frame can be decoded")
        except (OSError, ValueError, TypeError, cv2.error) as error:
            self._refuse(path, error)
            return
        name, index = self._unique(path), 0
        while pixels is not None:
            yield Picture(name, pixels, str(path), index, video.fps or 25.0)
            pixels, index = video.read(), index + 1

    def prepared(self, pipeline: Callable[[np.ndarray], dict]) -> Iterator[tuple[Picture, dict]]:
        """Pictures and what a detector's test pipeline makes of them.

        One that it cannot prepare, such as a strip that resizing leaves no pixel of, is unreadable;
        of a video only the first such frame is listed.
        """
        for picture in self:
            try:
                data = pipeline(np.ascontiguousarray(picture.pixels))
            except (cv2.error, ValueError, ArithmeticError):
                self.leave_out([picture], "which the test pipeline cannot prepare")
                continue
            yield picture, data

    def batches(
        self, pipeline: Callable[[np.ndarray], dict], size: int
    ) -> Iterator[list[tuple[Picture, dict]]]:
        """Prepared pictures, at most ``size`` in a row that have the same size for the network.

        So none is padded to fit a neighbour: Grounding DINO's neck normalises over the padding,
        too, and its boxes would depend on what else is in the batch.
        """
        batch: list[tuple[Picture, dict]] = []
        for entry in self.prepared(pipeline):
            if batch and entry[1]["inputs"].shape != batch[0][1]["inputs"].shape:
                yield batch
                batch = []
            batch.append(entry)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    def leave_out(self, pictures: Sequence[Picture], why: str) -> None:
        """Count pictures among the unreadable ones: what was read of them is of no use."""
        self.count -= len(pictures)
        for picture in pictures:
            path = picture.path or picture.name
            height, width = picture.pixels.shape[:2]
            if all(entry["path"] != path for entry in self.unreadable):
                reason = f"{width}x{height} pixels, {why}"
                self.unreadable.append(dict(path=path, reason=reason))

    def _refuse(self, path: Path, error: Exception) -> None:
        known = getattr(error, "reason", None) or getattr(error, "strerror", None)
        reason = known or str(error).removeprefix(f"{path}: ") or type(error).__name__
        self.unreadable.append(dict(path=str(path), reason=" ".join(reason.split())))

    def _unique(self, path: Path) -> str:
        """The file's name; with a number if a file of another folder has it already."""
        first = Path(cut_name(path.name))
        name, number = first.name, 1
        while name.casefold() in self._names:  # on some systems a.JPG and a.jpg are one file
            number += 1
            name = f"{first.stem}_{number}{first.suffix}"
        self._names.add(name.casefold())
        return name


def read_image(path: Path, decoder: str | None = None) -> np.ndarray:
    """Pixels [H, W, 3] uint8 BGR, upright, decoded as MMDetection's pipelines decode.

    Args:
        path: an image file.
        decoder: ``imdecode_backend`` of the pipeline; ``None``: OpenCV, MMDetection's default.

    Raises:
        OSError: the file does not exist or cannot be opened.
        PictureError: it is no image, or cut off.
    """
    return read_picture(path, partial(mmcv.imfrombytes, backend=decoder))


def _of_folder(folder: Path) -> tuple[list[Input], str]:
    """Images and videos right in a folder, by name, and what else there is."""
    endings = (*IMAGE_ENDINGS, *VIDEO_ENDINGS)
    files, left_out = find_files(folder, endings)
    if not files:
        holds = f"; it has {left_out}" if left_out else ""
        raise ValueError(
            f"folder {str(folder)!r} holds no image or video ({', '.join(endings)}){holds}; "
            "subfolders are not looked at"
        )
    return files, left_out


def _is_video(item: Input) -> bool:
    return isinstance(item, str | Path) and Path(item).suffix.lower() in VIDEO_ENDINGS


def _check_array(array: np.ndarray, index: int) -> None:
    if array.ndim != 3 or array.shape[2] != 3 or not array.size or array.dtype != np.uint8:
        raise ValueError(
            f"input {index} must be an image [H, W, 3] of uint8 in BGR order, got {array.dtype} of "
            f"the shape {array.shape}"
        )
