"""From an image to the pixels an encoder wants, with Pillow and numpy only.

The steps are those of transformers' image processors without torchvision: RGB, resize, centre crop,
rescale, normalise. Shapes: [3, H, W] float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# What a processor does where its file is silent: transformers' class defaults.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "clip": {"size": 224, "crop_size": 224, "do_center_crop": True},
    "siglip": {
        "size": {"height": 224, "width": 224},
        "do_center_crop": False,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    },
    "efficientnet": {  # ALIGN's
        "size": {"height": 346, "width": 346},
        "crop_size": 289,
        "do_center_crop": False,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "include_top": True,
    },
}


@dataclass(frozen=True)
class Preprocess:
    """Callable: a Pillow image in, ``[3, H, W]`` float32 out.

    The defaults are CLIP's own. Other papers' choices differ in ``resize`` and ``resample`` (say
    ``replace(preprocess, resize=256)`` for a resize to 256 and a crop to 224).

    Attributes:
        resize: length of the shorter edge in pixels (the aspect ratio stays), or (height, width),
            or ``None``.
        crop: (height, width) of the centre crop, or ``None``. A smaller image gets a black rim.
        resample: Pillow's number of the filter: 0 nearest, 2 bilinear, 3 bicubic.
        scale: pixel values 0..255 are multiplied by it.
        offset: added then.
        mean: subtracted per channel.
        std: divisor per channel.
    """

    resize: int | tuple[int, int] | None = 224
    crop: tuple[int, int] | None = (224, 224)
    resample: int = 3
    scale: float = 1 / 255
    offset: float = 0.0
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Pixels of one image."""
        image = to_rgb(image)
        if self.resize is not None:
            height, width = self._target(image.height, image.width)
            image = image.resize((width, height), Image.Resampling(self.resample))
        pixels = np.asarray(image)
        if self.crop is not None:
            pixels = _center_crop(pixels, *self.crop)
        values = (pixels.astype(np.float64) * self.scale + self.offset).astype(np.float32)
        values = (values - np.float32(self.mean)) / np.float32(self.std)
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def key(self) -> str:
        """A text that changes when any setting does, for caches."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], kind: str = "clip") -> Preprocess:
        """Read the content of a ``preprocessor_config.json``.

        Args:
            settings: the JSON object.
            kind: family whose defaults fill the gaps: ``clip``, ``siglip`` or ``efficientnet``.

        Raises:
            ValueError: a setting that this module does not know how to follow.
        """
        given = {**_DEFAULTS[kind], **settings}
        resize = _size(given["size"], "size") if given.get("do_resize", True) else None
        crop = None
        if given.get("do_center_crop", False):
            crop = _size(given["crop_size"], "crop_size")
            crop = (crop, crop) if isinstance(crop, int) else crop
        if given.get("do_pad"):
            raise ValueError("do_pad is not supported; only resize, centre crop and normalise are")
        scale = float(given.get("rescale_factor", 1 / 255)) if given.get("do_rescale", True) else 1
        mean = _channels(given.get("image_mean", CLIP_MEAN), "image_mean")
        std = _channels(given.get("image_std", CLIP_STD), "image_std")
        mean, divisor = (mean, std) if given.get("do_normalize", True) else ((0.0,) * 3, (1.0,) * 3)
        if kind == "efficientnet" and given.get("include_top"):  # divides by std once more
            divisor = tuple(a * b for a, b in zip(divisor, std, strict=True))
        return cls(
            resize=resize,
            crop=crop,
            resample=int(given.get("resample", 3)),
            scale=scale,
            offset=-1.0 if given.get("rescale_offset") else 0.0,
            mean=mean,
            std=divisor,
        )

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize
        short, long = sorted((height, width))
        other = int(self.resize * long / short)  # rounded down, as CLIP does
        return (self.resize, other) if height <= width else (other, self.resize)


def to_rgb(image: Image.Image) -> Image.Image:
    """Three channels; what is transparent becomes white, as in transformers."""
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _center_crop(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cut [H, W, 3] to the middle; where it is too small it is padded with zeros first."""
    lack = [max(0, height - pixels.shape[0]), max(0, width - pixels.shape[1])]
    if any(lack):  # the odd pixel goes to the top and left
        rim = [(n - n // 2, n // 2) for n in lack]
        pixels = np.pad(pixels, [*rim, (0, 0)])
    top = _start(pixels.shape[0], height, lack[0])
    left = _start(pixels.shape[1], width, lack[1])
    return pixels[top : top + height, left : left + width]


def _start(length: int, wanted: int, lack: int) -> int:
    return 0 if lack else (length - wanted) // 2


def _size(value: object, key: str) -> int | tuple[int, int]:
    if isinstance(value, int):
        return value
    if isinstance(value, Mapping):
        value = {name: length for name, length in value.items() if length is not None}
        if set(value) == {"shortest_edge"}:
            return int(value["shortest_edge"])
        if set(value) == {"height", "width"}:
            return int(value["height"]), int(value["width"])
    raise ValueError(
        f"{key}={value!r} is not supported; expected a number, "
        "{'shortest_edge': n} or {'height': h, 'width': w}"
    )


def _channels(value: object, key: str) -> tuple[float, float, float]:
    values = tuple(float(v) for v in value) if isinstance(value, list | tuple) else ()
    if len(values) != 3:
        raise ValueError(f"{key}={value!r} is not supported; expected three numbers (RGB)")
    return values
