"""Registered modules can be imported on their own, before anything else of negas."""

import sys

import pytest

from tests.helpers.commands import run_command
from tests.helpers.yolo_world import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("negas.datasets.emoji_world.stream", "EmojiWorldScenes"),
        ("negas.datasets.emoji_world.dataset", "EmojiWorldDataset"),
        ("negas.datasets.coco_by_name", "CocoByNameDataset"),
    ],
)
def test_a_module_that_needs_mmdet_comes_first(module, name):
    code = f"from mmengine.registry import DATASETS; import {module}; assert {name!r} in DATASETS"
    done = run_command(sys.executable, "-c", code, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-500:]
