"""From records of kept boxes to table rows: which boxes are samples, and how scores part them.

Samples: ``vos``, every box with enough confidence, false positives included (as in published
tables); ``matched``, only boxes that sit on an annotated object. With a cut and a rule they make
the presets of :mod:`negas.metrics.presets`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from negas.records import BoxRecords
from negas.scores import Score, get_score

from .coco import CocoSource, category_ids, id_labels_of, load_coco
from .matching import corners, left_out, match, rows_by_image
from .roc import ood_metrics

Protocol = Literal["vos", "matched"]
ScoreSpec = str | tuple[str, Mapping[str, Any]]
ID_SET = "id"  # the key of the ID ground truth among the OOD sets'
ROW_METRICS = ("auroc", "fpr95", "fpr95_closest", "aupr", "tpr", "threshold")  # of a row
ROW_METRICS += ("tpr_closest", "threshold_closest", "aupr_out")


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
        records: kept boxes of one set.
        cut: least confidence, in [0, 1].
        protocol: ``vos``: all boxes with ``confidence >= cut``. ``matched``: of these, on an ID
            set the boxes that are true detections (greedy by descending confidence, IoU over
            ``iou``, right label, each object once; objects marked ``iscrowd``, ``difficult`` or
            ``ignore`` left out); on an OOD set the boxes whose best IoU with any annotated box is
            over ``iou``.
        gt: ground truth of the set, for ``matched``; categories meet ID labels by name.
        role: whether the records are of the ID set or of an OOD set.
        iou: the overlap to exceed.

    Raises:
        ValueError: unknown protocol or role, missing ground truth, or images it does not list.
    """
    if protocol not in ("vos", "matched") or role not in ("id", "ood"):
        raise ValueError(
            f"protocol must be 'vos' or 'matched' and role 'id' or 'ood', "
            f"got {protocol!r} and {role!r}."
        )
    confident = records.scores >= np.float32(cut)
    if protocol == "vos":
        return confident
    if gt is None:
        raise ValueError(
            "protocol 'matched' compares boxes with ground truth: give gt (a COCO dict, object or "
            "json path), or use protocol 'vos'."
        )
    truth = load_coco(gt)
    unknown = set(records.image_ids.tolist()) - set(truth.imgs)
    if unknown:
        raise ValueError(
            f"image {min(unknown)!r} has boxes but is not in the ground truth "
            f"({len(unknown)} such images); records and gt must belong to the same data set."
        )
    labels = None
    if role == "id":
        ids = category_ids(truth, id_labels_of(records))
        labels = {category: label for label, category in enumerate(ids)}
    samples = np.zeros(len(records), dtype=bool)
    rows = np.flatnonzero(confident)
    ranked = rows[np.argsort(-records.scores[rows], kind="stable")]
    for image, rows in rows_by_image(records.image_ids, ranked).items():
        objects = truth.imgToAnns.get(image, [])
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

    Args:
        records: kept boxes of one set.
        cut: least confidence, in [0, 1].
        protocol: see :func:`select_samples`, also for ``gt`` and ``role``.
        gt: ground truth of the set, for ``matched``.
        role: whether the records are of the ID set or of an OOD set.
        pair_floor: a box is a sample once for each label whose sigmoid exceeds this, as where
            each (box, label) pair is a detection of its own (SIREN); ``None``: once.

    Raises:
        ValueError: as :func:`select_samples`.
    """
    rows = np.flatnonzero(select_samples(records, cut, protocol, gt, role))
    if pair_floor is None:
        return rows
    floor = np.log(pair_floor / (1 - pair_floor))
    return np.repeat(rows, (records.id_logits[rows] > floor).sum(axis=1))


def evaluate_scores(
    id_records: BoxRecords,
    ood_records: Mapping[str, BoxRecords],
    scores: Sequence[ScoreSpec],
    cut: float,
    protocol: Protocol = "vos",
    gts: Mapping[str, CocoSource] | None = None,
    on_empty: Literal["raise", "nan"] = "raise",
    pair_floor: float | None = None,
    cosine: bool = False,
) -> list[dict[str, Any]]:
    """One row per OOD set and score, ID positive.

    Args:
        id_records: kept boxes of the ID set.
        ood_records: of each OOD set, by name.
        scores: names, or ``(name, options)``.
        cut: least confidence of a sample; the same for every set.
        protocol: see :func:`select_samples`.
        gts: for ``matched``: ground truth by set name, that of the ID set under ``"id"``.
        on_empty: what to do with a set that keeps no sample: raise, or report NaN.
        pair_floor: see :func:`sample_rows`.
        cosine: score cosines in place of the head's logits; which boxes are samples stays the
            head's matter.

    Returns:
        Rows with ``ood_set, score``, :data:`ROW_METRICS`, ``num_id, num_ood`` (samples),
        ``over_cut_id, over_cut_ood`` (boxes), ``share_id, share_ood`` (samples per box over the
        cut), ``cut, protocol, pair_floor``.

    Raises:
        ValueError: a set keeps no sample, a score needs negatives that the records lack, ground
            truth is missing.
    """
    if ID_SET in ood_records:
        raise ValueError(f"an OOD set cannot be called {ID_SET!r}: that names the ID set.")
    built = [(score_label(spec), _build(spec)) for spec in scores]
    gts = gts or {}
    id_samples, id_counts = _samples(ID_SET, id_records, cut, protocol, gts, pair_floor)
    id_samples = id_samples.as_cosines() if cosine else id_samples
    id_values = {label: _apply(score, id_samples) for label, score in built}
    rows = []
    for name, records in ood_records.items():
        ood_samples, ood_counts = _samples(name, records, cut, protocol, gts, pair_floor)
        counts = {f"{key}_id": value for key, value in id_counts.items()}
        counts |= {f"{key}_ood": value for key, value in ood_counts.items()}
        if not (len(id_samples) and len(ood_samples)) and on_empty != "nan":
            side = "the ID set" if not len(id_samples) else f"the OOD set {name!r}"
            raise ValueError(
                f"{side} keeps no box at the confidence cut {cut:.4g} (protocol {protocol!r}): "
                f"lower the cut, or train the detector longer."
            )
        ood_samples = ood_samples.as_cosines() if cosine else ood_samples
        for label, score in built:
            numbers = _numbers(id_values[label], _apply(score, ood_samples))
            rows.append(
                {"ood_set": name, "score": label, **numbers, **counts}
                | {"cut": float(cut), "protocol": protocol, "pair_floor": pair_floor}
            )
    return rows


def _numbers(id_values: np.ndarray, ood_values: np.ndarray) -> dict[str, float]:
    if not len(id_values) or not len(ood_values):
        return dict.fromkeys(ROW_METRICS, float("nan"))
    result = ood_metrics(id_values, ood_values)
    return {key: getattr(result, key) for key in ROW_METRICS}


def _samples(
    name: str,
    records: BoxRecords,
    cut: float,
    protocol: Protocol,
    gts: Mapping[str, CocoSource],
    pair_floor: float | None,
) -> tuple[BoxRecords, dict[str, float]]:
    if protocol == "matched" and name not in gts:
        raise ValueError(
            f"protocol 'matched' needs the ground truth of the set {name!r} in gts; "
            f"given: {', '.join(gts) or 'none'}."
        )
    role = "id" if name == ID_SET else "ood"
    rows = sample_rows(records, cut, protocol, gts.get(name), role, pair_floor)
    over_cut = int((records.scores >= np.float32(cut)).sum())
    share = len(rows) / over_cut if over_cut else float("nan")
    return records.select(rows), dict(num=len(rows), over_cut=over_cut, share=share)


def _apply(score: Score, records: BoxRecords) -> np.ndarray:
    return score(records.id_logits, records.neg_logits)


def _build(spec: ScoreSpec) -> Score:
    return get_score(spec) if isinstance(spec, str) else get_score(spec[0], **spec[1])


def score_label(spec: ScoreSpec) -> str:
    """``negs``, or ``negs(weight=0.5)`` with options."""
    if isinstance(spec, str):
        return spec
    options = ", ".join(f"{key}={value}" for key, value in spec[1].items())
    return f"{spec[0]}({options})" if options else spec[0]
