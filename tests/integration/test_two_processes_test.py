"""Two processes test what one tests, with a model that trains nothing, too."""

import pytest

from negas.evaluation.result_files import read_results
from tests.helpers.commands import run_tool
from tests.helpers.tiny_coco import EMOJI, EMOJI_GROUNDING_DINO, emoji_project, user_config
from tests.helpers.two_processes import run_test_by_two
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
