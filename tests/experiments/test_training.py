"""Processes of a launcher are joined before the checks, as MMEngine's runner would join them."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.config import config as config_module

from negas.experiments import run
from negas.files import locks

ENV = dict(mp_cfg=dict(mp_start_method="fork"), dist_cfg=dict(backend="nccl", timeout=60))


@pytest.fixture
def joined(monkeypatch):
    """Calls that would join processes."""
    calls = []
    monkeypatch.setattr(run, "init_dist", lambda *args, **kwargs: calls.append((args, kwargs)))
    monkeypatch.setattr(run, "set_multi_processing", lambda **kwargs: calls.append(kwargs))
    return calls


def test_a_single_process_is_left_alone(joined):
    run.join_processes(Config(dict(launcher="none", env_cfg=ENV)))
    run.join_processes(Config(dict(env_cfg=ENV)))
    assert joined == []


@pytest.mark.parametrize(("launcher", "device"), [("pytorch", "cuda"), ("slurm", "cpu")])
def test_processes_are_joined_with_the_configs_settings(joined, monkeypatch, launcher, device):
    monkeypatch.setattr(run, "get_device", lambda: device)
    cfg = Config(dict(launcher=launcher, env_cfg=ENV))
    run.join_processes(cfg)
    start, join = joined
    assert start == dict(mp_start_method="fork", distributed=True)
    assert join == ((launcher,), dict(backend="nccl", timeout=60))
    assert "model_wrapper_cfg" not in cfg, "the wrapper's settings for CPUs are not for GPUs"


def test_processes_are_joined_once(joined, monkeypatch):
    monkeypatch.setattr(run, "get_device", lambda: "cuda")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    run.join_processes(Config(dict(launcher="pytorch", env_cfg=ENV)))
    assert joined == []


def test_processes_are_joined_before_data_are_checked(monkeypatch):
    order = []
    for name in ("check_checkpoint", "check_bank", "join_processes", "check_data"):
        monkeypatch.setattr(run, name, lambda *_, name=name: order.append(name))

    def build(cfg):
        raise RuntimeError("far enough")

    monkeypatch.setattr(run, "build_runner", build)
    cfg = Config(dict(train_cfg=dict(), test_cfg=dict(), work_dir="."))
    with pytest.raises(RuntimeError, match="far enough"):
        run.train(cfg)
    with pytest.raises(RuntimeError, match="far enough"):
        run.test(cfg, "x.pth")
    steps = ["check_bank", "join_processes", "check_data"]
    assert order == [*steps, "check_checkpoint", *steps]


def test_a_config_is_formatted_anew_only_where_it_changed(monkeypatch):
    """MMEngine asks for the text at every checkpoint, of a copy of the config."""
    cfg = Config(dict(a=1, b=dict(c=[1, 2])))
    monkeypatch.setattr(run, "RUNNERS", SimpleNamespace(build=lambda built: built))
    cfg.runner_type = "Any"
    built = run.build_runner(cfg)
    calls, real = [], config_module.FormatCode
    monkeypatch.setattr(
        config_module, "FormatCode", lambda *a, **k: calls.append(a) or real(*a, **k)
    )
    texts = [copy.deepcopy(built).pretty_text for _ in range(3)]
    assert texts == [cfg.pretty_text] * 3 and len(calls) == 1 + 1  # once by MMEngine's own
    built.b.c = [3]
    assert built.pretty_text != texts[0] and len(calls) == 3
    assert built.pretty_text == cfg.pretty_text, "it is the same config, not a copy"


def test_a_work_dir_is_held_while_a_training_runs(monkeypatch, tmp_path):
    order = []
    for name in ("check_bank", "check_data", "check_config"):
        monkeypatch.setattr(run, name, lambda *_: None)
    for name in ("lock_file", "unlock_file"):
        monkeypatch.setattr(locks, name, lambda path, *_, name=name: order.append((name, path)))
    runner = SimpleNamespace(
        work_dir=str(tmp_path),
        model=torch.nn.Linear(1, 1),
        train=lambda: order.append("trained"),
        resume=None,
    )
    monkeypatch.setattr(run, "build_runner", lambda cfg: runner)
    cfg = Config(dict(train_cfg=dict(), work_dir=str(tmp_path), launcher="none"))
    run.train(cfg)
    (lock, held), trained, (unlock, freed) = order
    assert (lock, trained, unlock) == ("lock_file", "trained", "unlock_file")
    assert held == freed and held.parent == tmp_path
    runner.model.requires_grad_(False)
    with pytest.raises(ValueError, match="trains nothing"):
        run.train(cfg)
    assert len(order) == 3
