"""Registered detectors and their parts (needs the mm* packages)."""

from negas import compat

compat.install()

from .background import BackgroundMask, background_mask  # noqa: E402
from .grounding_dino import BertTextModel, GroundingDINODetector, NegASGroundingDINO  # noqa: E402
from .losses import MaskedBCELoss, MaskedFocalLoss, masked_bce  # noqa: E402
from .nega_neck import NegANeck  # noqa: E402
from .postprocess import NegSPostProcessor  # noqa: E402
from .query_background import QueryBackground, query_background  # noqa: E402
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
    "BertTextModel",
    "CLIPTextBackbone",
    "GroundingDINODetector",
    "MaskedBCELoss",
    "MaskedFocalLoss",
    "MultiModalYOLOBackbone",
    "NegANeck",
    "NegASGroundingDINO",
    "NegASYOLOWorldDetector",
    "NegSPostProcessor",
    "QueryBackground",
    "YOLOWorldDetector",
    "YOLOWorldHead",
    "YOLOWorldHeadModule",
    "YOLOWorldPAFPN",
    "background_mask",
    "masked_bce",
    "query_background",
]
