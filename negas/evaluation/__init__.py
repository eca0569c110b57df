"""MMEngine metrics: thin collectors around :mod:`negas.metrics`."""

from negas import compat

compat.install()  # before mmdet, whoever imports this room first

from .coco_by_name import CocoByNameMetric  # noqa: E402
from .ood_metric import OODMetric  # noqa: E402

__all__ = ["CocoByNameMetric", "OODMetric"]
