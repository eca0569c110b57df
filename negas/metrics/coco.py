"""COCO ground truth and average precision, through pycocotools, without its prints."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from negas.coco_json import check_coco, completed
from negas.files import read_json
from negas.records import BoxRecords
from negas.text import listed, shown

CocoSource = dict | COCO | str | os.PathLike


@dataclass(frozen=True)
class AveragePrecision:
    """COCO box AP in [0, 1], area "all", 100 detections an image; -1 without ground truth."""

    ap: float
    ap50: float
    ap75: float


def coco_map(
    coco_gt: CocoSource,
    detections: Sequence[dict] | str | os.PathLike,
    class_names: Sequence[str] | None = None,
) -> AveragePrecision:
    """AP@[.50:.95], AP50 and AP75 of COCO results; no detections give 0.

    Args:
        coco_gt: a COCO dict, ``COCO`` object or json path.
        detections: COCO results (``image_id, category_id, bbox [x, y, w, h], score``) or a path.
        class_names: average over these categories only, as a json may hold more than the model
            knows; ``None``: over all.
    """
    return average_precision(evaluate_coco(coco_gt, detections, class_names))


def average_precision(evaluation: COCOeval) -> AveragePrecision:
    """The three numbers of an accumulated evaluation."""
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [10 IoUs, 101 recalls, K]
    values = []
    for part in (precision, precision[:1], precision[5:6]):
        valid = part[part > -1]
        values.append(float(valid.mean()) if valid.size else -1.0)
    return AveragePrecision(*values)


def evaluate_coco(
    coco_gt: CocoSource,
    detections: Sequence[dict] | str | os.PathLike,
    class_names: Sequence[str] | None = None,
) -> COCOeval:
    """Run COCOeval (bbox) up to ``accumulate``; see :func:`coco_map`.

    Raises:
        FileNotFoundError: a path leads nowhere.
        ValueError: malformed json, detections on unknown images or categories, or a class name that
            is no category.
    """
    truth = load_coco(coco_gt)
    results = load_results(detections)
    images, categories = set(truth.imgs), set(truth.cats)
    for index, result in enumerate(results):
        for key, known in (("image_id", images), ("category_id", categories)):
            if result.get(key) not in known:
                raise ValueError(
                    f"detection {index}: {key} {result.get(key)!r} is not in the ground truth; "
                    f"results and annotations must belong to the same data set."
                )
    with _quiet():
        if results:
            found = truth.loadRes([dict(result) for result in results])
        else:
            found = COCO()  # loadRes fails on an empty list
            found.dataset = {**truth.dataset, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        # the only area and number of detections that anything here reads
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        if class_names is not None:
            evaluation.params.catIds = sorted(category_ids(truth, class_names))
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def load_coco(source: CocoSource) -> COCO:
    """COCO ground truth with what COCOeval needs: ids from 1, ``iscrowd``, ``area``, ``ignore``.

    pycocotools reads a matched annotation with id 0 as "not matched", so ids are renumbered.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: see :func:`negas.coco_json.check_coco`.
    """
    where = "the ground truth"
    if isinstance(source, COCO):
        data = source.dataset
    elif isinstance(source, dict):
        data = source
    else:
        data, where = read_json(source), str(source)
    if not getattr(source, "is_sound", False):
        check_coco(data, where, ids=False)
    annotations = [{**completed(ann), "id": i} for i, ann in enumerate(data["annotations"], 1)]
    coco = COCO()
    coco.is_sound = True  # not to be checked again
    coco.dataset = {**data, "annotations": annotations}
    with _quiet():
        coco.createIndex()
    return coco


def records_to_coco(records: BoxRecords, coco_gt: CocoSource) -> list[dict]:
    """COCO results of records; ID labels (``meta["id_labels"]``) become category ids by name.

    Raises:
        ValueError: an ID label is no category of the ground truth, or the records name no labels.
    """
    ids = category_ids(load_coco(coco_gt), id_labels_of(records))
    sizes = records.bboxes[:, 2:] - records.bboxes[:, :2]
    boxes = np.concatenate([records.bboxes[:, :2], sizes], axis=1).astype(np.float64)
    rows = zip(
        records.image_ids.tolist(), records.labels, boxes, records.scores.tolist(), strict=True
    )
    return [
        {"image_id": image, "category_id": ids[label], "bbox": box.tolist(), "score": score}
        for image, label, box, score in rows
    ]


def id_labels_of(records: BoxRecords) -> list[str]:
    """``meta["id_labels"]``, or a ValueError."""
    names = records.meta.get("id_labels")
    if not names:
        raise ValueError(
            "records: meta['id_labels'] is missing, so labels cannot be matched to ground truth "
            "by name; store the ID label names when the records are made."
        )
    return list(names)


def category_ids(truth: COCO | dict, names: Sequence[str]) -> list[int | str]:
    """The category id of every ID label, by name.

    Raises:
        ValueError: a label is no category of the ground truth.
    """
    data = truth.dataset if isinstance(truth, COCO) else truth
    by_name = {category["name"]: category["id"] for category in data["categories"]}
    lost = [name for name in names if name not in by_name]
    if lost:
        known = list(by_name)
        raise ValueError(
            f"the ID label {shown(lost[0])} is no category of the ground truth "
            f"({listed(known, 8)}); names must agree letter by letter."
        )
    return [by_name[name] for name in names]


def load_results(detections: Sequence[dict] | str | os.PathLike) -> list[dict]:
    """COCO results from a list, or from a json file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no json, or no list of dicts.
    """
    if isinstance(detections, str | os.PathLike):
        detections = read_json(detections)
    if not isinstance(detections, Sequence) or any(not isinstance(d, dict) for d in detections):
        raise ValueError("detections must be a list of COCO results (dicts).")
    return list(detections)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield
