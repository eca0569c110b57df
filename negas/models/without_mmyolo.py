"""YOLO-World's place in the registry where mmyolo, which it builds on, is not installed."""

from __future__ import annotations

from mmengine.registry import MODELS

_NAMES = ("YOLOWorldDetector", "NegASYOLOWorldDetector", "SIRENYOLOWorldDetector")


def refuse_yolo_world() -> None:
    """Register what says, in place of the detectors, that mmyolo is missing."""
    for name in _NAMES:
        MODELS.register_module(name, module=_refuse)


def _refuse(**_: object) -> None:
    raise ImportError(
        "YOLO-World needs mmyolo, which is not installed: pip install mmyolo==0.6.0 "
        "(Grounding DINO works without it)"
    )
