"""Negative labels: banks of them, and checks of what they name."""

from negas.labels.bank import NegativeLabelBank
from negas.labels.overlap import overlap

__all__ = ["NegativeLabelBank", "overlap"]
