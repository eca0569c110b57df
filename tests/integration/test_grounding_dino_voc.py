"""The Grounding DINO configs of VOC and BDD100K run on data laid out as data/README.md says."""

import json
import math

import numpy as np
import pytest
import torch

from tests.helpers.commands import run_tool
from tests.helpers.tiny_grounding_dino import tiny_project
from tests.helpers.yolo_world import ROOT


def check_results(work):
    report = json.loads((work / "ood_results.json").read_text())
    rows = [row for row in report["rows"] if row["control"] == "none"]
    assert {row["ood_set"] for row in rows} == {"coco", "openimages"}
    assert {"max_sigmoid", "energy", "mcm", "negs"} <= {row["score"] for row in rows}
    rows = [row for row in report["rows"] if row["preset"] != "objects"]  # no samples there
    assert rows and all(math.isfinite(row["auroc"]) for row in rows)
    rotated = {row["score"] for row in report["rows"] if row["control"] == "rotated"}
    assert {"negs", "negs_product"} <= rotated and "energy" not in rotated
    assert report["sets"]["id"]["images"] == 2
    assert set(report["map"]) == {"coco_ap", "coco_ap50", "coco_ap75", "voc07_ap50"}
    for name in ("id", "coco", "openimages"):
        with np.load(work / f"records/{name}.npz") as records:
            rows = list(zip(records["image_ids"], records["query_inds"], strict=True))
        assert 0 < len(rows) == len(set(rows)), "one row per query and image"
    return report


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("grounding-dino-swin-t", "voc"),
        ("mm-grounding-dino-swin-b", "bdd100k"),
    ],
)
def test_one_step_and_one_test(tmp_path, monkeypatch, model, data):
    monkeypatch.chdir(ROOT)
    prompts = {}
    for method in ("negas", "coop"):
        config = tiny_project(tmp_path, method, model, data)
        work = tmp_path / method
        assert run_tool("train", config, "--work-dir", work) == 0
        checkpoint = torch.load(work / "epoch_1.pth", weights_only=False)
        assert set(checkpoint["state_dict"]) == {"prompt.ctx"}
        prompts[method] = checkpoint["state_dict"]["prompt.ctx"]
        assert ("train/loss_ood" in checkpoint["message_hub"]["log_scalars"]) == (method == "negas")
    assert not torch.equal(prompts["negas"], prompts["coop"]), "the OOD branch must have a say"
    assert run_tool("test", config, work / "epoch_1.pth", "--work-dir", work) == 0
    check_results(work)

    stock = tiny_project(tmp_path, "stock", model, data)
    assert run_tool("test", stock, tmp_path / "base.pth", "--work-dir", tmp_path / "stock") == 0
    report = check_results(tmp_path / "stock")
    assert report["run"]["score"] == "negs" and report["run"]["prompt"] is False


def test_stock_configs_cannot_be_trained(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    config = ROOT / "configs/negas/stock_grounding-dino-swin-t_voc.py"
    assert run_tool("train", config, "--work-dir", tmp_path) == 2
    assert "negas test only" in capsys.readouterr().err
