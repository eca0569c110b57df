"""Pictures in memory: arrays, tensors and Pillow images become what OpenCV would have decoded."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from negas.pictures import MAX_PIXELS

Array = np.ndarray | Tensor | Image.Image
_CHANNELS = (1, 3, 4)
_TO_BGR = {  # by channels and whether red comes first
    (1, False): cv2.COLOR_GRAY2BGR,
    (1, True): cv2.COLOR_GRAY2BGR,
    (3, True): cv2.COLOR_RGB2BGR,
    (4, False): cv2.COLOR_BGRA2BGR,
    (4, True): cv2.COLOR_RGBA2BGR,
}


def is_array(item: object) -> bool:
    """Whether it is a picture in memory, or a batch of them."""
    return isinstance(item, np.ndarray | Tensor | Image.Image)


def single_arrays(item: Array, name: str) -> list[Array]:
    """The pictures of a batch, or the one that it is.

    Args:
        item: array ``[H, W]`` or ``[(B,) H, W, C]`` in OpenCV's order (BGR, BGRA), tensor
            ``[H, W]`` or ``[(B,) C, H, W]`` in torchvision's (RGB, RGBA), or a Pillow image; C is
            1, 3 or 4. uint8, uint16 or floats in [0, 1].
        name: what to call it in errors.

    Raises:
        ValueError: it is of another shape or type, empty or too large.
    """
    if isinstance(item, Image.Image):
        shape, fits = item.size, True
    else:
        shape = tuple(item.shape)
        channels = -3 if isinstance(item, Tensor) else -1
        fits = len(shape) == 2 or (len(shape) in (3, 4) and shape[channels] in _CHANNELS)
        fits &= _is_kind(item)
    side = shape if isinstance(item, Image.Image) or len(shape) == 2 else _sides(item)
    if not fits or 0 in shape or side[0] * side[1] > MAX_PIXELS:
        order = "[C, H, W] in RGB" if isinstance(item, Tensor) else "[H, W, C] in BGR"
        kind = str(getattr(item, "dtype", "")).removeprefix("torch.")
        raise ValueError(
            f"{name} must be a picture {order} order, of 1, 3 or 4 channels, or a batch of them, "
            f"uint8, uint16 or floats in [0, 1], got {kind} of the shape {shape}"
        )
    return [item] if len(shape) < 4 else list(item)


def as_pixels(item: Array, name: str) -> np.ndarray:
    """A single picture as [H, W, 3], uint8, BGR; what is so already is not copied.

    Args:
        item: see :func:`single_arrays`.
        name: what to call it in errors.

    Raises:
        ValueError: floats out of [0, 1].
    """
    red_first = not isinstance(item, np.ndarray)
    if isinstance(item, Image.Image):
        item = ImageOps.exif_transpose(item)
        gray = item.mode in ("1", "L") or item.mode.startswith(("I", "F"))
        pixels = np.asarray(item if gray and item.mode != "1" else item.convert("RGB"))
        pixels = pixels.astype(np.uint16) if item.mode.startswith("I") else pixels
    elif isinstance(item, Tensor):
        item = item.detach().cpu()
        item = item.float() if item.is_floating_point() else item
        pixels = item.numpy() if item.ndim == 2 else item.permute(1, 2, 0).numpy()
    else:
        pixels = item
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)  # as OpenCV decodes
    elif pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"{name} is of floats from {low:g} to {high:g}; expected [0, 1] (divide by 255, "
                "and give no normalised image)"
            )
        pixels = np.round(pixels * 255).astype(np.uint8)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    code = _TO_BGR.get((channels, red_first))
    return pixels if code is None else cv2.cvtColor(np.ascontiguousarray(pixels), code)


def _is_kind(item: np.ndarray | Tensor) -> bool:
    if isinstance(item, Tensor):
        return item.dtype in (torch.uint8, torch.uint16) or item.is_floating_point()
    return item.dtype in (np.uint8, np.uint16) or np.issubdtype(item.dtype, np.floating)


def _sides(item: np.ndarray | Tensor) -> tuple[int, ...]:
    return tuple(item.shape[-2:] if isinstance(item, Tensor) else item.shape[-3:-1])
