"""The shipped weights on small EmojiWorld sets: losses fall, numbers are finite, an oracle helps.

No test here ranks methods: see docs/benchmark.md for what was measured.
"""

import json
import math

import numpy as np
import pytest
from mmengine.config import ConfigDict

import negas.register  # noqa: F401
from negas.boxes import box_iou
from negas.cli import load_config
from negas.datasets.emoji_world.splits import SPLITS, SplitWriter
from negas.datasets.emoji_world.store import ensure_split
from negas.evaluation.run import Run
from negas.experiments import run as runs
from negas.labels import NegativeLabelBank
from negas.metrics import ood_metrics
from negas.scores import get_score
from tests.helpers.yolo_world import ROOT

pytestmark = pytest.mark.slow
SCENES = "data/emoji_world/scenes/"
ORACLE = "data/labels/emoji_world/oracle.json"


def relocate(node, scenes):
    """Point every path of a config at other scenes."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            relocate(value, scenes)
        elif isinstance(value, str) and value.startswith(SCENES):
            node[key] = value.replace(SCENES, f"{scenes}/")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    out = tmp_path_factory.mktemp("scenes")
    sizes = dict(id_val=100, id_val_seen=8, id_val_clean=50, id_test=150)
    for name, num in sizes.items():
        ensure_split(SplitWriter(SPLITS[name], ROOT / "data/emoji_world", num), out)
    for name in ("near_ood", "far_ood"):
        ensure_split(SplitWriter(SPLITS[name], ROOT / "data/emoji_world", 250), out)
    return out


@pytest.fixture(scope="module", params=["yolo-world", "grounding-dino"])
def run(scenes, tmp_path_factory, request):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        cfg = load_config(f"configs/negas/stock_{request.param}-tiny_emoji-world.py")
        relocate(cfg._cfg_dict, scenes)
        cfg.work_dir = str(tmp_path_factory.mktemp("stock"))
        cfg.experiment_name = f"shipped-{request.param}"
        cfg.test_evaluator.update(banks=dict(oracle=ORACLE), rotations=1, plots=False)
        weights = request.param.replace("-", "_")
        runs.test(cfg, f"data/emoji_world/{weights}_tiny.safetensors")
    return cfg.work_dir


def test_every_number_is_finite_and_the_detector_detects(run):
    report = json.loads(open(f"{run}/ood_results.json").read())
    assert report["map"]["coco_ap50"] > 0.4
    cuts = report["cuts"]
    assert 0 < cuts["run"]["value"] < 1 and cuts["run"] == cuts["val_f1"]
    assert [cuts[rule]["source"] for rule in ("run", "test_f1")] == ["id_val", "id_test"]
    assert len(report["rows"]) > 50
    for row in report["rows"]:
        assert 0 <= row["auroc"] <= 1 and 0 <= row["fpr95"] <= 1
        assert row["tpr"] >= 0.95 and row["num_id"] > 20 and row["num_ood"] > 20
        assert math.isfinite(row["threshold"])
    found = report["unknown"]["threshold"]
    assert found["found_on"] == "id_val_clean" and 0.02 < found["score_thr"] < 1
    assert 0 < found["background_per_image"] <= 0.5 and 0 < found["on_known_share"] <= 0.1


def test_the_oracle_bank_beats_no_bank_on_what_it_names(run):
    named = set(NegativeLabelBank.load(ROOT / ORACLE).neg_labels)
    tested = Run.load(run)
    cut = tested.results["cuts"]["run"]["value"]
    rows = {}
    for name in ("id", "near", "far"):
        record = tested.records[name]
        keep = record.scores >= np.float32(cut)
        if name != "id":
            keep &= on_named_objects(record, tested.truth(name).dataset, named)
        rows[name] = np.flatnonzero(keep)
    auroc = {}
    for name in ("max_sigmoid", "negs"):
        records = tested.with_bank("oracle")
        values = {key: records[key].score_with(get_score(name), rows[key]) for key in rows}
        ood = np.concatenate([values["near"], values["far"]])
        assert len(ood) > 15
        auroc[name] = ood_metrics(values["id"], ood).auroc
    assert auroc["negs"] > auroc["max_sigmoid"]


def on_named_objects(record, truth, named):
    names = {category["id"]: category["name"] for category in truth["categories"]}
    boxes = {}
    for ann in truth["annotations"]:
        if names[ann["category_id"]] in named:
            x, y, w, h = ann["bbox"]
            boxes.setdefault(ann["image_id"], []).append([x, y, x + w, y + h])
    hit = np.zeros(len(record), bool)
    for image, wanted in boxes.items():
        rows = np.flatnonzero(record.image_ids == image)
        if len(rows):
            ious = box_iou(record.bboxes[rows].astype(float), np.array(wanted, float))
            hit[rows] = ious.max(1) > 0.5
    return hit


@pytest.mark.parametrize(
    ("config", "batch", "loss"),
    [
        ("yolo-world-tiny_1xb16-16e-pretrain_emoji-world", 8, "loss_cls"),
        ("grounding-dino-tiny_1xb6-8e-pretrain_emoji-world", 2, "loss_bbox"),
    ],
)
def test_pre_training_loss_falls(scenes, tmp_path, monkeypatch, config, batch, loss):
    monkeypatch.chdir(ROOT)
    cfg = load_config(f"configs/negas/{config}.py")
    cfg.merge_from_dict(
        {
            "work_dir": str(tmp_path),
            "experiment_name": config,
            "train_dataloader.batch_size": batch,
            "train_dataloader.num_workers": 0,
            "train_dataloader.persistent_workers": False,
            "train_dataloader.sampler.epoch_length": batch * 40,
            "train_cfg.max_epochs": 1,
            "param_scheduler": [ConfigDict(type="ConstantLR", factor=1.0)],
        }
    )
    relocate(cfg._cfg_dict, scenes)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    runner = runs.build_runner(cfg)
    runner.train()
    losses, _ = runner.message_hub.get_scalar(f"train/{loss}").data
    assert len(losses) == 40 and np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:5])
