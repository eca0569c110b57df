"""Open-set metrics of a run: ID images and OOD images together, unknown boxes by threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from negas.evaluation.recorded import Recorded
from negas.evaluation.rows import NamedScore, Samples, bank_records, build_score
from negas.metrics import LabeledBoxes, open_set_metrics
from negas.metrics.open_set import Treatment
from negas.records import ID

from .object_rows import objects_of


def open_set_row(
    run: Recorded,
    samples: Samples,
    score: NamedScore,
    bank: str,
    ood_set: str,
    tau: float,
    unknown: Mapping[str, LabeledBoxes] | None = None,
    crowd: Treatment = "left_out",
    difficult: Treatment = "objects",
) -> dict:
    """Open-set numbers of one score on the ID test set joined with one OOD set.

    Every box over the cut takes part, whatever the preset calls a sample; a box whose score is
    below ``tau`` becomes unknown. All boxes are ranked by confidence, so AP of known labels differs
    between scores only by what they call unknown.

    Args:
        run: boxes, with annotations of both sets.
        samples: for the cut.
        score: which calls boxes unknown.
        bank: of the score's negatives.
        ood_set: whose objects outside the ID labels (by exact name) are unknown.
        tau: least score of a known box.
        unknown: by set, further boxes that are unknown, whatever their labels and scores (of the
            images that were looked at, with scores).
        crowd: see :func:`negas.metrics.truth_boxes`.
        difficult: see ``crowd``.

    Raises:
        FileNotFoundError: annotations do not exist.
    """
    records = bank_records(run, score, bank)
    built = build_score(run, score, records)
    num_known = len(run.id_labels)
    truths, predictions = [], []
    for name in (ID, ood_set):
        each = records[name]
        rows = np.flatnonzero(each.scores >= np.float32(samples.cut.value))
        known = each.score_with(built, rows) >= tau
        predictions.append(
            LabeledBoxes(
                _keys(name, each.image_ids[rows]),
                each.bboxes[rows],
                np.where(known, each.labels[rows], num_known),
                each.scores[rows],
            )
        )
        if unknown and name in unknown:
            more = unknown[name]
            labels = np.full(len(more.labels), num_known)
            more = LabeledBoxes(_keys(name, more.image_ids), more.bboxes, labels, more.scores)
            predictions.append(more)
        truth = objects_of(run, name, crowd, difficult)
        truths.append(replace(truth, image_ids=_keys(name, truth.image_ids), names=None))
    result = open_set_metrics(_join(truths), _join(predictions), num_known)
    return result.to_dict() | dict(tau=tau)


def _keys(name: str, image_ids: np.ndarray) -> np.ndarray:
    """Image ids that cannot be those of another set."""
    return np.char.add(f"{name}/", np.asarray(image_ids).astype(str))


def _join(parts: Sequence[LabeledBoxes]) -> LabeledBoxes:
    def joined(name: str) -> np.ndarray | None:
        columns = [getattr(part, name) for part in parts]
        return None if any(column is None for column in columns) else np.concatenate(columns)

    names = ("image_ids", "bboxes", "labels", "scores", "ignored")
    return LabeledBoxes(*map(joined, names))
