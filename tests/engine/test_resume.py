"""An interrupted training ends where an uninterrupted one ends, bit for bit."""

import random

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from tests.helpers.commands import run_tool
from tests.helpers.tiny_coco import EMOJI, emoji_project, user_config
from tests.helpers.yolo_world import ROOT

pytestmark = pytest.mark.slow

# Flips come from the workers' random streams; two workers would do, one is enough.
WORKERS = dict(train_dataloader__num_workers=1, train_dataloader__persistent_workers=True)


@HOOKS.register_module()
class InterruptHook(Hook):
    """Ctrl-C in the middle of the second epoch."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.epoch == 1:
            raise KeyboardInterrupt


@HOOKS.register_module()
class DrawHook(Hook):
    """Write down what the process draws in each epoch."""

    draws: list = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 0:
            flips = [sample.get("flip") for sample in data_batch["data_samples"]]
            numbers = (random.random(), float(np.random.rand()), float(torch.rand(())))
            self.draws.append((numbers, flips))


def hooks(*names):
    kinds = ("TrainedOnlyCheckpointHook", "EpochSeedHook", *names)
    return dict(custom_hooks=[dict(type=name) for name in kinds])


def load(path):
    return torch.load(path, weights_only=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder with ``whole/`` (three epochs at once) and ``parts/`` (interrupted, then resumed)."""
    folder = tmp_path_factory.mktemp("resume")
    config = emoji_project(folder, **WORKERS, **hooks("DrawHook"))
    options = stop_options()
    interrupted = user_config(EMOJI, folder, "stop.py", **options, **hooks("InterruptHook"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        DrawHook.draws = []
        assert run_tool("train", config, "--work-dir", folder / "whole") == 0
        whole = DrawHook.draws
        assert run_tool("train", interrupted, "--work-dir", folder / "parts") == 130
        assert not (folder / "parts/epoch_2.pth").exists()
        DrawHook.draws = []
        assert run_tool("train", config, "--work-dir", folder / "parts", "--resume") == 0
    return folder, whole, DrawHook.draws


def stop_options():
    text = dict(model__neg_labels=["deer", "goat", "tractor"], train_cfg__max_epochs=3)
    return text | dict(train_cfg__val_interval=3) | WORKERS


def test_resumed_prompt_is_bit_identical(runs):
    folder = runs[0]
    whole, parts = (load(folder / name / "epoch_3.pth") for name in ("whole", "parts"))
    assert torch.equal(whole["state_dict"]["prompt.ctx"], parts["state_dict"]["prompt.ctx"])
    first = load(folder / "whole/epoch_1.pth")["state_dict"]["prompt.ctx"]
    assert not torch.equal(first, whole["state_dict"]["prompt.ctx"]), "epochs 2 and 3 must matter"


def test_resumed_optimizer_and_schedule_are_bit_identical(runs):
    folder = runs[0]
    whole, parts = (load(folder / name / "epoch_3.pth") for name in ("whole", "parts"))
    (first,), (second,) = (run["optimizer"]["state"].values() for run in (whole, parts))
    for key in ("step", "exp_avg", "exp_avg_sq"):
        assert torch.equal(first[key], second[key])
    assert whole["param_schedulers"] == parts["param_schedulers"]
    assert whole["meta"]["iter"] == parts["meta"]["iter"] == 6


def test_epochs_draw_anew_and_a_resumed_run_repeats_them(runs):
    _, whole, resumed = runs
    numbers = [draw[0] for draw in whole]
    assert len(whole) == 3 and len(set(numbers)) == 3
    assert resumed == whole[1:]
