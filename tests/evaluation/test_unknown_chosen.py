"""Unknown objects at a run's own threshold: whose words and number count; as pictures."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from negas.evaluation.recorded import Recorded
from negas.evaluation.unknown import UnknownBoxes, chosen_unknown
from negas.metrics.coco import load_coco
from negas.records import BoxRecords
from negas.reports.html import unknown_objects
from negas.unknown import UnknownOptions

PLAIN = dict(id_weight=0.0, agreement_weight=0.0)  # a score is the word's sigmoid
WORDS = ["kettle", "tent", "stew"]
LOGITS = [[2.0, 1.0, -3.0], [-2.0, -1.0, 1.0], [-4.0, -4.0, -4.0]]  # of cells and words


def boxes_of(labels, logits, embeddings=None):
    return BoxRecords(
        image_ids=np.arange(len(logits)),
        bboxes=np.tile([[10.0, 10, 50, 50]], (len(logits), 1)),
        labels=np.zeros(len(logits), int),
        scores=1 / (1 + np.exp(-np.array(logits).max(1))),
        id_logits=np.array(logits, np.float32),
        embeddings=embeddings,
        meta=dict(id_labels=labels),
    )


def run_with(threshold=None, score_thr="calibrated", cells=True):
    about = dict(words=WORDS, options=UnknownOptions(score_thr=score_thr, **PLAIN).record())
    if threshold:
        about["threshold"] = threshold
    low = [[-6.0, -6.0]] * 3
    part = boxes_of(["cat", "dog"], low)
    sets = dict(id=part, near=part)
    run = Recorded.of(None, sets, results=dict(sets={name: {} for name in sets}, unknown=about))
    # the embeddings are the logits: words are unit vectors, the last channel is the bias
    embeddings = np.pad(np.array(LOGITS, np.float32), ((0, 0), (0, 1)))
    if cells:
        run.cells = {name: boxes_of(["cat", "dog"], low, embeddings) for name in sets}
        run.word_feats = np.eye(3, dtype=np.float32)
    else:
        run.path = Path("nowhere")
    return run


def likes(found, name="near"):
    objects, words = found
    each = objects[name]
    return dict(zip(each.image_ids.tolist(), [words[i] for i in each.words], strict=True))


def test_the_threshold_of_the_run_and_its_words_count():
    threshold = dict(score_thr=0.3, words=["tent", "stew"])
    found = chosen_unknown(run_with(threshold, score_thr=0.9), 0.5, ["near"])
    assert likes(found) == {0: "tent", 1: "stew"} and list(found[0]) == ["near"]
    sparse = chosen_unknown(run_with(threshold | dict(score_thr=0.99)), 0.5, ["near"])
    assert likes(sparse) == {}


def test_a_number_of_the_config_counts_for_all_words():
    assert likes(chosen_unknown(run_with(score_thr=0.8), 0.5, ["near"])) == {0: "kettle"}


@pytest.mark.parametrize("run", [run_with(), run_with(score_thr=0.1, cells=False)])
def test_nothing_without_a_threshold_or_cells(run):
    assert chosen_unknown(run, 0.5, ["near"]) == ({}, [])
    run.results = None
    assert chosen_unknown(run, 0.5, ["near"]) == ({}, [])


def test_the_surest_of_every_image_is_a_picture(monkeypatch):
    objects = UnknownBoxes(
        np.array([4, 4, 7, 9]),
        np.tile([[10.0, 10, 50, 50]], (4, 1)),
        np.array([0.5, 0.9, 0.95, 0.2]),
        np.array([0, 1, 2, 0]),
        np.array([0.5, 0.9, 0.95, 0.2]),
    )
    asked, drawn, ticks = [], [], []

    def chosen(run, cut, names):
        asked.append((cut, names))
        return dict(near=objects), WORDS

    monkeypatch.setattr(unknown_objects, "chosen_unknown", chosen)
    monkeypatch.setattr(unknown_objects, "box_picture", lambda *args: drawn.append(args))
    part = boxes_of(["cat"], [[0.0]])
    run = SimpleNamespace(
        run=SimpleNamespace(ood_sets=["near"], records=dict(near=part)),
        samples=SimpleNamespace(cut=SimpleNamespace(value=0.4)),
        truth=lambda name: (None, "gone"),
    )
    (group,) = unknown_objects.unknown_groups(run, 2, lambda: ticks.append(1))
    assert asked == [(0.4, ["near"])] and len(ticks) == len(group.pictures) == 2
    assert "4 unknown objects" in group.note and group.title.startswith("near")
    assert [args[2] for args in drawn] == ["unknown: stew 0.95", "unknown: tent 0.90"]
    assert {len(args) for args in drawn} == {5}  # no verdict
    assert [args[4][0] for args in drawn] == ["unknown, like stew", "unknown, like tent"]
    things = dict(
        images=[dict(id=i) for i in (4, 7, 9)],
        annotations=[dict(id=1, image_id=7, category_id=1, bbox=[10, 10, 40, 40])],
        categories=[dict(id=1, name="tent")],
    )
    run.truth = lambda name: (load_coco(things), "")
    unknown_objects.unknown_groups(run, 2, lambda: None)
    said = [args[4][0] for args in drawn[2:]]
    assert said == ["tent, unknown, like stew", "no annotated object, unknown, like tent"]
