"""The VOC and BDD100K configs run on data laid out as data/README.md says."""

import json
import math

import pytest
import torch
from mmengine.config import Config

from tests.helpers.commands import run_tool
from tests.helpers.tiny_coco import user_config, write_base, write_data
from tests.helpers.yolo_world import ROOT


def project(folder, method, size, data):
    schedule = "" if method == "stock" else "_8xb20-30e"
    base = ROOT / f"configs/negas/{method}_yolo-world-v2-{size}{schedule}_{data}.py"
    steps = {} if method == "stock" else dict(train_cfg__max_epochs=1, train_cfg__val_interval=1)
    config = user_config(base, folder, f"{method}.py", size=64, **steps)
    write_data(Config.fromfile(base), folder, count=2)
    if not (folder / "base.pth").exists():
        write_base(Config.fromfile(config).model, folder / "base.pth")
    return config


def check_results(path, data):
    report = json.loads(path.read_text())
    rows = [row for row in report["rows"] if row["control"] == "none"]
    assert {row["ood_set"] for row in rows} == {"coco", "openimages"}
    assert "negs" in {row["score"] for row in rows}
    assert all(math.isfinite(row["auroc"]) for row in rows)
    assert report["sets"]["id"]["images"] == 2
    assert set(report["map"]) == {"coco_ap", "coco_ap50", "coco_ap75", "voc07_ap50"}
    return report


@pytest.mark.parametrize(
    ("size", "data"),
    [
        ("s", "voc"),
        pytest.param("s", "bdd100k", marks=pytest.mark.slow),
        pytest.param("l", "voc", marks=pytest.mark.slow),
        pytest.param("l", "bdd100k", marks=pytest.mark.slow),
    ],
)
def test_one_step_and_one_test(tmp_path, monkeypatch, size, data):
    monkeypatch.chdir(ROOT)
    prompts = {}
    for method in ("negas", "coop"):
        config = project(tmp_path, method, size, data)
        work = tmp_path / method
        assert run_tool("train", config, "--work-dir", work) == 0
        checkpoint = torch.load(work / "epoch_1.pth", weights_only=False)
        prompts[method] = checkpoint["state_dict"]["prompt.ctx"]
        assert ("train/loss_ood" in checkpoint["message_hub"]["log_scalars"]) == (method == "negas")
    assert not torch.equal(prompts["negas"], prompts["coop"]), "the OOD branch must have a say"
    assert run_tool("test", config, work / "epoch_1.pth", "--work-dir", work) == 0
    check_results(work / "ood_results.json", data)

    stock = project(tmp_path, "stock", size, data)
    assert run_tool("test", stock, tmp_path / "base.pth", "--work-dir", tmp_path / "stock") == 0
    report = check_results(tmp_path / "stock/ood_results.json", data)
    assert report["run"]["score"] == "negs" and report["run"]["prompt"] is False


def test_stock_configs_cannot_be_trained(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    config = ROOT / "configs/negas/stock_yolo-world-v2-s_voc.py"
    assert run_tool("train", config, "--work-dir", tmp_path) == 2
    assert "negas test only" in capsys.readouterr().err
