"""Two processes resume as they would have gone on, and test what one process tests."""

import pytest
import torch

from negas.evaluation.result_files import read_results
from tests.helpers.commands import run_tool
from tests.helpers.tiny_coco import EMOJI, EMOJI_GROUNDING_DINO, emoji_project, user_config
from tests.helpers.two_processes import run_test_by_two, train_by_two
from tests.helpers.yolo_world import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trained", "name"),
    [(EMOJI, "yolo-world-tiny"), (EMOJI_GROUNDING_DINO, "grounding-dino-tiny")],
)
def test_a_stock_detector(tmp_path, monkeypatch, trained, name):
    monkeypatch.chdir(ROOT)
    emoji_project(tmp_path, count=3, base=trained)
    stock = ROOT / f"configs/negas/stock_{name}_emoji-world.py"
    sets = ("test_dataloader", *(f"test_cfg__ood_dataloaders__{name}" for name in ("near", "far")))
    # One process more takes the first of three images again; alone in a batch each has the same
    # arithmetic, to the last digit.
    config = user_config(stock, tmp_path, "stock.py", **{f"{key}__batch_size": 1 for key in sets})
    weights, one, two = tmp_path / "base.pth", tmp_path / "one", tmp_path / "two"
    run_test_by_two(config, weights, two)
    assert run_tool("test", config, weights, "--work-dir", one) == 0
    rows = read_results(two)["rows"]
    assert rows and rows == read_results(one)["rows"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["coop_yolo-world-tiny_1xb16-8e", "negas_grounding-dino-tiny_1xb8-4e"]
)
def test_a_resumed_training_and_its_test(tmp_path, monkeypatch, name):
    monkeypatch.chdir(ROOT)
    base = ROOT / f"configs/negas/{name}_emoji-world.py"
    epochs = dict(train_cfg__max_epochs=2, train_cfg__val_interval=2)
    sets = ("test_dataloader", *(f"test_cfg__ood_dataloaders__{name}" for name in ("near", "far")))
    alone = {f"{key}__batch_size": 1 for key in sets}
    config = emoji_project(tmp_path, count=3, base=base, **epochs, **alone)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_by_two(config, whole, {})
    train_by_two(config, parts, {"train_cfg.max_epochs": 1})
    train_by_two(config, parts, {}, "--resume")
    weights = whole / "epoch_2.pth"
    first, second = (torch.load(path / weights.name, weights_only=False) for path in (whole, parts))
    assert first["meta"]["iter"] == second["meta"]["iter"] > 1
    assert torch.equal(first["state_dict"]["prompt.ctx"], second["state_dict"]["prompt.ctx"])
    one, two = tmp_path / "one", tmp_path / "two"
    run_test_by_two(config, weights, two)
    assert run_tool("test", config, weights, "--work-dir", one) == 0
    rows = read_results(two)["rows"]
    assert rows and rows == read_results(one)["rows"]
