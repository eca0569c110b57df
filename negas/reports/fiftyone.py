"""What a detector said and what is annotated, as a folder that FiftyOne loads.

Reads a test of ``negas test``, whose sets become tags, or a folder of ``negas infer``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from negas.coco_json import check_images
from negas.evaluation.recorded import MODEL_BANK
from negas.evaluation.unknown import UnknownBoxes, chosen_unknown
from negas.metrics.coco import load_coco
from negas.metrics.matching import rows_by_image
from negas.predictions import Results
from negas.predictions.coco import CocoIds
from negas.predictions.fiftyone import (
    GROUND_TRUTH,
    PREDICTIONS,
    all_of,
    detection,
    sample,
    write_dataset,
)
from negas.predictions.file import PREDICTIONS_FILE, read_predictions
from negas.records import BoxRecords
from negas.unknown import UNKNOWN_LABEL, UNKNOWN_NAME

from .html.run import ReportRun, load_report_run


def export(
    path: str | Path,
    out: str | Path,
    score: str | None = None,
    annotations: Mapping[str, str] | None = None,
    ann_file: str | None = None,
) -> int:
    """Write a ``FiftyOneDataset``; pictures stay where they are.

    Args:
        path: work dir of ``negas test``, or a folder with ``predictions.json``.
        out: folder to write.
        score: of a test, which judges its boxes; ``None``: the one it was tested with. A box is
            known iff 95% of the ID validation boxes over the cut (else of ID test) score as much.
        annotations: of a test: COCO jsons by set, where the paths in its records no longer hold.
        ann_file: of inference: COCO json of its pictures; ``None``: no ground truth.

    Returns:
        The number of pictures.

    Raises:
        FileNotFoundError: there is no run, or a json does not exist.
        ValueError: something in it cannot be read, or frames of videos are all there is.
    """
    if (Path(path) / PREDICTIONS_FILE).is_file():
        samples = _of_inference(Path(path) / PREDICTIONS_FILE, ann_file)
        info = dict(source=str(path))
    else:
        run = load_report_run(path, score, annotations)
        tau = run.validation_tau()
        tau = run.tau if tau is None else tau
        info = dict(source=str(path), score=run.main.label, tau=tau)
        info["confidence_cut"] = run.samples.cut.value
        samples = _of_test(run, tau)
    write_dataset(out, samples, info)
    return len(samples)


def _of_inference(file: Path, ann_file: str | None) -> list[dict[str, Any]]:
    found = [one for one in read_predictions(file) if one.is_file]
    if not found:
        raise ValueError(f"{file} names no picture file; frames of videos cannot be exported")
    truth = None if ann_file is None else load_coco(ann_file)
    ids = None if ann_file is None else CocoIds.of(ann_file)
    samples = []
    for one in found:
        fields = {PREDICTIONS: one.to_fiftyone()}
        if truth is not None:
            image_id = ids.image(one.file_name, one.size)
            fields[GROUND_TRUTH] = _annotated(truth, image_id, one.size)
        samples.append(sample(one.file_name, one.size, fields))
    return samples


def _of_test(run: ReportRun, tau: float) -> list[dict[str, Any]]:
    cut, records = run.samples.cut.value, run.scored_records()
    objects, words = chosen_unknown(run.run, cut, list(records))
    negatives = run.run.bank_labels(MODEL_BANK)
    samples = []
    for name, part in records.items():
        truth = run.run.truth(name)
        images = check_images(truth.dataset, str(part.meta.get("ann_file")), True, True)
        by_id = {image["id"]: image for image in images}
        folder = Path(part.meta.get("img_dir", ""))
        found = part.select(part.scores >= np.float32(cut))
        values = found.score_with(run.main_score)
        for image_id, rows, seen in _by_image(part, found, objects.get(name)):
            image = by_id[image_id]
            size = (image["width"], image["height"])
            place = folder / image["file_name"]
            results = _results(
                found.select(rows), values[rows], tau, negatives, seen, words, str(place), size
            )
            fields = {
                PREDICTIONS: results.to_fiftyone(),
                GROUND_TRUTH: _annotated(truth, image_id, size),
            }
            samples.append(sample(place, size, fields, [name]))
    return samples


def _by_image(part: BoxRecords, found: BoxRecords, objects: Any) -> Iterator[tuple]:
    """Id, rows of boxes and unknown objects of every image that was looked at."""
    boxes = rows_by_image(found.image_ids, np.arange(len(found)))
    things = {}
    if objects is not None:
        things = rows_by_image(objects.image_ids, np.arange(len(objects.scores)))
    none = np.zeros(0, np.int64)
    for image_id in part.images.tolist():
        seen = None if objects is None else objects.at(things.get(image_id, none))
        yield image_id, boxes.get(image_id, none), seen


def _results(
    boxes: BoxRecords,
    values: np.ndarray,
    tau: float,
    negatives: Sequence[str] | None,
    objects: UnknownBoxes | None,
    words: Sequence[str],
    file_name: str,
    size: tuple[int, int],
) -> Results:
    """One image of a test, as the Inferencer would have given it."""
    names = boxes.meta["id_labels"]
    found = Results(
        boxes=boxes.bboxes,
        labels=boxes.labels,
        names=[names[label] for label in boxes.labels],
        confidence=boxes.scores,
        id_score=values,
        known=(values >= tau).tolist(),
        unknown_like=[None] * len(boxes),
        unknown_like_score=np.full(len(boxes), np.nan),
        class_names=tuple(names),
        file_name=file_name,
        size=size,
    )
    if negatives and boxes.neg_logits is not None and len(boxes):
        best = boxes.neg_logits.max(1).astype(np.float64)
        like = np.array(negatives, dtype=object)[boxes.neg_logits.argmax(1)]
        found = replace(found, unknown_like=like, unknown_like_score=1 / (1 + np.exp(-best)))
    if objects is None:
        return found
    many = len(objects.scores)
    return replace(
        found,
        boxes=np.concatenate([found.boxes, objects.bboxes]),
        labels=[*found.labels, *[UNKNOWN_LABEL] * many],
        names=[*found.names, *[UNKNOWN_NAME] * many],
        confidence=np.concatenate([found.confidence, objects.scores]),
        id_score=np.concatenate([found.id_score, np.full(many, np.nan)]),
        known=[*found.known, *[False] * many],
        unknown_like=[*found.unknown_like, *(words[i] for i in objects.words)],
        unknown_like_score=np.concatenate([found.unknown_like_score, objects.word_scores]),
    )


def _annotated(truth: COCO, image_id: int | str, size: tuple[int, int]) -> dict[str, Any]:
    """Annotated objects of an image."""
    names = {category["id"]: category["name"] for category in truth.dataset["categories"]}
    return all_of(
        detection(names[ann["category_id"]], ann["bbox"], size, iscrowd=ann["iscrowd"] or None)
        for ann in truth.imgToAnns.get(image_id, ())
    )
