"""Registered detectors and their parts (needs the mm* packages)."""

from negas import compat

compat.install()

from .background import BackgroundMask, background_mask  # noqa: E402
from .losses import MaskedBCELoss, masked_bce  # noqa: E402
from .nega_neck import NegANeck  # noqa: E402
from .postprocess import NegSPostProcessor  # noqa: E402
from .yolo_world import (  # noqa: E402
    CLIPTextBackbone,
    MultiModalYOLOBackbone,
    NegASYOLOWorldDetector,
    YOLOWorldDetector,
    YOLOWorldHead,
    YOLOWorldHeadModule,
    YOLOWorldPAFPN,
)

__all__ = [
    "BackgroundMask",
    "CLIPTextBackbone",
    "MaskedBCELoss",
    "MultiModalYOLOBackbone",
    "NegANeck",
    "NegASYOLOWorldDetector",
    "NegSPostProcessor",
    "YOLOWorldDetector",
    "YOLOWorldHead",
    "YOLOWorldHeadModule",
    "YOLOWorldPAFPN",
    "background_mask",
    "masked_bce",
]
