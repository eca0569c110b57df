"""YOLO-World v2 and NegAS on it."""

from .backbone import CLIPTextBackbone, MultiModalYOLOBackbone
from .detector import YOLOWorldDetector
from .head import YOLOWorldHead
from .head_module import YOLOWorldHeadModule
from .neck import YOLOWorldPAFPN
from .negas_detector import NegASYOLOWorldDetector

__all__ = [
    "CLIPTextBackbone",
    "MultiModalYOLOBackbone",
    "NegASYOLOWorldDetector",
    "YOLOWorldDetector",
    "YOLOWorldHead",
    "YOLOWorldHeadModule",
    "YOLOWorldPAFPN",
]
