"""Pictures and videos that somebody gives to the page."""

from __future__ import annotations

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import os
from itertools import islice

import numpy as np

from negas.apis.inputs import Pictures
from negas.pictures import PictureError, picture_size, read_rgb

MAX_SIDE = 8000  # pixels; larger pictures are of no use to a detector and fill the memory


def read_upload(path: str | os.PathLike | None) -> np.ndarray:
    """A picture, ``[H, W, 3]`` uint8, RGB, as detectors see files.

    Raises:
        ValueError: there is none, or it cannot be read, or is too large.
    """
    if path is None:
        raise ValueError("there is no picture; upload one, or choose an example")
    try:
        width, height = picture_size(path)
        if max(width, height) > MAX_SIDE:
            raise ValueError(
                f"the picture has {width}x{height} pixels; give at most {MAX_SIDE} a side"
            )
        return np.asarray(read_rgb(path))
    except PictureError as error:
        raise ValueError(f"the picture cannot be read ({error.reason}); give another") from error
    except OSError as error:
        raise ValueError("the picture cannot be read; give another") from error


def read_frame(path: str | os.PathLike | None, number: int) -> np.ndarray:
    """A frame of a video, ``[H, W, 3]`` uint8, RGB.

    Args:
        path: of the video.
        number: of the frame, from 0.

    Raises:
        ValueError: there is no video, it cannot be read or has fewer frames.
    """
    if path is None:
        raise ValueError("there is no video; upload one")
    frame = next(islice(Pictures.of(os.fspath(path)), int(number), None), None)
    if frame is None:
        raise ValueError(f"the video has no frame {int(number)} that can be decoded")
    return np.ascontiguousarray(frame.pixels[..., ::-1])
