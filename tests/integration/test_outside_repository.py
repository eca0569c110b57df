"""As MMDetection users do: an own config elsewhere, MMEngine's stock Runner, custom_imports."""

import json
import sys

import numpy as np
import pytest
import torch
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config

from tests.helpers.commands import run_command
from tests.helpers.tiny_coco import user_config, write_base, write_data
from tests.helpers.yolo_world import ROOT

CONFIGS = ROOT / "configs/negas"
VOC = CONFIGS / "negas_yolo-world-v2-s_8xb20-30e_voc.py"
SCRIPT = """
import sys
from mmengine.config import Config
from mmengine.runner import Runner

cfg = Config.fromfile(sys.argv[1])
Runner.from_cfg(cfg).train()
cfg.load_from = f"{cfg.work_dir}/epoch_1.pth"
Runner.from_cfg(cfg).test()
"""


@pytest.mark.slow
def test_stock_runner_trains_and_tests_an_inherited_config(tmp_path):
    config = user_config(
        VOC,
        tmp_path,
        size=64,
        default_scope="mmyolo",
        train_cfg__max_epochs=1,
        train_cfg__val_interval=1,
    )
    assert str(ROOT) in config.read_text() and tmp_path not in ROOT.parents
    write_data(Config.fromfile(VOC), tmp_path, count=2)
    write_base(Config.fromfile(config).model, tmp_path / "base.pth")
    done = run_command(sys.executable, "-c", SCRIPT, config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "missing keys in source state_dict" not in done.stdout + done.stderr
    checkpoint = torch.load(tmp_path / "work/epoch_1.pth", weights_only=False)
    assert list(checkpoint["state_dict"]) == ["prompt.ctx"]
    report = json.loads((tmp_path / "work/ood_results.json").read_text())
    assert {row["ood_set"] for row in report["rows"]} == {"coco", "openimages"}


@pytest.mark.parametrize(
    "config",
    [
        "negas_yolo-world-tiny_1xb16-8e_emoji-world.py",
        "negas_grounding-dino-tiny_1xb8-4e_emoji-world.py",
    ],
)
def test_mmdetection_alone_finds_what_a_shipped_config_names(config, tmp_path, monkeypatch):
    """Text towers, banks and base weights lie in the clone, whatever folder one works in."""
    monkeypatch.chdir(tmp_path)
    model = init_detector(str(CONFIGS / config), device="cpu")
    model.load_base()
    found = inference_detector(model, np.full((64, 64, 3), 128, np.uint8)).pred_instances
    assert len(found.id_scores) == len(found.bboxes)
