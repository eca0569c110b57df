"""MMDetection's data samples and Results, one out of the other."""

from __future__ import annotations

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import math
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from negas.predictions import Results
from negas.unknown import UNKNOWN_LABEL, UNKNOWN_NAME

from .inputs import Picture


def name_negatives(boxes: InstanceData, neg_labels: Sequence[str]) -> None:
    """Give boxes with ``neg_logits`` [n, M] the negative that each is most like, and its sigmoid.

    Args:
        boxes: changed in place: ``unknown_like``, ``unknown_like_score``.
        neg_labels: M names.
    """
    if neg_labels and "neg_logits" in boxes:
        best = boxes.neg_logits.max(1)
        boxes.unknown_like = [neg_labels[i] for i in best.indices.tolist()]
        boxes.unknown_like_score = best.values.sigmoid()


def results_of(sample: DetDataSample, picture: Picture, class_names: Sequence[str]) -> Results:
    """The detections of a picture, unknown objects behind the boxes of ID names."""
    boxes, objects = sample.pred_instances, sample.get("unknown_instances", InstanceData())

    def column(key: str, default: Any = None, of_objects: str = "", other: Any = None) -> list:
        found = []
        for part, name, missing in ((boxes, key, default), (objects, of_objects or key, other)):
            given = part.get(name)
            given = given.tolist() if isinstance(given, torch.Tensor) else given
            found += [missing] * len(part) if given is None else given
        return found

    labels = column("labels")
    return Results(
        boxes=column("bboxes"),
        labels=labels,
        names=[UNKNOWN_NAME if label == UNKNOWN_LABEL else class_names[label] for label in labels],
        confidence=column("scores"),
        id_score=column("id_scores", math.nan, other=math.nan),
        known=column("known", None, other=False),
        unknown_like=column("unknown_like"),
        unknown_like_score=column("unknown_like_score", math.nan, "word_scores", math.nan),
        class_names=tuple(class_names),
        file_name=picture.path or picture.name,
        size=picture.pixels.shape[1::-1],
        frame=picture.frame,
        is_file=picture.is_file,
    )


def as_sample(results: Results, judged: bool, sought: bool) -> DetDataSample:
    """Results as MMDetection's visualizers take them.

    Args:
        results: of a picture.
        judged: whether boxes have verdicts.
        sought: whether unknown objects are among them, if there were any.
    """
    sample = DetDataSample()
    for key in ("pred_instances", "unknown_instances"):
        rows = results.labels < 0 if key == "unknown_instances" else results.labels >= 0
        if key == "unknown_instances" and not sought:
            continue
        part = results[rows]
        found = InstanceData(
            bboxes=torch.from_numpy(part.boxes),
            labels=torch.from_numpy(part.labels),
            scores=torch.from_numpy(part.confidence),
        )
        if key == "unknown_instances":
            found.unknown_like = part.unknown_like.tolist()
        elif judged:
            found.id_scores = torch.from_numpy(part.id_score)
            found.known = torch.from_numpy(part.known.astype(bool))
        setattr(sample, key, found)
    return sample
