"""How a config's test pipeline and preprocessor treat a picture, as a file can say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmengine.config import Config
from torch import nn

from negas.runtime.letterbox import Letterbox, padded

_NEUTRAL = ("LoadImageFromFile", "InferencerLoader", "LoadAnnotations", "PackDetInputs")


def letterbox_of(cfg: Config, model: nn.Module, size: tuple[int, int] | None = None) -> Letterbox:
    """The test pipeline's resizing and filling, for an input of one size.

    Pictures whose proportions are not the input's are filled up, while a pipeline that only resizes
    pads them to the next multiple of the network's stride.

    Args:
        cfg: with a ``test_dataloader``.
        model: with a ``data_preprocessor``.
        size: width and height to scale into; ``None``: the pipeline's.

    Raises:
        ValueError: a step is none of those that are known.
    """
    steps = [
        (step["type"].rpartition(".")[2], step)
        for step in cfg.test_dataloader.dataset.pipeline
        if step["type"].rpartition(".")[2] not in _NEUTRAL
    ]
    names = [name for name, _ in steps]
    fill = _ints(model.data_preprocessor.mean.flatten().tolist() if _normalizes(model) else [0] * 3)
    if names == ["YOLOv5KeepRatioResize", "LetterResize"]:
        (_, first), (_, letter) = steps
        scale = _scale(first)
        _plain(letter, "LetterResize", scale)
        if scale[0] != scale[1]:
            raise ValueError(f"test pipeline: only a square scale can be exported, got {scale}")
        box = Letterbox(scale, scale, center=True, rounding="down", shrink="area")
        box = replace(box, fill=_pad_of(letter))
    elif names == ["LetterResize"]:
        letter = steps[0][1]
        scale = _scale(letter)
        _plain(letter, "LetterResize", scale)
        box = Letterbox(scale, scale, letter.get("allow_scale_up", True), center=True)
        box = replace(box, rounding="half_even", fill=_pad_of(letter))
    elif names in (["Resize"], ["FixScaleResize"]) and steps[0][1].get("keep_ratio"):
        step = steps[0][1]
        pillow = step.get("backend", "cv2") == "pillow"
        scale = tuple(sorted(_scale(step), reverse=True))  # MMDetection's: long and short side
        box = Letterbox(
            scale,
            scale,
            fill=fill,
            rounding="down" if names == ["FixScaleResize"] else "half_up",
            shrink="pillow" if pillow else "linear",
        )
    else:
        raise ValueError(
            f"test pipeline: the steps {', '.join(names) or '(none)'} cannot be written into a "
            "file; known are Resize and FixScaleResize with keep_ratio=True, LetterResize, and "
            "YOLOv5KeepRatioResize before it"
        )
    if size is not None:
        box = replace(box, fit=tuple(size), size=tuple(size))
    return replace(box, size=padded(box.size, stride_of(model)))


def stride_of(model: nn.Module) -> int:
    """Both sides of the input must be multiples of this."""
    return max(32, model.data_preprocessor.pad_size_divisor)


def normalization(model: nn.Module) -> tuple[Sequence[float], Sequence[float], bool]:
    """Mean and standard deviation of the channels, and whether the network sees blue first."""
    if not _normalizes(model):
        return [0.0] * 3, [1.0] * 3, not model.data_preprocessor._channel_conversion
    part = model.data_preprocessor
    mean, std = part.mean.flatten().tolist(), part.std.flatten().tolist()
    return mean, std, not part._channel_conversion


def _normalizes(model: nn.Module) -> bool:
    return bool(model.data_preprocessor._enable_normalize)


def _scale(step: Mapping[str, Any]) -> tuple[int, int]:
    scale = step.get("scale")
    if not isinstance(scale, Sequence) or len(scale) != 2:
        raise ValueError(f"test pipeline: {step['type']}.scale must be two sides, got {scale!r}")
    return int(scale[0]), int(scale[1])


def _plain(letter: Mapping[str, Any], name: str, scale: tuple[int, int]) -> None:
    """Refuse what a file cannot say."""
    for key in ("use_mini_pad", "stretch_only", "half_pad_param"):
        if letter.get(key):
            raise ValueError(f"test pipeline: {name}.{key}=True cannot be exported")
    if _scale(letter) != scale:
        raise ValueError(f"test pipeline: {name}.scale={_scale(letter)} differs from {scale}")


def _pad_of(letter: Mapping[str, Any]) -> tuple[int, int, int]:
    value = letter.get("pad_val", 0)
    value = value.get("img", 0) if isinstance(value, Mapping) else value
    # pipelines work in OpenCV's order
    return _ints(value[::-1] if isinstance(value, Sequence) else [value] * 3)


def _ints(values: Sequence[float]) -> tuple[int, int, int]:
    return tuple(round(value) for value in values)
