"""What OOD objects are taken for: detections on annotated objects by predicted ID label."""

from __future__ import annotations

import numpy as np

from negas.boxes import box_iou
from negas.metrics import LabeledBoxes, truth_boxes
from negas.metrics.coco import CocoSource, load_coco
from negas.records import BoxRecords
from negas.visualization.html.page import Confusion, ConfusionRow

NOTE = (
    "Every box over the confidence cut whose best overlap with an annotated object exceeds IoU "
    "0.5, by the object's category (rows) and the ID label it was given (columns): number of "
    "boxes, and below it the share called known."
)


def objects_found(records: BoxRecords, objects: LabeledBoxes, iou: float = 0.5) -> np.ndarray:
    """Which object each box lies on.

    Args:
        records: N boxes.
        objects: annotated ones of the same images.
        iou: the overlap to exceed.

    Returns:
        ``[N]`` index of the object with the largest overlap, -1 where none exceeds ``iou``.
    """
    found = np.full(len(records), -1)
    order = np.argsort(objects.image_ids, kind="stable")
    sorted_ids = objects.image_ids[order]
    for image in np.unique(records.image_ids):
        start, end = np.searchsorted(sorted_ids, image), np.searchsorted(sorted_ids, image, "right")
        if start == end:
            continue
        rows, near = np.flatnonzero(records.image_ids == image), order[start:end]
        overlap = box_iou(records.bboxes[rows].astype(np.float64), objects.bboxes[near])
        best = overlap.argmax(axis=1)
        hit = overlap[np.arange(len(rows)), best] > iou
        found[rows[hit]] = near[best[hit]]
    return found


def annotated_objects(truth: CocoSource) -> tuple[LabeledBoxes, list[str]]:
    """Objects (without crowds) whose labels index the category names, which come with them."""
    names = list(dict.fromkeys(c["name"] for c in load_coco(truth).dataset["categories"]))
    return truth_boxes(truth, names), names


def confusion(
    title: str,
    records: BoxRecords,
    known: np.ndarray,
    truth: CocoSource,
    id_labels: list[str],
) -> Confusion:
    """Count the boxes of an OOD set, most frequent categories and labels first.

    Args:
        title: of the set.
        records: N boxes over the cut.
        known: bool ``[N]``, whether the box is called known.
        truth: annotations of the set.
        id_labels: names of the K ID labels.
    """
    objects, names = annotated_objects(truth)
    found = objects_found(records, objects)
    on = found >= 0
    categories, labels = objects.labels[found[on]], records.labels[on]
    counts = np.zeros((2, len(names), len(id_labels)), dtype=int)
    np.add.at(counts[0], (categories, labels), 1)
    np.add.at(counts[1], (categories, labels), known[on])
    total = np.bincount(objects.labels, minlength=len(names))
    columns = [k for k in np.argsort(-counts[0].sum(0), kind="stable") if counts[0, :, k].any()]
    boxes = counts[0].sum(1)
    rows = [
        ConfusionRow(
            names[c],
            int(total[c]),
            int(boxes[c]),
            int(counts[1, c].sum()),
            [(int(counts[0, c, k]), int(counts[1, c, k])) for k in columns],
        )
        for c in np.argsort(-boxes, kind="stable")
        if boxes[c]
    ]
    silent = int(((total > 0) & (boxes == 0)).sum())
    note = (
        f"{int(on.sum())} of {len(records)} boxes lie on an annotated object; "
        f"{int((known & ~on).sum())} of the {int((~on).sum())} others are called known. "
        f"{silent} annotated categories have no box."
    )
    return Confusion(title, [id_labels[k] for k in columns], rows, note)
