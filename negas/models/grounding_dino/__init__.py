"""Grounding DINO and NegAS on it."""

from .detector import GroundingDINODetector
from .language import BertTextModel
from .negas_detector import NegASGroundingDINO

__all__ = ["BertTextModel", "GroundingDINODetector", "NegASGroundingDINO"]
