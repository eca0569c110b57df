"""The annotated objects that unknown objects found are held against.

Unknown ones in OOD sets; in ID test images known ones, and unknown ones as far as the annotations
tell. Shapes: n unknown objects found, M annotated ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from negas.boxes import box_iou, centers_in
from negas.coco_json import unlabelled_objects
from negas.metrics import LabeledBoxes, pair_boxes
from negas.metrics.bootstrap import rate_intervals
from negas.metrics.matching import corners, rows_by_image
from negas.records import ID
from negas.unknown.thresholds import OVERLAP, AnnotatedObjects

from ..objects.object_rows import objects_of, seen_classes
from ..recorded import Recorded
from .boxes import UnknownBoxes
from .threshold import annotated_objects

KINDS = ("known", "unknown", "elsewhere")  # what an unknown object of an ID image lies on


@dataclass(frozen=True, eq=False)
class Target:
    """The annotated unknown objects of an OOD set.

    Attributes:
        objects: M, image ids as texts.
        images: ids of all images that were looked at, as texts.
        seen: whether the class of each was in pre-training, bool ``[M]``; ``None``: not told.
    """

    objects: LabeledBoxes
    images: np.ndarray
    seen: np.ndarray | None

    def reached(self, found: UnknownBoxes) -> np.ndarray:
        """The largest threshold at which each object is found, ``[M]``; ``-inf``: none."""
        boxes = LabeledBoxes(
            found.image_ids.astype(str), found.bboxes, np.zeros(len(found.scores), np.int64)
        )
        pairs = pair_boxes(boxes, self.objects, 0, OVERLAP)
        best = np.full(len(self.objects.labels), -np.inf)
        np.maximum.at(best, pairs.places, found.scores[pairs.boxes])
        return best

    def numbers(self, found: UnknownBoxes, draws: int, seed: int) -> dict:
        """Recalls and counts of a row."""
        hit = self.reached(found) > -np.inf
        row = dict(recall=share_of(hit), interval=self._interval(hit, draws, seed))
        row |= dict(num_unknown=len(hit), num_seen=None, num_unseen=None)
        row |= dict(recall_seen=None, recall_unseen=None)
        if self.seen is not None:
            for name, of in (("seen", self.seen), ("unseen", ~self.seen)):
                row |= {f"recall_{name}": share_of(hit[of]), f"num_{name}": int(of.sum())}
        return row

    def _interval(self, hit: np.ndarray, draws: int, seed: int) -> dict | None:
        if not draws or not len(hit):
            return None
        order = np.argsort(self.images)
        at = order[np.searchsorted(self.images, self.objects.image_ids, sorter=order)]
        hits, every = (np.bincount(each, minlength=len(order)) for each in (at[hit], at))
        (found,) = rate_intervals([hits], [every], draws, seed)
        return dict(low=found.low, high=found.high, level=0.95, num_draws=draws)


def targets_of(run: Recorded) -> dict[str, Target]:
    """Unknown objects of each OOD set that has any annotated."""
    found = {}
    for name in run.ood_sets:
        try:
            objects = objects_of(run, name)
        except FileNotFoundError:
            continue
        unknown = objects.labels == len(run.id_labels)
        if not unknown.any():
            continue
        parts = ("bboxes", "labels", "names")
        mine = {part: getattr(objects, part)[unknown] for part in parts}
        mine |= dict(image_ids=objects.image_ids[unknown].astype(str), ignored=None)
        seen, names = seen_classes(run, name), mine["names"].tolist()
        told = np.array([seen[n] for n in names]) if seen.keys() >= set(names) else None
        found[name] = Target(replace(objects, **mine), run.records[name].images.astype(str), told)
    return found


def id_objects_of(run: Recorded) -> AnnotatedObjects | None:
    """Annotated objects of the ID test images, unlabelled ones among them; ``None``: not there."""
    try:
        truth = run.truth(ID)
        images = run.records[ID].images
        objects = annotated_objects(truth, run.id_labels, images)
    except (FileNotFoundError, ValueError):  # the latter: nothing is annotated
        return None
    further = unlabelled_objects(truth.dataset, f"{run.path}: the annotations of {ID!r}")
    looked_at = set(images.tolist())
    further = [thing for thing in further if thing["image_id"] in looked_at]
    if not further:
        return objects
    none = np.zeros(len(further), bool)
    return AnnotatedObjects(
        np.concatenate([objects.image_ids, [thing["image_id"] for thing in further]]),
        np.concatenate([objects.bboxes, corners(further)]),
        np.concatenate([objects.known, none]),
        np.concatenate([objects.regions, none]),
    )


def kinds_of(found: UnknownBoxes, objects: AnnotatedObjects) -> np.ndarray:
    """What each unknown object of ID images lies on, as an index into :data:`KINDS`, ``[n]``.

    The annotated object that it overlaps most decides. -1: on none, but its centre lies in a crowd
    or in what is to be ignored; such a box is not counted.
    """
    kinds = np.full(len(found.scores), 2)
    for image, rows in rows_by_image(found.image_ids, np.arange(len(kinds))).items():
        things = objects.rows_of(image)
        plain = things[~objects.regions[things]]
        regions = things[objects.regions[things]]
        boxes = found.bboxes[rows].astype(np.float64)
        if len(regions):
            kinds[rows[centers_in(boxes, objects.bboxes[regions]).any(1)]] = -1
        if len(plain):
            overlap = box_iou(boxes, objects.bboxes[plain])
            on = overlap.max(1) > OVERLAP
            kinds[rows[on]] = np.where(objects.known[plain[overlap.argmax(1)]], 0, 1)[on]
    return kinds


def share_of(hit: np.ndarray) -> float:
    """Share of true ones, NaN of none."""
    return float(hit.mean()) if len(hit) else float("nan")
