"""Does a detector's text space carry meaning beyond the words it was trained with?

Works on runs whose records hold embeddings: for every annotated object the box that fits it best is
read against any list of words.

Shapes: N objects, W words, D text channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from negas.boxes import box_iou
from negas.evaluation.recorded import Recorded
from negas.metrics.matching import corners, rows_by_image


@dataclass(frozen=True)
class WordTest:
    """How objects of one group of classes answer to words.

    Attributes:
        objects: annotated objects that some box fits (IoU > 0.5).
        classes: classes with such an object.
        top1: share of objects whose own name has the largest logit among all class names.
        top10: share with the own name among the ten largest.
        chance: ``top1`` of guessing.
        trained_r: mean over classes of the Pearson correlation between the class's mean logit on a
            word and the cosine of that word to the class name, over words of the pre-training
            vocabulary (own name left out).
        untrained_r: the same over words that pre-training never used.
    """

    objects: int
    classes: int
    top1: float
    top10: float
    chance: float
    trained_r: float
    untrained_r: float


def object_embeddings(run: Recorded, name: str) -> dict[str, np.ndarray]:
    """Embeddings [N, D+1] of the best box of every object, by class name.

    Args:
        run: with embeddings and annotations.
        name: of the set.

    Raises:
        ValueError: the records hold no embeddings.
    """
    records, truth = run.records[name], run.truth(name)
    if records.embeddings is None:
        raise ValueError(
            f"{run.path}: the records hold no embeddings; test with test_cfg.keep_embeddings=True"
        )
    boxes = rows_by_image(records.image_ids, np.arange(len(records)))
    found: dict[str, list[np.ndarray]] = {}
    for thing in truth.dataset["annotations"]:
        rows = boxes.get(thing["image_id"])
        if rows is None:
            continue
        overlap = box_iou(records.bboxes[rows].astype(np.float64), corners([thing]))[:, 0]
        if overlap.max() > 0.5:
            label = truth.cats[thing["category_id"]]["name"]
            found.setdefault(label, []).append(records.embeddings[rows[overlap.argmax()]])
    return {name: np.stack(rows).astype(np.float32) for name, rows in found.items()}


def read_words(
    objects: Mapping[str, np.ndarray],
    feats: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    trained: Sequence[str],
    untrained: Sequence[str],
) -> WordTest:
    """Read the objects of a group of classes against words.

    Args:
        objects: embeddings [N, D+1] by class name (:func:`object_embeddings`).
        feats: L2-normalised text embedding [D] of every word.
        class_names: candidates of the naming test.
        trained: words of the pre-training vocabulary.
        untrained: words it does not hold.
    """
    candidates = np.stack([feats[name] for name in class_names])
    place = {name: i for i, name in enumerate(class_names)}
    ranks, correlations = [], {"trained": [], "untrained": []}
    for name, embeds in objects.items():
        logits = embeds[:, :-1] @ candidates.T + embeds[:, -1:]
        right = logits[:, place[name]][:, None]
        ranks.append((logits > right).sum(1))
        for kind, words in (("trained", trained), ("untrained", untrained)):
            others = [word for word in words if word != name]
            matrix = np.stack([feats[word] for word in others])
            mean_logits = (embeds[:, :-1] @ matrix.T).mean(0)
            correlations[kind].append(np.corrcoef(mean_logits, matrix @ feats[name])[0, 1])
    ranks = np.concatenate(ranks)
    return WordTest(
        objects=len(ranks),
        classes=len(objects),
        top1=float((ranks == 0).mean()),
        top10=float((ranks < 10).mean()),
        chance=1 / len(class_names),
        trained_r=float(np.mean(correlations["trained"])),
        untrained_r=float(np.mean(correlations["untrained"])),
    )
