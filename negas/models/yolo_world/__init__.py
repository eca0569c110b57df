"""YOLO-World v2, NegAS and SIREN on it."""

from .backbone import CLIPTextBackbone, MultiModalYOLOBackbone
from .detector import YOLOWorldDetector
from .head import YOLOWorldHead
from .head_module import YOLOWorldHeadModule
from .neck import YOLOWorldPAFPN
from .negas_detector import NegASYOLOWorldDetector
from .siren_detector import SIRENYOLOWorldDetector

__all__ = [
    "CLIPTextBackbone",
    "MultiModalYOLOBackbone",
    "NegASYOLOWorldDetector",
    "SIRENYOLOWorldDetector",
    "YOLOWorldDetector",
    "YOLOWorldHead",
    "YOLOWorldHeadModule",
    "YOLOWorldPAFPN",
]
