"""Mistakes of a run: what OOD objects are taken for, and the hardest ones as pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from negas.evaluation.unknown import UnknownBoxes
from negas.metrics import LabeledBoxes, truth_boxes
from negas.metrics.coco import CocoSource, load_coco
from negas.metrics.matching import match, rows_by_image
from negas.records import BoxRecords
from negas.visualization.boxes import captions, image_files

from .crops import box_picture
from .page import Confusion, ConfusionRow, Picture, PictureGroup, Verdict
from .run import ReportRun

CONFUSION_NOTE = (
    "Every box over the confidence cut whose best overlap with an annotated object exceeds IoU "
    "0.5, by the object's category (rows) and the ID label it was given (columns): number of "
    "boxes, and below it the share called known."
)


def objects_found(
    records: BoxRecords | UnknownBoxes, objects: LabeledBoxes, iou: float = 0.5
) -> np.ndarray:
    """Which object each box lies on.

    Args:
        records: N boxes.
        objects: annotated ones of the same images.
        iou: the overlap to exceed.

    Returns:
        ``[N]`` index of the object with the largest overlap, -1 where none exceeds ``iou``.
    """
    found = np.full(len(records.bboxes), -1)
    things = rows_by_image(objects.image_ids, np.arange(len(objects.labels)))
    for image, rows in rows_by_image(records.image_ids, np.arange(len(found))).items():
        if image in things:
            place = match(records.bboxes[rows], objects.bboxes[things[image]], iou).objects
            found[rows] = np.where(place >= 0, things[image][place], -1)
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


MISTAKES_NOTE = (
    "One box per image, the worst first: OOD boxes with the highest score, and ID boxes on objects "
    "of their label with the lowest, chosen at the run's tau. The number on a box is its score."
)


def mistake_groups(
    run: ReportRun, count: int, on_picture: Callable[[], None]
) -> list[PictureGroup]:
    """OOD boxes called known with the highest scores per set, then ID boxes called unknown.

    Args:
        run: the evaluation.
        count: pictures per set, at most.
        on_picture: called after each picture.
    """
    groups = []
    for name in run.run.ood_sets:
        rows = worst_rows(run, name, count)
        share = f"{int((run.values[name] >= run.tau).sum())} of {len(run.values[name])} boxes"
        title = f"{name}: OOD boxes called known"
        pictures = _pictures(run, name, rows, on_picture)
        groups.append(PictureGroup(title, pictures, f"{share} are called known at the run's tau."))
    truth, reason = run.truth("id")
    title = "ID boxes called unknown"
    if truth is None:
        groups.append(PictureGroup(title, (), f"Which ID boxes are right is not known: {reason}."))
        return groups
    right = run.true_detections(run.picked("id"), truth)
    missed = right & (run.values["id"] < run.tau)
    note = f"{int(missed.sum())} of {int(right.sum())} right ID boxes are called unknown there."
    rows = worst_rows(run, "id", count, right)
    groups.append(PictureGroup(title, _pictures(run, "id", rows, on_picture), note))
    return groups


def worst_rows(
    run: ReportRun, name: str, count: int, among: np.ndarray | None = None
) -> np.ndarray:
    """Samples on the wrong side of tau, the farthest first, one per image.

    Args:
        run: the evaluation.
        name: set; ``id`` or an OOD set.
        count: how many at most.
        among: bool ``[n]``, the samples to choose from.
    """
    values, images = run.values[name], run.picked(name).image_ids
    wrong = values < run.tau if name == "id" else values >= run.tau
    if among is not None:
        wrong = wrong & among
    rows = np.flatnonzero(wrong)
    rows = rows[np.argsort(values[rows] if name == "id" else -values[rows], kind="stable")]
    _, first = np.unique(images[rows], return_index=True)
    return rows[np.sort(first)][:count]


def _pictures(
    run: ReportRun, name: str, rows: np.ndarray, on_picture: Callable[[], None]
) -> list[Picture]:
    records, values = run.picked(name), run.values[name]
    texts = captions(records, rows, values)
    lies_on = names_of_objects(run, name, rows)
    files = files_of_images(records, records.image_ids[rows].tolist())
    made = []
    for row, text, thing in zip(rows, texts, lies_on, strict=True):
        image_id = records.image_ids[row].item()
        label = records.meta["id_labels"][records.labels[row]]
        verdict = Verdict(float(values[row]), bool(values[row] >= run.tau))
        file = files.get(image_id)
        caption = [
            f"{thing}, taken for {label}" if thing else label,
            f"{run.main_name} {values[row]:.3f}",
            f"confidence {records.scores[row]:.3f}",
            file.name if file else f"image {image_id}",
        ]
        alt = f"Box in image {image_id} of {name}: {caption[0]}"
        made.append(box_picture(file, records.bboxes[row], text, alt, caption, verdict))
        on_picture()
    return made


def files_of_images(records: BoxRecords, image_ids: list) -> dict:
    """Image id -> file; without annotations its name is not known, but where to look is."""
    try:
        return image_files(records)
    except (FileNotFoundError, KeyError, ValueError):
        folder = Path(records.meta.get("img_dir", ""))
        return {i: folder / f"(image {i})" for i in image_ids}


def names_of_objects(run: ReportRun, name: str, rows: np.ndarray) -> list[str]:
    """The annotated OOD category below each box; empty where that is not known, or for ID boxes."""
    truth, _ = run.truth(name)
    if truth is None or name == "id":
        return [""] * len(rows)
    objects, names = annotated_objects(truth)
    found = objects_found(run.picked(name).select(rows), objects)
    return [names[objects.labels[i]] if i >= 0 else "no annotated object" for i in found]
