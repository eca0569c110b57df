"""Which detections are samples, as a mask or as rows.

Samples: ``vos``, every box with enough confidence, false positives included (as in published
tables); ``matched``, only boxes that sit on an annotated object; ``objects``, of these the most
confident one on each object. With a cut and a rule they make the presets of
:mod:`negas.metrics.presets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from negas.records import BoxRecords

from .coco import CocoSource, category_ids, id_labels_of, load_coco
from .matching import corners, left_out, match, rows_by_image

Protocol = Literal["vos", "matched", "objects"]
ScoreSpec = str | tuple[str, Mapping[str, Any]]
ROW_METRICS = ("auroc", "fpr95", "fpr95_closest", "aupr", "tpr", "threshold")  # of a row
ROW_METRICS += ("tpr_closest", "threshold_closest", "aupr_out", "fpr95_out")


def select_samples(
    records: BoxRecords,
    cut: float,
    protocol: Protocol = "vos",
    gt: CocoSource | None = None,
    role: Literal["id", "ood"] = "id",
    iou: float = 0.5,
) -> np.ndarray:
    """Mask ``[N]`` of the boxes that are samples.

    Args:
        records: detections of one set.
        cut: least confidence, in [0, 1].
        protocol: ``vos``: all boxes with ``confidence >= cut``. ``matched``: of these, on an ID
            set the boxes that are true detections (greedy by descending confidence, IoU over
            ``iou``, right label, each object once; objects marked ``iscrowd``, ``difficult`` or
            ``ignore`` left out); on an OOD set the boxes whose best IoU with any annotated box is
            over ``iou``. ``objects``: the same on an ID set; on an OOD set the most confident box
            on each object that has no ID label and is not marked.
        gt: ground truth of the set, for all but ``vos``; categories meet ID labels by name.
        role: whether the records are of the ID set or of an OOD set.
        iou: the overlap to exceed.

    Raises:
        ValueError: unknown protocol or role, missing ground truth, or images it does not list.
    """
    if protocol not in get_args(Protocol) or role not in ("id", "ood"):
        raise ValueError(
            "protocol must be 'vos', 'matched' or 'objects' and role 'id' or 'ood', "
            f"got {protocol!r} and {role!r}."
        )
    confident = records.scores >= np.float32(cut)
    if protocol == "vos":
        return confident
    if gt is None:
        raise ValueError(
            f"protocol {protocol!r} compares boxes with ground truth: give gt (a COCO dict, object "
            "or json path), or use protocol 'vos'."
        )
    truth = load_coco(gt)
    unknown = set(records.image_ids.tolist()) - set(truth.imgs)
    if unknown:
        raise ValueError(
            f"image {min(unknown)!r} has boxes but is not in the ground truth "
            f"({len(unknown)} such images); records and gt must belong to the same data set."
        )
    labels = None
    names = set(id_labels_of(records)) if protocol == "objects" else set()
    known = {c["id"] for c in truth.dataset["categories"] if c["name"] in names}
    if role == "id":
        ids = category_ids(truth, id_labels_of(records))
        labels = {category: label for label, category in enumerate(ids)}
    samples = np.zeros(len(records), dtype=bool)
    rows = np.flatnonzero(confident)
    ranked = rows[np.argsort(-records.scores[rows], kind="stable")]
    for image, rows in rows_by_image(records.image_ids, ranked).items():
        objects = truth.imgToAnns.get(image, [])
        if labels is None and protocol == "objects":
            objects = [a for a in objects if a["category_id"] not in known and not left_out(a)]
            samples[rows] = match(records.bboxes[rows], corners(objects), iou).hits
            continue
        if labels is None:
            samples[rows] = match(records.bboxes[rows], corners(objects), iou).objects >= 0
            continue
        objects = [a for a in objects if a["category_id"] in labels and not left_out(a)]
        object_labels = np.array([labels[thing["category_id"]] for thing in objects])
        samples[rows] = match(
            records.bboxes[rows],
            corners(objects),
            iou,
            records.labels[rows],
            object_labels,
            next_best=True,
        ).hits
    return samples


def sample_rows(
    records: BoxRecords,
    cut: float,
    protocol: Protocol = "vos",
    gt: CocoSource | None = None,
    role: Literal["id", "ood"] = "id",
    pair_floor: float | None = None,
) -> np.ndarray:
    """Rows ``[n]`` of the records that are samples; a row occurs once per sample.

    Arguments and errors are those of :func:`select_samples`. With a ``pair_floor`` a box is a
    sample once for each label whose sigmoid exceeds it, as where each (box, label) pair is a
    detection of its own (SIREN).
    """
    rows = np.flatnonzero(select_samples(records, cut, protocol, gt, role))
    if pair_floor is None:
        return rows
    if records.id_logits is None:
        raise ValueError(
            "a preset that counts pairs of boxes and labels (siren) needs ID logits, and these "
            "records hold confidences only; choose another preset."
        )
    floor = np.log(pair_floor / (1 - pair_floor))
    return np.repeat(rows, (records.id_logits[rows] > floor).sum(axis=1))


def score_label(spec: ScoreSpec) -> str:
    """``negs``, or ``negs(weight=0.5)`` with options."""
    if isinstance(spec, str):
        return spec
    options = ", ".join(f"{key}={value}" for key, value in spec[1].items())
    return f"{spec[0]}({options})" if options else spec[0]
