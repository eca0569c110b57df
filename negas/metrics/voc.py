"""Average precision as PASCAL VOC 2007 defines it, which is not COCO's AP50.

11 recall points instead of 101, boxes with one pixel more on each side (their last pixel counts),
objects marked as difficult left out, and a detection belongs to the object it overlaps most, taken
or not. Source: VOC2007 development kit, ``VOCevaldet.m``; ``eval_map`` of MMDetection with
``use_legacy_coordinate=True, eval_mode="11points"`` gives the same numbers.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from negas.boxes import box_iou

from .coco import CocoSource, category_ids, load_coco, load_results

_LEFT_OUT = ("difficult", "iscrowd", "ignore")  # flags of objects that neither help nor harm


def voc07_ap50(
    coco_gt: CocoSource,
    detections: Sequence[dict] | str | os.PathLike,
    class_names: Sequence[str] | None = None,
    iou: float = 0.5,
) -> float:
    """Mean 11-point AP in [0, 1] over the classes with an object; -1 without any.

    Args:
        coco_gt: a COCO dict, ``COCO`` object or json path; ``difficult`` objects (also ``iscrowd``
            and ``ignore``) are left out where the json has the attribute.
        detections: COCO results (``image_id, category_id, bbox [x, y, w, h], score``) or a path;
            all of them count, however many an image has.
        class_names: average over these categories only; ``None``: over all.
        iou: overlap of a hit, this value included.

    Raises:
        FileNotFoundError: a path leads nowhere.
        ValueError: malformed json, or a class name that is no category.
    """
    truth = load_coco(coco_gt)
    names = [category["name"] for category in truth.dataset["categories"]]
    found = defaultdict(list)
    for result in load_results(detections):
        found[result["category_id"]].append(result)
    values = []
    for category in category_ids(truth, names if class_names is None else class_names):
        objects = defaultdict(list)
        for index in truth.getAnnIds(catIds=[category]):
            objects[truth.anns[index]["image_id"]].append(truth.anns[index])
        value = _class_ap(objects, found[category], iou)
        if value is not None:
            values.append(value)
    return float(np.mean(values)) if values else -1.0


def _class_ap(objects: dict[object, list[dict]], found: list[dict], iou: float) -> float | None:
    counted = {image: [not _left_out(thing) for thing in own] for image, own in objects.items()}
    num_objects = sum(map(sum, counted.values()))
    if not num_objects:
        return None
    by_image = defaultdict(list)
    order = np.argsort([-result["score"] for result in found], kind="stable")
    for rank, index in enumerate(order):
        by_image[found[index]["image_id"]].append((rank, found[index]))
    hit, miss = np.zeros(len(found), bool), np.ones(len(found), bool)
    for image, ranked in by_image.items():
        if image not in objects:
            continue
        overlap = box_iou(_boxes([each for _, each in ranked]), _boxes(objects[image]))
        best = overlap.argmax(axis=1)
        taken = set()
        for (rank, _), thing, value in zip(ranked, best, overlap.max(axis=1), strict=True):
            if value < iou:
                continue
            if not counted[image][thing]:
                miss[rank] = False
            elif thing not in taken:
                taken.add(thing)
                hit[rank], miss[rank] = True, False
    return _eleven_points(hit, miss, num_objects)


def _eleven_points(hit: np.ndarray, miss: np.ndarray, num_objects: int) -> float:
    """Mean over recalls 0, 0.1 .. 1 of the best precision at that recall or a larger one."""
    true, false = np.cumsum(hit), np.cumsum(miss)
    precision = true / np.maximum(true + false, 1)
    reached = [precision[10 * true >= tenths * num_objects] for tenths in range(11)]
    return float(np.mean([part.max() if len(part) else 0.0 for part in reached]))


def _left_out(thing: dict) -> bool:
    return any(thing.get(flag) for flag in _LEFT_OUT)


def _boxes(things: Sequence[dict]) -> np.ndarray:
    """``[n, 4]`` xyxy with the far edges moved by a pixel: continuous areas then count it."""
    boxes = np.array([thing["bbox"] for thing in things], dtype=np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:] + 1], axis=1)
