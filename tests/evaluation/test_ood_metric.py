"""What the metric refuses before any inference, and what it keeps when something fails later."""

import json
import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config

from negas.evaluation.ood_metric import OODMetric, logged_numbers, object_numbers
from negas.evaluation.provenance import missing_keys
from negas.evaluation.result_files import read_results
from negas.files import file_sha256
from negas.labels.bank import NegativeLabelBank
from negas.metrics import PRESETS
from negas.records import BoxRecords

CLASSES = ["cat", "dog"]


def write_json(path, names, categories=None):
    """Two images with one object of each class; ``names`` are the json's categories."""
    content = dict(
        images=[dict(id=1, file_name="1.png"), dict(id=2, file_name="2.png")],
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(names)],
        annotations=[
            dict(id=i + 1, image_id=i + 1, category_id=i + 1, bbox=[0, 0, 10, 10]) for i in (0, 1)
        ],
    )
    path.write_text(json.dumps(content))
    return SimpleNamespace(ann_file=str(path), data_prefix=dict(img=str(path.parent)))


class Model:
    """As much of a detector as the metric looks at."""

    class_names, neg_labels, prompt = CLASSES, ["fox"], None
    token_reduce = postprocessor = base_sha256 = None
    use_nega = False

    def __init__(self, **test_cfg):
        self.bbox_head = SimpleNamespace(test_cfg=dict(keep_logits=True) | test_cfg)

    def text_feats(self):
        return torch.eye(3)[:2], torch.eye(3)[2:]

    def score_head(self):
        return {}


@pytest.fixture
def runner(tmp_path):
    return SimpleNamespace(work_dir=str(tmp_path), cfg=Config(dict(model=dict(type="x"))), seed=0)


@pytest.fixture
def sets(tmp_path):
    return {
        "id": write_json(tmp_path / "id.json", CLASSES),
        "near": write_json(tmp_path / "near.json", ["wolf", "fox"]),
    }


def feed(metric, name, boxes=1, label=None, score=0.8, negatives=True):
    """Predictions on both images of a set: ``boxes`` boxes on each object."""
    metric.begin_set(name)
    for image in (1, 2):
        labels = torch.full((boxes,), image - 1 if label is None else label)
        logits = torch.zeros(boxes, 2)
        logits[:, labels] = torch.logit(torch.tensor(score))
        pred = dict(
            bboxes=torch.tensor([[0.0, 0, 10, 10]]).repeat(boxes, 1),
            scores=torch.full((boxes,), score),
            labels=labels,
            id_logits=logits,
            embeddings=torch.zeros(boxes, 4),
        )
        if negatives:
            pred["neg_logits"] = torch.zeros(boxes, 1)
        metric.process({}, [dict(img_id=image, pred_instances=pred)])
    return metric.evaluate(2)


# --- refused when the config is read --------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(banks=dict(model="bank.json")), "banks: the bank 'model': the name is taken"),
        (dict(banks=dict(none="bank.json")), "banks: the bank 'none': the name is taken"),
        (dict(cut=0.005, min_score=0.01), "cut=0.005 is below min_score=0.01"),
        (dict(shared_cut=0.1, min_score=0.2), "shared_cut=0.1 is below min_score=0.2"),
        (dict(scores=["negs", dict(type="negs", weight=1), "negs"]), "'negs' is listed twice"),
        (dict(scores=[dict(type="mcm", logits="sine")]), "'sine'"),
        (dict(seed=-3), "seed must be at least 0, got -3"),
        (dict(rotations=2.5), "rotations must be a whole number, got 2.5"),
        (dict(presets=["voc"]), "there is no preset 'voc'; choose of val_f1, vos, siren, matched"),
        (dict(presets=[]), "presets must name at least one of val_f1, vos"),
        (dict(presets=["fixed"]), "the preset 'fixed' needs a confidence cut; set shared_cut"),
        (dict(presets=["siren"], min_score=0.2), r"preset 'siren': cut=0.1 is below min_score=0.2"),
    ],
)
def test_refused_settings(options, message):
    with pytest.raises(ValueError, match=message):
        OODMetric(**options)


def test_misspelt_score():
    with pytest.raises(KeyError, match="there is no score 'nags'"):
        OODMetric(scores=["nags"])


# --- refused when the run starts ------------------------------------------------------------------
@pytest.mark.parametrize("name", ["id", "id_val", "id_val_clean"])
def test_a_class_that_an_id_set_lacks_is_found_before_inference(tmp_path, runner, sets, name):
    sets[name] = write_json(tmp_path / "lacks.json", ["cat", "wolf"])
    with pytest.raises(ValueError, match=f"the set '{name}', .*lacks.json.* 'dog' is no category"):
        OODMetric().begin_run(Model(), runner, sets)


def test_every_sets_json_is_read_before_inference(tmp_path, runner, sets):
    (tmp_path / "near.json").unlink()
    with pytest.raises(FileNotFoundError, match="near.json"):
        OODMetric().begin_run(Model(), runner, sets)
    sets["near"] = SimpleNamespace()
    with pytest.raises(ValueError, match="the set 'near' .* has no ann_file"):
        OODMetric().begin_run(Model(), runner, sets)


@pytest.mark.parametrize(
    "options", [dict(rotations=1), dict(scores=[dict(type="mcm", logits="cosine")])]
)
def test_embeddings_are_asked_for_before_inference(runner, sets, options):
    with pytest.raises(ValueError, match="keep_embeddings=True"):
        OODMetric(**options).begin_run(Model(), runner, sets)


# --- during a run ---------------------------------------------------------------------------------
def test_map_and_cut_look_at_the_models_classes_only(tmp_path, runner, sets):
    sets["id"] = write_json(tmp_path / "more.json", [*CLASSES, "truck"])
    content = json.loads((tmp_path / "more.json").read_text())
    content["annotations"].append(dict(id=9, image_id=1, category_id=3, bbox=[50, 50, 9, 9]))
    (tmp_path / "more.json").write_text(json.dumps(content))
    metric = OODMetric(scores=["negs"], plots=False)
    metric.begin_run(Model(), runner, sets)
    assert feed(metric, "id")["id/coco_ap50"] == pytest.approx(1)
    feed(metric, "near")
    assert metric.summarize()["id/cut"] == pytest.approx(0.8)


def test_boxes_are_kept_when_there_is_no_f1_cut(tmp_path, runner, sets):
    metric = OODMetric()
    metric.begin_run(Model(), runner, sets)
    with pytest.raises(ValueError, match="no F1 cut exists.*kept in .*records.part"):
        feed(metric, "id", boxes=0)
    assert BoxRecords.load(tmp_path / "records.part/id.npz").images.tolist() == [1, 2]
    assert not (tmp_path / "records").exists()


def test_a_cut_below_the_recorded_boxes_is_refused(tmp_path, runner, sets):
    metric = OODMetric(min_score=0.9)
    metric.begin_run(Model(), runner, sets)
    with pytest.raises(ValueError, match=r"the cut 0\.8000 is below min_score=0\.9"):
        feed(metric, "id")


def test_boxes_are_kept_when_scoring_fails(tmp_path, runner, sets, monkeypatch):
    metric = OODMetric(cut=0.5, plots=False)
    metric.begin_run(Model(), runner, sets)
    feed(metric, "id")
    feed(metric, "near")

    def fail(*how):
        raise RuntimeError("scoring")

    monkeypatch.setattr("negas.evaluation.write_run.rows_by_preset", fail)
    with pytest.raises(RuntimeError, match="scoring"):
        metric.summarize()
    for name in ("id", "near"):
        assert len(BoxRecords.load(tmp_path / f"records.part/{name}.npz")) == 2
    assert (tmp_path / "records.part/text_feats.npz").is_file()
    assert not (tmp_path / "records").exists()


def test_a_run_that_fails_leaves_an_older_runs_records_alone(tmp_path, runner, sets):
    for boxes, cut in ((3, 0.5), (0, "f1")):
        metric = OODMetric(cut=cut, plots=False)
        metric.begin_run(Model(), runner, sets)
        if boxes:
            feed(metric, "id", boxes)
            feed(metric, "near", boxes)
            metric.summarize()
        else:
            with pytest.raises(ValueError, match="no F1 cut"):
                feed(metric, "id", boxes)
    assert len(BoxRecords.load(tmp_path / "records/id.npz")) == 6


def test_a_validation_without_a_cut_goes_on(tmp_path, runner, sets):
    metric = OODMetric(plots=False)
    metric.begin_run(Model(), runner, sets, stage="val")
    assert feed(metric, "id", boxes=0)["id/coco_ap"] == 0
    feed(metric, "near", boxes=0)
    assert metric.summarize() == {}
    assert (tmp_path / "val/records/near.npz").is_file()
    assert not (tmp_path / "val/ood_results.json").exists()


# --- presets and what the file says ---------------------------------------------------------------
@pytest.fixture
def tested(tmp_path, runner, sets):
    """A finished test with all presets and a second bank: what is logged, and the file."""
    NegativeLabelBank(("cat", "dog"), ("fox", "kite")).save(tmp_path / "second.json")
    metric = OODMetric(
        scores=["max_sigmoid", "negs"],
        presets=["val_f1", "vos", "siren", "matched", "fixed"],
        shared_cut=0.3,
        banks=dict(second=str(tmp_path / "second.json")),
        plots=False,
    )
    model = Model(
        keep_embeddings=True,
        nms=dict(type="nms", iou_threshold=0.7),
        max_per_img=300,
        multi_label=True,
        score_thr=0.001,
    )
    model.bank_feats = lambda labels: torch.ones(len(labels), 3)
    metric.begin_run(model, runner, sets)
    logged = feed(metric, "id", 2) | feed(metric, "near", 3)
    logged |= metric.summarize()
    return logged, json.loads((tmp_path / "ood_results.json").read_text())


def test_the_file_says_all_that_the_numbers_depend_on(tested, sets, tmp_path):
    _, report = tested
    assert missing_keys(report) == []
    assert report["sets"]["near"]["ann_sha256"] == file_sha256(sets["near"].ann_file)
    second = report["banks"]["second"]
    assert second["sha256"] == file_sha256(tmp_path / "second.json")
    assert (second["name"], second["labels"]) == ("second", ["fox", "kite"])
    assert report["run"]["nms"] == dict(type="nms", iou_threshold=0.7, class_agnostic=False)
    assert report["run"]["versions"]["numpy"] == np.__version__
    assert report["seeds"] == dict(run=0, rotations=0)


def test_presets_are_those_of_scoring_again(tested):
    logged, report = tested
    rows = [r for r in report["rows"] if r["score"] == "max_sigmoid"]
    found = [(r["preset"], r["cut"], r["cut_rule"], r["cut_source"], r["rule"]) for r in rows]
    f1 = pytest.approx(0.8)
    assert found == [
        ("val_f1", f1, "f1", "id_test", "at_least"),
        ("vos", 0.8, "test_f1", "id_test", "closest"),
        ("siren", 0.1, "fixed", "fixed", "closest"),
        ("matched", f1, "f1", "id_test", "at_least"),
        ("fixed", 0.3, "fixed", "fixed", "at_least"),
        ("matched", 0.3, "fixed", "fixed", "at_least"),
    ]
    assert report["settings"]["presets"] == ["val_f1", "vos", "siren", "matched", "fixed"]
    counts = {r["preset"]: (r["num_id"], r["over_cut_id"], r["num_ood"]) for r in rows}
    assert counts["vos"] == (4, 4, 6), "every box"
    assert counts["siren"] == (8, 4, 12), "each box over both labels: the other's logit is 0"
    assert counts["matched"] == (2, 4, 6), "each object once"
    assert {"id/coco_ap", "id/coco_ap50", "id/voc07_ap50"} <= logged.keys()
    assert "vos/near/negs_fpr95" in logged and "near/negs_auroc" in logged
    assert report["map"]["voc07_ap50"] == logged["id/voc07_ap50"]


def test_with_a_validation_set_the_vos_cut_alone_reads_the_test_set(tmp_path, runner, sets):
    metric = OODMetric(presets=["val_f1", "vos"], plots=False)
    metric.begin_run(Model(), runner, {"id_val": sets["id"], **sets})
    feed(metric, "id_val", score=0.6)
    feed(metric, "id", score=0.8)
    feed(metric, "near", score=0.9)
    metric.summarize()
    report = read_results(tmp_path)
    found = {row["preset"]: (round(row["cut"], 4), row["cut_source"]) for row in report["rows"]}
    assert found == dict(val_f1=(0.6, "id_val"), vos=(0.8, "id_test"))
    validation = dict(value=pytest.approx(0.6), rule="f1", source="id_val")
    test = dict(value=0.8, rule="test_f1", source="id_test")
    assert report["cuts"] == dict(run=validation, val_f1=validation, test_f1=test)


def test_a_fixed_cut_is_the_runs_and_f1_cuts_are_written_down(tmp_path, runner, sets):
    metric = OODMetric(cut=0.5, plots=False)
    metric.begin_run(Model(), runner, sets)
    feed(metric, "id", score=0.8)
    feed(metric, "near", score=0.9)
    assert metric.summarize()["id/cut"] == 0.5
    report = read_results(tmp_path)
    assert report["cuts"]["run"] == dict(value=0.5, rule="fixed", source="config")
    assert report["cuts"]["val_f1"]["value"] == pytest.approx(0.8)
    assert {(row["cut"], row["cut_rule"]) for row in report["rows"]} == {(0.5, "fixed")}


def test_an_f1_cut_below_the_records_stops_only_who_asks_for_it(tmp_path, runner, sets):
    metric = OODMetric(scores=["negs"], cut=0.9, min_score=0.85, plots=False)
    metric.begin_run(Model(), runner, sets)
    feed(metric, "id", score=0.8)
    feed(metric, "near", score=0.9)
    metric.summarize()
    assert read_results(tmp_path)["cuts"]["val_f1"]["value"] == pytest.approx(0.8)


@pytest.mark.parametrize("presets", [["val_f1"], ["val_f1", "vos"]])
def test_warnings_speak_of_cuts_that_are_asked_for(tmp_path, runner, sets, presets):
    content = json.loads((tmp_path / "id.json").read_text())
    content["annotations"] = content["annotations"][:1]  # no dog
    (tmp_path / "id.json").write_text(json.dumps(content))
    metric = OODMetric(cut=0.5, presets=presets, plots=False)
    metric.begin_run(Model(), runner, sets, stage="val")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        feed(metric, "id")
    told = [str(each.message) for each in caught if "without ground truth" in str(each.message)]
    assert len(told) == len(presets) - 1 and all("dog" in text for text in told)


def test_a_validation_goes_on_without_a_preset_that_has_no_cut(tmp_path, runner, sets):
    metric = OODMetric(cut=0.5, presets=["val_f1", "vos"], plots=False)
    metric.begin_run(Model(), runner, sets, stage="val")
    feed(metric, "id", boxes=0)
    feed(metric, "near")
    assert math.isnan(metric.summarize()["near/negs_auroc"])
    report = read_results(tmp_path / "val")
    assert {row["preset"] for row in report["rows"]} == {"val_f1"} and "test_f1" not in report[
        "cuts"
    ]


def test_banks_for_a_detector_without_negatives(tmp_path, runner, sets):
    NegativeLabelBank(("cat", "dog"), ("fox", "kite")).save(tmp_path / "wide.json")
    metric = OODMetric(
        scores=["negs"], cut=0.5, banks=dict(wide=str(tmp_path / "wide.json")), plots=False
    )
    model = Model(keep_embeddings=True)
    model.neg_labels, model.text_feats = [], lambda: (torch.eye(3)[:2], None)
    model.bank_feats = lambda labels: torch.eye(3)[1:]
    metric.begin_run(model, runner, sets)
    for name in ("id", "near"):
        feed(metric, name, negatives=False)
    metric.summarize()
    rows = read_results(tmp_path)["rows"]
    assert {(row["score"], row["bank"]) for row in rows} == {("negs", "wide")}
    assert {row["control"] for row in rows} == {"none", "no_leaks"}


# --- the log --------------------------------------------------------------------------------------
def test_the_log_has_the_rule_of_each_preset():
    row = dict(ood_set="near", score="negs", bank="model", control="none", preset="val_f1")
    row |= dict(rule="at_least", fpr95=0.25, fpr95_closest=0.75, auroc=0.5)
    rows = [
        row,
        row | dict(preset="vos", rule="closest", auroc=0.6),
        row | dict(control="rotated", fpr95=0.9),
        row | dict(bank="other", fpr95=0.8),
        row | dict(score="msp", bank="none", fpr95=0.3),
    ]
    assert logged_numbers(rows, [PRESETS["val_f1"], PRESETS["vos"]]) == {
        "near/negs_fpr95": 0.25,
        "near/negs_auroc": 0.5,
        "near/msp_fpr95": 0.3,
        "near/msp_auroc": 0.5,
        "vos/near/negs_fpr95": 0.75,
        "vos/near/negs_auroc": 0.6,
    }


def test_a_test_tells_what_becomes_of_unknown_objects():
    row = dict(ood_set="near", score="negs", bank="model", control="none", taken_at_60=0.4)
    states = dict(unknown=dict(taken=1, flagged=2, found=1, not_found=0))
    empty = dict(unknown=dict.fromkeys(states["unknown"], 0))
    rows = [
        row,
        row | dict(control="rotated", taken_at_60=0.9),
        row | dict(bank="other", taken_at_60=0.9),
        row | dict(objects=states),
        row | dict(ood_set="far", objects=empty),
    ]
    found = object_numbers(rows)
    assert found["near/negs_taken_at_60"] == 0.4
    assert (found["near/negs_taken"], found["near/negs_flagged"]) == (0.25, 0.5)
    assert found["far/negs_not_found"] == 0
    assert len(found) == 10
