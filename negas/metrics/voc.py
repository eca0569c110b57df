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

from .coco import CocoSource, category_ids, load_coco, load_results
from .matching import corners, left_out, match


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
    num_objects = sum(not left_out(thing) for own in objects.values() for thing in own)
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
        ranks, boxes = [rank for rank, _ in ranked], [each for _, each in ranked]
        ignored = np.array([left_out(thing) for thing in objects[image]])
        # an overlap of exactly ``iou`` is a hit here
        below = np.nextafter(iou, -np.inf)
        lies = match(_boxes(boxes), _boxes(objects[image]), below, ignored=ignored)
        hit[ranks] = lies.hits
        miss[ranks] = ~lies.hits & ~((lies.objects >= 0) & ignored[lies.objects])
    return eleven_points(hit, miss, num_objects)


def eleven_points(hit: np.ndarray, miss: np.ndarray, num_objects: int) -> float:
    """Mean over recalls 0, 0.1 .. 1 of the best precision at that recall or a larger one."""
    true, false = np.cumsum(hit), np.cumsum(miss)
    precision = true / np.maximum(true + false, 1)
    reached = [precision[10 * true >= tenths * num_objects] for tenths in range(11)]
    return float(np.mean([part.max() if len(part) else 0.0 for part in reached]))


def _boxes(things: Sequence[dict]) -> np.ndarray:
    """``[n, 4]`` xyxy with the far edges moved by a pixel: continuous areas then count it."""
    return corners(things) + np.array([0, 0, 1, 1])
