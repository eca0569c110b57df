"""Registered detectors and their parts (needs the mm* packages)."""

import negas.compat.mm  # noqa: F401 - first of all: mmdet and mmyolo can be imported after it

# isort: split
from .background import BackgroundMask, background_mask
from .grounding_dino import BertTextModel, GroundingDINODetector, NegASGroundingDINO
from .losses import MaskedBCELoss, MaskedFocalLoss, masked_bce
from .nega_neck import NegANeck
from .postprocess import OODPostProcessor
from .query_background import QueryBackground, query_background

try:
    from . import yolo_world  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "mmyolo":
        raise
    from .without_mmyolo import refuse_yolo_world

    refuse_yolo_world()
else:
    from .yolo_world import (
        CLIPTextBackbone,
        MultiModalYOLOBackbone,
        NegASYOLOWorldDetector,
        SIRENYOLOWorldDetector,
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
    "OODPostProcessor",
    "QueryBackground",
    "SIRENYOLOWorldDetector",
    "YOLOWorldDetector",
    "YOLOWorldHead",
    "YOLOWorldHeadModule",
    "YOLOWorldPAFPN",
    "background_mask",
    "masked_bce",
    "query_background",
]
