"""The preset owod: its conventions, its test set of two halves, unknown boxes of a vocabulary."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config

from negas.evaluation.cuts import tau_of
from negas.evaluation.objects.owod_rows import TREATMENT, add_owod, benchmark_of
from negas.evaluation.ood_metric import OODMetric
from negas.evaluation.recorded import Recorded
from negas.evaluation.rows import Scoring, name_scores, run_rows
from negas.evaluation.run import Run
from negas.metrics import PRESETS, LabeledBoxes, open_set_metrics
from negas.metrics.coco import load_coco
from negas.records import BoxRecords
from negas.scores import get_score
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import ID_NAMES, IMAGES, fake_run, score_again

NEGS = get_score("negs")
OWOD = PRESETS["owod"]


@pytest.fixture
def folder(tmp_path):
    return fake_run(tmp_path / "run")


def mark(folder, name, index, **marks):
    """Marks on one object of a set."""
    path = folder.parent / "data" / f"{name}.json"
    data = json.loads(path.read_text())
    data["annotations"][index].update(marks)
    path.write_text(json.dumps(data))


def owod_of(run, ood_set="near"):
    scores = name_scores(["negs"])
    rows = run_rows(run, OWOD, Scoring(scores, rotations=0, no_leaks=False))
    add_owod(run, OWOD, scores, rows)
    (row,) = [row for row in rows if row["ood_set"] == ood_set]
    return row["owod"]


def test_numbers_are_those_of_the_objects_and_boxes(folder):
    sets = {name: BoxRecords.load(folder / f"records/{name}.npz") for name in ("id", "near")}
    val = BoxRecords.load(folder / "records/id_val.npz")
    val = val.select(val.scores >= np.float32(0.05))
    tau = tau_of(NEGS(val.id_logits, val.neg_logits))
    boxes, objects = [], []
    for offset, (name, records) in zip((0, 100), sets.items(), strict=True):
        kept = records.select(records.scores >= np.float32(0.05))
        known = NEGS(kept.id_logits, kept.neg_logits) >= tau
        labels = np.where(known, kept.labels, 3)
        boxes.append((kept.image_ids + offset, kept.bboxes, labels, kept.scores))
        truth = np.arange(IMAGES) % 3 if name == "id" else np.full(IMAGES, 3)
        objects.append((np.arange(IMAGES) + offset, [[10, 12, 30, 40]] * IMAGES, truth))
    expected = open_set_metrics(
        LabeledBoxes(*map(np.concatenate, zip(*objects, strict=True))),
        LabeledBoxes(*map(np.concatenate, zip(*boxes, strict=True))),
        3,
    ).to_dict()
    assert 0 < expected["recall_unknown"] < 1 and 0 < expected["ap_known"] < 1
    found = owod_of(Recorded.load(folder))
    assert found["tau"] == pytest.approx(tau) and found["vocabulary_boxes"] is None
    assert {key: found[key] for key in TREATMENT} == dict(crowd="objects", difficult="ignored")
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=1e-6), key


def test_crowds_are_objects_and_difficult_ones_are_ignored(folder):
    before = owod_of(Recorded.load(folder))
    mark(folder, "near", 0, iscrowd=1)
    assert owod_of(Recorded.load(folder)) == before
    mark(folder, "near", 0, iscrowd=0, difficult=1)
    after = owod_of(Recorded.load(folder))
    assert after["num_unknown"] == before["num_unknown"] - 1 == IMAGES - 1


def test_open_set_columns_keep_their_own_treatment_of_crowds(folder):
    mark(folder, "near", 0, iscrowd=1)
    how = dict(preset=["owod"], scores=["negs"], rotations=0, open_set=True)
    (run,) = score_again(folder, **how)["runs"]
    (row,) = [r for r in run["rows"] if r["ood_set"] == "near" and r["control"] == "none"]
    assert (row["open_set"]["num_unknown"], row["owod"]["num_unknown"]) == (IMAGES - 1, IMAGES)


def test_boxes_of_a_vocabulary_are_unknown_and_known_numbers_stay(folder):
    run = Recorded.load(folder)
    without = owod_of(run)
    everywhere = LabeledBoxes(
        np.arange(IMAGES), [[10, 12, 30, 40]] * IMAGES, np.zeros(IMAGES, int), np.full(IMAGES, 0.01)
    )
    run.unknown_boxes["near"] = everywhere
    found = owod_of(run)
    assert found["recall_unknown"] == 1 > without["recall_unknown"]
    assert found["vocabulary_boxes"] == IMAGES
    for key in ("ap_known", "a_ose", "wi", "wi_ratio"):
        assert found[key] == without[key]
    assert found["h_score"] > without["h_score"]
    assert owod_of(run, "far")["recall_unknown"] < 1


def test_a_run_as_an_object_has_them_too(folder):
    found = Run.load(folder).rows("owod", scores=["negs"])
    again = {row["ood_set"]: row["owod"] for row in found if row["control"] == "none"}
    assert again == {name: owod_of(Recorded.load(folder), name) for name in ("near", "far")}


def test_other_presets_and_controls_have_none(folder):
    (run,) = score_again(folder, preset=["val_f1", "owod"], scores=["negs"], rotations=2)["runs"]
    having = {(row["preset"], row["control"]) for row in run["rows"] if "owod" in row}
    assert having == {("owod", "none")}
    assert {row["cut"] for row in run["rows"] if row["preset"] == "owod"} == {0.05}


def test_an_image_in_both_sets_would_count_twice(folder, capsys):
    file = folder / "records/near.npz"
    records = BoxRecords.load(file)
    records.meta["img_dir"] = f"{folder.parent / 'data'}/./id/"
    records.save(file)
    results = json.loads((folder / "ood_results.json").read_text())
    results.pop("files", None)
    (folder / "ood_results.json").write_text(json.dumps(results))
    assert call_tool("score", folder, "--preset", "owod", "--bootstrap", 0) == 2
    error = capsys.readouterr().err
    assert "12 images are in the sets 'id' and 'near'" in error and "0.png" in error
    assert "negas prepare owodb" in error and "Traceback" not in error


def test_a_test_refuses_such_sets_before_it_starts(folder, tmp_path):
    data = folder.parent / "data"
    images = SimpleNamespace(ann_file=str(data / "id.json"), data_prefix=dict(img=str(data / "id")))
    again = SimpleNamespace(
        ann_file=str(data / "near.json"), data_prefix=dict(img=str(data / "id"))
    )
    model = SimpleNamespace(
        class_names=ID_NAMES, neg_labels=[], token_reduce=None, postprocessor=None
    )
    runner = SimpleNamespace(work_dir=str(tmp_path / "work"), cfg=Config(dict(model={})), seed=0)
    metric = OODMetric(presets=["owod"], scores=["max_sigmoid"], plots=False)
    with pytest.raises(ValueError, match="preset 'owod': 12 images are in the sets 'id' and 'n"):
        metric.begin_run(model, runner, dict(id=images, id_val=images, near=again))


def test_benchmark_and_task_come_from_the_annotations():
    truth = dict(images=[], annotations=[], categories=[])
    assert benchmark_of(load_coco(truth)) == benchmark_of(load_coco(truth | dict(info=[]))) == {}
    info = dict(benchmark="S-OWODB", task=2, description="x")
    assert benchmark_of(load_coco(truth | dict(info=info))) == dict(benchmark="S-OWODB", task=2)
