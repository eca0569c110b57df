"""Exported detectors, run without PyTorch: NumPy, Pillow and ONNX Runtime are enough."""

from .detector import Detector
from .letterbox import Letterbox
from .metadata import Metadata

__all__ = ["Detector", "Letterbox", "Metadata"]
