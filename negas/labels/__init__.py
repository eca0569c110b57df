"""Negative labels: banks of them, and checks of what they name."""

from negas.labels.audit import leaking
from negas.labels.bank import NegativeLabelBank
from negas.labels.overlap import overlap

__all__ = ["NegativeLabelBank", "leaking", "overlap"]
