"""A finished test with cells that count by hand: three words, one ID label, four images a set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from negas.evaluation.recorded import Recorded
from negas.records import BoxRecords
from negas.unknown import UnknownOptions
from negas.unknown.thresholds import UnknownThreshold

WORDS = ["kite", "shrub", "fox"]
IMAGES = 4
A, B, C = [0, 0, 10, 10], [30, 30, 40, 40], [60, 60, 80, 80]
THRESHOLD = 0.51


def logit(share):
    return float(np.log(share / (1 - share)))


def cells(*rows):
    """Rows of (image, box, word, score of the word); other words and the ID label score 0.005."""
    words = np.full((len(rows), len(WORDS)), logit(0.005))
    for row, (_, _, word, score) in enumerate(rows):
        words[row, WORDS.index(word)] = logit(score)
    return BoxRecords(
        image_ids=np.array([image for image, *_ in rows], int),
        bboxes=np.array([box for _, box, *_ in rows], float).reshape(-1, 4),
        labels=np.zeros(len(rows), int),
        scores=np.full(len(rows), 0.005),
        id_logits=np.full((len(rows), 1), logit(0.005)),
        embeddings=np.hstack([words, np.zeros((len(rows), 1))]),
        images=np.arange(IMAGES),
        meta=dict(id_labels=["cat"]),
    )


def boxes():
    """One ID box, far from everything."""
    return BoxRecords(
        image_ids=[0],
        bboxes=[[90, 90, 99, 99]],
        labels=[0],
        scores=[0.6],
        id_logits=[[logit(0.6)]],
        images=np.arange(IMAGES),
        meta=dict(id_labels=["cat"]),
    )


def truth(*things, **more):
    """Objects as (image, box, class name, further fields)."""
    names = ["cat", "fox", "kite", "owl"]
    return dict(
        images=[dict(id=i) for i in range(IMAGES)],
        annotations=[
            dict(
                id=k,
                image_id=image,
                category_id=names.index(name),
                bbox=[box[0], box[1], box[2] - box[0], box[3] - box[1]],
                **dict(*extra),
            )
            for k, (image, box, name, *extra) in enumerate(things)
        ],
        categories=[dict(id=k, name=name, seen=name != "kite") for k, name in enumerate(names)],
        **more,
    )


def threshold(**more):
    numbers = dict(a=0.5, b=1.0, background_per_image=0.0, on_known_share=0.0)
    rates = {key: [0.0, 0.0] for key in ("background_per_image", "on_known_share")}
    numbers |= dict(intervals=rates, hot_share=1.0, hot=(), images=IMAGES, known_objects=IMAGES)
    numbers |= dict(id_cut=0.5, found_on="id_val", source="calibrated")
    words = dict(words=tuple(WORDS), word_rates=(0.0,) * len(WORDS))
    return UnknownThreshold(score_thr=THRESHOLD, **words, **numbers | more).record()


def run_with_cells(seen_words=None, id_truth=None):
    """Sets ``id_val``, ``id`` and ``near``.

    Of the four unknown objects of ``near`` three are found, one by the word "shrub". On ID images
    one box lies on a known object, one on an annotated unknown one, one on an unlabelled one, one
    in a crowd and two elsewhere.
    """
    cats = [(i, A, "cat") for i in range(IMAGES)]
    truths = dict(
        id_val=truth(*cats),
        id=id_truth
        or truth(
            *cats,
            (1, C, "owl"),
            (3, [50, 50, 99, 99], "cat", dict(iscrowd=1)),
            unlabelled=[dict(image_id=2, bbox=[60, 60, 20, 20], name="tent")],
        ),
        near=truth((0, A, "fox"), (1, A, "fox"), (2, A, "kite"), (3, A, "kite")),
    )
    found = dict(
        id_val=cells((0, B, "kite", 0.6), (1, B, "shrub", 0.56), (2, B, "kite", 0.54)),
        id=cells(
            (0, A, "kite", 0.9),
            (1, C, "kite", 0.9),
            (2, C, "shrub", 0.9),
            (3, C, "fox", 0.9),
            (0, B, "shrub", 0.8),
            (3, B, "kite", 0.6),
        ),
        near=cells(
            (0, A, "fox", 0.9), (1, A, "shrub", 0.8), (2, A, "kite", 0.7), (3, B, "kite", 0.9)
        ),
    )
    options = UnknownOptions(vocabulary=tuple(WORDS), id_weight=0, agreement_weight=0)
    about = dict(words=list(WORDS), options=options.record(), threshold=threshold())
    if seen_words is not None:
        about["seen_by_text_tower"] = seen_words
    results = dict(
        sets={name: dict(images=IMAGES, boxes=1) for name in found},
        banks={},
        unknown=about,
        cuts=dict(run=dict(value=0.5, rule="f1", source="id_val")),
    )
    run = Recorded.of(Path("a_run"), {name: boxes() for name in found}, {}, results, truths)
    run.cells, run.word_feats = found, np.eye(len(WORDS), dtype=np.float32)
    return run
