"""Trainings with MMEngine's averaging, other workers, interruptions and losses that diverge."""

import shutil

import pytest
import torch

from tests.helpers.commands import run_tool
from tests.helpers.tiny_coco import emoji_project
from tests.helpers.yolo_world import ROOT

pytestmark = pytest.mark.slow

AVERAGE = dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.1, update_buffers=True)
HOOKS = [dict(type="TrainedOnlyCheckpointHook"), dict(type="EpochSeedHook"), AVERAGE]


def load(path):
    return torch.load(path, weights_only=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Config and ``whole/``: two epochs without data workers, each validated."""
    folder = tmp_path_factory.mktemp("guards")
    options = dict(train_cfg__max_epochs=2, train_cfg__val_interval=1, custom_hooks=HOOKS)
    options["default_hooks__checkpoint__save_best"] = "coco/bbox_mAP"
    config = emoji_project(folder, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert run_tool("train", config, "--work-dir", folder / "whole") == 0
    return folder, config


def assert_same_end(first, second):
    first, second = (load(folder / "epoch_2.pth") for folder in (first, second))
    for part, key in (("state_dict", "prompt.ctx"), ("ema_state_dict", "module.prompt.ctx")):
        assert torch.equal(first[part][key], second[part][key])
    assert not torch.equal(first["state_dict"]["prompt.ctx"], first["ema_state_dict"][key])
    assert first["ema_state_dict"]["steps"] == second["ema_state_dict"]["steps"] == 4


def test_an_average_beside_the_prompt_stays_small(runs):
    folder, _ = runs
    assert (folder / "whole/epoch_2.pth").stat().st_size < 1e5
    saved = load(folder / "whole/epoch_2.pth")
    assert set(saved["ema_state_dict"]) == {"steps", "module.prompt.ctx"}


def test_workers_draw_what_the_process_draws(runs, monkeypatch):
    folder, config = runs
    monkeypatch.chdir(ROOT)
    workers = {"train_dataloader.num_workers": 2, "train_dataloader.persistent_workers": True}
    out = folder / "workers"
    assert run_tool("train", config, "--work-dir", out, options=workers) == 0
    assert_same_end(folder / "whole", out)


def test_a_resume_after_a_kill_between_checkpoint_and_validation(runs, monkeypatch):
    folder, config = runs
    monkeypatch.chdir(ROOT)
    out = folder / "moved"
    out.mkdir()
    shutil.copy(folder / "whole/epoch_1.pth", out)
    (out / "epoch_2.pth").write_bytes((folder / "whole/epoch_2.pth").read_bytes()[:9000])
    (out / "last_checkpoint").touch()
    assert run_tool("train", config, "--work-dir", out, "--resume") == 0
    log = "".join(path.read_text() for path in out.glob("*/*.log"))
    assert "Validating epoch 1" in log and "Epoch(val) [1]" in log and "Epoch(val) [2]" in log
    assert_same_end(folder / "whole", out)


def test_weights_alone_are_not_resumed(runs, monkeypatch, capsys):
    folder, config = runs
    monkeypatch.chdir(ROOT)
    assert run_tool("train", config, "--work-dir", folder / "w", "--resume", "base.pth") == 2
    assert "does not exist" in capsys.readouterr().err
    weights = folder / "base.pth"
    assert run_tool("train", config, "--work-dir", folder / "w", "--resume", weights) == 2
    assert "cannot be resumed" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--allow-nan"]])
def test_a_training_that_diverges_writes_no_checkpoint(runs, monkeypatch, capsys, flags):
    folder, config = runs
    monkeypatch.chdir(ROOT)
    out = folder / f"nan{len(flags)}"
    rate = {"optim_wrapper.optimizer.lr": 1e30}
    assert run_tool("train", config, "--work-dir", out, *flags, options=rate) == 2
    error = capsys.readouterr().err
    assert "iteration 1 " in error and "NaN or infinite prompt.ctx" in error
    assert not list(out.glob("*.pth"))
