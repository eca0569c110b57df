"""Negative labels and vocabularies, and checks of what they name."""

from .bank import NegativeLabelBank
from .leakage import leaking
from .names import overlap
from .vocabulary import Vocabulary

__all__ = ["NegativeLabelBank", "Vocabulary", "leaking", "overlap"]
