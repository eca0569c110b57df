"""One picture, one decoder: files as the detector's pipelines see them, that is, as OpenCV does.

OpenCV turns pictures upright by their EXIF tag, shifts 16 bits to 8, drops transparency and takes
the first frame of an animation. Whatever looks at the picture of a box has to do the same. Where
OpenCV is not installed, as reports do not need it, Pillow decodes by the same rules.
Importing this module raises Pillow's own limit of pixels, for the whole process, to OpenCV's.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

MAX_PIXELS = 2**30  # OpenCV's limit
MAX_SIDE = 1_000_000  # libpng's limit
# A larger picture with fewer bytes for its pixels than any real one is made to fill the memory.
_LARGE, _PIXELS_PER_BYTE = 2**26, 2**14
# By default a twelfth; Pillow warns from there on and refuses twice as much.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

_UPRIGHT = {  # how a picture of an orientation is turned
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNED = {5, 6, 7, 8}  # orientations that swap the sides
_BY_EXIF = {"JPEG", "MPO", "PNG", "WEBP"}  # formats whose EXIF tag OpenCV follows; TIFF: both do
_OF_OPENCV = _BY_EXIF | {"BMP", "DIB", "GIF", "JPEG2000", "PPM", "TIFF"}  # and of Pillow
_PILLOW_ERRORS = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


def read_picture(
    path: str | os.PathLike, decode: Callable[[bytes], np.ndarray | None] | None = None
) -> np.ndarray:
    """Decode a picture file whole.

    Args:
        path: the file.
        decode: another decoder than OpenCV, where a pipeline has one.

    Returns:
        [H, W, 3], uint8, BGR.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be opened.
        PictureError: it is no picture, cut off, or over 2^30 pixels.
    """
    return decode_picture(_existing(path).read_bytes(), path, decode)


def decode_picture(
    data: bytes,
    path: str | os.PathLike,
    decode: Callable[[bytes], np.ndarray | None] | None = None,
) -> np.ndarray:
    """:func:`read_picture` of a picture whose bytes are there.

    Args:
        data: of the file.
        path: what to call it in errors.
        decode: see there.

    Raises:
        PictureError: see there.
    """
    # OpenCV fills what is missing of a cut file with grey and says nothing; Pillow refuses it.
    try:
        with _header(io.BytesIO(data), path) as image:
            image.draft(None, (1, 1))  # a JPEG at an eighth of its size: all of it is read
            image.load()
    except _Unknown:
        pass  # a format of OpenCV's own
    except _PILLOW_ERRORS as error:
        raise _unreadable(path, error) from error
    try:
        pixels = (decode or _decode)(data)
    except _PILLOW_ERRORS as error:
        raise _unreadable(path, error) from error
    except Exception as error:
        if not (opencv := _opencv()) or not isinstance(error, opencv.error):
            raise
        pixels = None  # its text names lines of C++
    if pixels is None:
        raise PictureError(path, "OpenCV cannot decode it")
    return pixels


def read_rgb(path: str | os.PathLike) -> Image.Image:
    """:func:`read_picture` as a Pillow image in RGB."""
    return Image.fromarray(np.ascontiguousarray(read_picture(path)[..., ::-1]))


def picture_size(path: str | os.PathLike) -> tuple[int, int]:
    """Width and height of a picture as :func:`read_picture` returns it, from the file's header.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be opened.
        PictureError: it is no picture, or over 2^30 pixels.
    """
    with _existing(path).open("rb") as file:
        try:
            with _header(file, path) as image:
                width, height = image.size
                known = image.format in _OF_OPENCV or _opencv_reads(path)
                turned = image.format in _BY_EXIF and _orientation(image, file) in _TURNED
        except _Unknown:  # a format of OpenCV's own has to be decoded
            height, width = read_picture(path).shape[:2]
            return width, height
        except _PILLOW_ERRORS as error:
            raise _unreadable(path, error) from error
    if not known:
        raise PictureError(path, "OpenCV cannot decode it")
    return (height, width) if turned else (width, height)


class PictureError(ValueError):
    """A file that is no picture a detector could see; ``reason`` is half a sentence."""

    def __init__(self, path: str | os.PathLike, reason: str) -> None:
        super().__init__(f"{path}: not a readable image ({reason}); replace or remove the file.")
        self.reason = reason


class _Unknown(Exception):
    """Pillow does not know the format."""


def _existing(path: str | os.PathLike) -> Path:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path}: no such image file; check the folder or list that names it."
        )
    return Path(path)


def _header(file: BinaryIO, path: str | os.PathLike) -> Image.Image:
    try:
        image = Image.open(file)
    except Image.UnidentifiedImageError as error:
        raise _Unknown from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, str(error).removeprefix("Image size (").split(")")[0]) from error
    if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
        raise _too_large(path, f"{image.width}x{image.height} pixels")
    size = file.seek(0, io.SEEK_END)
    if image.width * image.height > max(_LARGE, _PIXELS_PER_BYTE * size):
        raise PictureError(path, f"{size} bytes for {image.width}x{image.height} pixels")
    file.seek(0)
    return image


def _orientation(image: Image.Image, file: BinaryIO) -> int:
    """Of the EXIF tag; not of XMP, which OpenCV does not read."""
    data = image.info.get("exif") or (_late_exif(file) if image.format == "PNG" else b"")
    exif = Image.Exif()
    try:
        exif.load(data)
        return exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's parser has no list of what it raises on damaged tags
        return 1


def _late_exif(file: BinaryIO) -> bytes:
    """A PNG's EXIF chunk wherever it stands; Pillow would decode the picture to look behind it."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            return file.read(length)
        file.seek(length + 4, io.SEEK_CUR)
    return b""


@cache
def _opencv() -> ModuleType | None:
    try:
        import cv2
    except ModuleNotFoundError:
        return None
    return cv2


def _opencv_reads(path: str | os.PathLike) -> bool:
    return (opencv := _opencv()) is not None and opencv.haveImageReader(os.fspath(path))


def _decode(data: bytes) -> np.ndarray | None:
    if (opencv := _opencv()) is None:
        return _decode_by_pillow(data)
    return opencv.imdecode(np.frombuffer(data, np.uint8), opencv.IMREAD_COLOR)


def _decode_by_pillow(data: bytes) -> np.ndarray | None:
    """As OpenCV does; ``None``: a format that it or Pillow does not know."""
    try:
        image = Image.open(io.BytesIO(data))
    except Image.UnidentifiedImageError:
        return None
    with image:
        if image.format not in _OF_OPENCV:
            return None
        turned = _orientation(image, io.BytesIO(data)) if image.format in _BY_EXIF else 1
        if image.mode.startswith("I"):
            deep = (np.asarray(image) >> 8).clip(0, 255)
            upright = Image.fromarray(deep.astype(np.uint8)).convert("RGB")
        else:
            upright = image.convert("RGB")
    if turned in _UPRIGHT:
        upright = upright.transpose(_UPRIGHT[turned])
    return np.ascontiguousarray(np.asarray(upright)[..., ::-1])


def _too_large(path: str | os.PathLike, size: str) -> PictureError:
    return PictureError(path, f"{size} are over the limits of 2^30 in all and {MAX_SIDE} a side")


def _unreadable(path: str | os.PathLike, error: Exception) -> PictureError:
    if isinstance(error, PictureError):
        return error
    reason = (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
    return PictureError(path, "the file is truncated" if "truncated" in reason else reason)
