"""Negative labels: banks of them, and checks of what they name."""

from .bank import NegativeLabelBank
from .leakage import leaking
from .names import overlap

__all__ = ["NegativeLabelBank", "leaking", "overlap"]
