"""Training and testing runs from a config."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.config import config as config_module
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import negas.register  # noqa: F401

from .preflight import check_bank, check_checkpoint, check_data


def build_runner(cfg: Config) -> Runner:
    """MMEngine's runner for a config, as MMDetection's tools build it."""
    _join_cpu_processes(cfg)
    _format_config_once()
    runner_type = cfg.get("runner_type")
    return Runner.from_cfg(cfg) if runner_type is None else RUNNERS.build(cfg)


def _format_config_once() -> None:
    """Remember the formatted text of a config.

    MMEngine runs yapf over the whole config at every checkpoint, which takes a second or more.
    """
    if getattr(config_module.FormatCode, "remembers", False):
        return
    format_code, known = config_module.FormatCode, {}

    def remembering(text: str, **options: object) -> tuple[str, bool]:
        if text not in known:
            known[text] = format_code(text, **options)
        return known[text]

    remembering.remembers = True
    config_module.FormatCode = remembering


def _join_cpu_processes(cfg: Config) -> None:
    """Connect the processes of ``--launcher pytorch`` where there is no accelerator.

    MMEngine asks for a CUDA device in every process, and hands its number to the wrapper.
    """
    if cfg.get("launcher") != "pytorch" or get_device() != "cpu":
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(backend="gloo")
    cfg.setdefault("model_wrapper_cfg", dict(type="MMDistributedDataParallel"))
    cfg.model_wrapper_cfg.update(device_ids=None, broadcast_buffers=False)


def use_amp(cfg: Config) -> None:
    """Switch a config's optimiser wrapper to mixed precision.

    Raises:
        ValueError: if the wrapper is not one that can be switched.
    """
    wrapper = cfg.optim_wrapper
    kind = wrapper.get("type", "OptimWrapper")
    if kind in ("AmpOptimWrapper", "AutocastOptimWrapper"):
        return
    if kind != "OptimWrapper":
        raise ValueError(f"--amp: cannot switch optim_wrapper.type={kind!r} to mixed precision")
    if torch.cuda.is_available():
        wrapper.type = "AmpOptimWrapper"
        wrapper.loss_scale = "dynamic"
    else:
        wrapper.type = "AutocastOptimWrapper"


def train(
    cfg: Config, amp: bool = False, auto_scale_lr: bool = False, resume: str | None = None
) -> Runner:
    """Check the data, then train.

    Args:
        cfg: with ``work_dir``.
        amp: mixed precision.
        auto_scale_lr: scale the learning rate to the batch size.
        resume: ``auto`` (last checkpoint of the work dir) or a file.
    """
    if cfg.get("train_cfg") is None:
        raise ValueError(
            f"config {str(cfg.filename)!r} has train_cfg=None: it is for tools/test.py only"
        )
    check_bank(cfg)
    check_data(cfg, ("train_dataloader", "val_dataloader"))
    if amp:
        use_amp(cfg)
    if auto_scale_lr:
        if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
            raise ValueError("--auto-scale-lr needs auto_scale_lr.base_batch_size in the config")
        cfg.auto_scale_lr.enable = True
    if resume == "auto":
        cfg.resume, cfg.load_from = True, None
    elif resume is not None:
        check_checkpoint(resume)
        cfg.resume, cfg.load_from = True, resume
    runner = build_runner(cfg)
    runner.train()
    return runner


def test(cfg: Config, checkpoint: str | Path) -> dict:
    """Check data and checkpoint, then test; returns the metrics."""
    check_checkpoint(str(checkpoint))
    check_bank(cfg)
    check_data(cfg, ("test_dataloader",))
    cfg.load_from = str(checkpoint)
    return build_runner(cfg).test()
