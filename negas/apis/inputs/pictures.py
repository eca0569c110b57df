"""The pictures of some inputs, one after the other: none is read before its turn comes."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cv2
import mmcv
import numpy as np

from negas.files import IMAGE_ENDINGS, VIDEO_ENDINGS, cut_name, find_files, protect
from negas.pictures import decode_picture, read_picture
from negas.text import shown

from .arrays import Array, as_pixels, is_array, single_arrays
from .remote import STREAMS, WEB, download, live_frames, scheme_of

Input = str | Path | int | Array
_KINDS = "a path, a folder, a pattern, an address, an array, a tensor or a Pillow image"


@dataclass
class Picture:
    """One picture.

    Attributes:
        name: file name of its painted copy, unique in a run.
        pixels: [H, W, 3] uint8, BGR as OpenCV and MMDetection have it.
        path: the file or address it is from; ``None``: it was in memory.
        frame: index in the video ``path``; ``None``: no video.
        fps: frames per second of that video.
        is_file: whether ``path`` is a file of one picture.
    """

    name: str
    pixels: np.ndarray
    path: str | None = None
    frame: int | None = None
    fps: float | None = None

    @property
    def is_file(self) -> bool:  # noqa: D102 - see the class
        return self.path is not None and self.frame is None and not scheme_of(self.path)


@dataclass
class Pictures:
    """The readable pictures of some inputs, in order; the others are listed in ``unreadable``.

    Attributes:
        inputs: files, addresses, single pictures in memory, or the number of a camera.
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
            FileNotFoundError: there is no such file or folder, or none of a pattern.
            ValueError: an empty folder or list, an array that is no image, an address of another
                kind, or what is no input at all.
        """
        if isinstance(inputs, int) and not isinstance(inputs, bool):
            return cls([inputs])
        if isinstance(inputs, str | Path) and not scheme_of(str(inputs)):
            files, left_out = _of_path(Path(inputs))
            protect(*files)
            return cls(files, left_out=left_out)
        single = isinstance(inputs, str) or is_array(inputs)
        if not single and not isinstance(inputs, Iterable):
            raise ValueError(
                f"the input is a {type(inputs).__name__}; give {_KINDS}, the number of a camera, "
                "or a list of pictures"
            )
        items: list[Input] = []
        for i, item in enumerate([inputs] if single else inputs):
            if is_array(item):
                items += single_arrays(item, f"input {i}")
            elif isinstance(item, str | Path):
                _check_address(str(item))
                protect(item)
                items.append(item)
            else:
                raise ValueError(f"input {i} is a {type(item).__name__}, expected {_KINDS}")
        if not items:
            raise ValueError("there is no input: the list is empty; give images")
        return cls(items)

    def names(self) -> list[str]:
        """Names of all painted copies, one per input."""
        fresh = replace(self, _names=set())
        return [fresh._unique(_name_of(i, item)) for i, item in enumerate(self.inputs)]

    @property
    def total(self) -> int | None:
        """Number of pictures, if it is known beforehand: of videos it is not."""
        endless = any(_is_video(item) or _is_live(item) for item in self.inputs)
        return None if endless else len(self.inputs)

    @property
    def is_live(self) -> bool:
        """Whether there is a camera or a stream among them, which has no end."""
        return any(map(_is_live, self.inputs))

    def __iter__(self) -> Iterator[Picture]:
        for i, item in enumerate(self.inputs):
            name = self._unique(_name_of(i, item))
            if is_array(item):
                found = self._array(item, i, name)
            elif str(item) in self.done:
                found = iter(())
            elif _is_live(item):
                found = self._live(item, name)
            elif _is_video(item):
                found = self._frames(Path(item), name)
            else:
                found = self._image(item, name)
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

    def _array(self, item: Array, index: int, name: str) -> Iterator[Picture]:
        try:
            pixels = as_pixels(item, f"input {index}")
        except ValueError as error:
            self._refuse(name, error)
            return
        yield Picture(name, pixels)

    def _image(self, path: str | Path, name: str) -> Iterator[Picture]:
        try:
            if scheme_of(str(path)):
                decode = partial(mmcv.imfrombytes, backend=self.decoder)
                pixels = decode_picture(download(str(path)), path, decode)
            else:
                pixels = read_image(Path(path), self.decoder)
        except (OSError, ValueError) as error:
            self._refuse(path, error)
            return
        yield Picture(name, pixels, str(path))

    def _live(self, source: int | str, name: str) -> Iterator[Picture]:
        path = f"camera {source}" if isinstance(source, int) else source
        try:
            for index, (pixels, fps) in enumerate(live_frames(source)):
                yield Picture(name, pixels, path, index, fps)
        except (OSError, ValueError, cv2.error) as error:
            self._refuse(path, error)

    def _frames(self, path: Path, name: str) -> Iterator[Picture]:
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
        index = 0
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

    def _refuse(self, path: str | Path, error: Exception) -> None:
        known = getattr(error, "reason", None) or getattr(error, "strerror", None)
        reason = known or str(error).removeprefix(f"{path}: ") or type(error).__name__
        self.unreadable.append(dict(path=str(path), reason=" ".join(reason.split())))

    def _unique(self, path: Path) -> str:
        """The name; with a number if a file of another folder has it already."""
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


def _of_path(path: Path) -> tuple[list[Input], str]:
    """The file, the files of the folder or of the pattern, and what else there is."""
    if path.is_dir():
        return _of_folder(path)
    if path.is_file():
        return [path], ""
    if not glob.has_magic(str(path)):
        raise FileNotFoundError(
            f"input {str(path)!r} does not exist; give an image, a video or a folder"
        )
    endings = (*IMAGE_ENDINGS, *VIDEO_ENDINGS)
    found = [Path(one) for one in sorted(glob.glob(str(path), recursive=True))]
    files = [one for one in found if one.suffix.lower() in endings and one.is_file()]
    if not files:
        raise FileNotFoundError(
            f"the pattern {str(path)!r} fits no image or video ({', '.join(endings)})"
        )
    others = len(found) - len(files)
    return files, f"{others} without such an ending" if others else ""


def _check_address(text: str) -> None:
    """Refuse an address that is neither of a picture nor of a stream."""
    scheme = scheme_of(text)
    if scheme and scheme not in (*WEB, *STREAMS):
        raise ValueError(
            f"input {shown(text)} is of the scheme {scheme!r}; expected http, https or rtsp"
        )
    if scheme in WEB and _name_of(0, text).suffix.lower() in VIDEO_ENDINGS:
        raise ValueError(f"input {shown(text)} is a video on a server; download it first")


def _name_of(index: int, item: Input) -> Path:
    """What names the painted copy of an input."""
    if is_array(item):
        return Path(f"{index:08d}.png")
    if isinstance(item, int):
        return Path(f"camera{item}.mp4")
    if scheme_of(str(item)):
        last = unquote(urlsplit(str(item)).path).rsplit("/", 1)[-1]
        kept = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in last).lstrip(".")
        return Path(kept or "picture.png")
    return Path(item)


def _is_live(item: Input) -> bool:
    return isinstance(item, int) or (isinstance(item, str) and scheme_of(item) in STREAMS)


def _is_video(item: Input) -> bool:
    if not isinstance(item, str | Path) or scheme_of(str(item)):
        return False
    return Path(item).suffix.lower() in VIDEO_ENDINGS
