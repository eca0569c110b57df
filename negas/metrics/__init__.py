"""Metrics of OOD detection: **larger scores = in-distribution (ID), ID is the positive class**.

FPR95 is the share of OOD samples kept at the threshold that keeps at least 95% of the ID samples;
``fpr95_out`` is OpenOOD's and pytorch-ood's, which take OOD as the positive class.

>>> from negas.metrics import ood_metrics
>>> result = ood_metrics([0.9, 0.8, 0.7], [0.75, 0.1])
>>> round(result.auroc, 3), result.fpr95
(0.833, 0.5)
"""

from .bootstrap import BootstrapResult, Interval, bootstrap
from .coco import AveragePrecision, average_precision, coco_map, evaluate_coco, records_to_coco
from .controls import rotated_bank
from .f1_cut import ClassCut, F1Cut, f1_cut, f1_threshold
from .objects import (
    ObjectPairs,
    OSCRResult,
    object_states,
    oscr,
    oscr_curve,
    oscr_intervals,
    pair_boxes,
    paired_oscr_intervals,
)
from .open_set import LabeledBoxes, OpenSetResult, open_set_metrics, truth_boxes
from .paired import GroupedScores, PairedResult, paired_bootstrap
from .presets import PRESETS, Cut, Preset, find_presets
from .protocol import sample_rows, select_samples
from .roc import OODResult, ood_metrics, roc_curve
from .voc import voc07_ap50
from .wilson import wilson_interval

__all__ = [
    "AveragePrecision",
    "BootstrapResult",
    "PRESETS",
    "ClassCut",
    "Cut",
    "F1Cut",
    "GroupedScores",
    "Interval",
    "LabeledBoxes",
    "OODResult",
    "OSCRResult",
    "ObjectPairs",
    "OpenSetResult",
    "PairedResult",
    "Preset",
    "average_precision",
    "bootstrap",
    "coco_map",
    "evaluate_coco",
    "f1_cut",
    "f1_threshold",
    "find_presets",
    "object_states",
    "ood_metrics",
    "open_set_metrics",
    "oscr",
    "oscr_curve",
    "oscr_intervals",
    "pair_boxes",
    "paired_bootstrap",
    "paired_oscr_intervals",
    "records_to_coco",
    "roc_curve",
    "rotated_bank",
    "sample_rows",
    "select_samples",
    "truth_boxes",
    "voc07_ap50",
    "wilson_interval",
]
