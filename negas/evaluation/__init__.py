"""MMEngine metrics: thin collectors around :mod:`negas.metrics`."""

from .ood_metric import OODMetric

__all__ = ["OODMetric"]
