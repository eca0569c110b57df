"""Training and testing runs from a config."""

from __future__ import annotations

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist, is_main_process
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing

from negas.evaluation.cuts import validation_tau
from negas.evaluation.ood_metric import OODMetric
from negas.evaluation.unknown import chosen_unknown
from negas.files import check_folder
from negas.files.locks import locked
from negas.models.checkpoint import check_base
from negas.records import VALIDATION_SETS
from negas.visualization.painting import paint_sets

from .checkpoints import check_resumable, newest_checkpoint
from .config_check import check_config
from .console import QuietRunner, short_console
from .preflight import check_bank, check_checkpoint, check_data


class _FormattedOnce(Config):
    """A config that remembers its formatted text as long as its content stays.

    MMEngine runs yapf over the whole config at every checkpoint, which takes a second or more.
    """

    _texts: ClassVar[dict[str, str]] = {}

    @classmethod
    def of(cls, cfg: Config) -> _FormattedOnce:
        """The same config, not a copy of it."""
        made = cls()
        vars(made).update(vars(cfg))
        return made

    @property
    def pretty_text(self) -> str:
        """As in MMEngine."""
        content = repr(self._cfg_dict)
        if content not in self._texts:
            self._texts[content] = super().pretty_text
        return self._texts[content]


def build_runner(cfg: Config) -> Runner:
    """MMEngine's runner for a config, as MMDetection's tools build it, with a short console."""
    join_processes(cfg)
    cfg = _FormattedOnce.of(cfg)
    runner_type = cfg.get("runner_type")
    return QuietRunner.from_cfg(cfg) if runner_type is None else RUNNERS.build(cfg)


def join_processes(cfg: Config) -> None:
    """Connect the processes of ``--launcher``; does nothing without one or a second time.

    MMEngine does so in its runner, but the checks before that share their work, too. Where there is
    no accelerator it would ask for a CUDA device in every process, and hand its number to the
    wrapper.
    """
    launcher = cfg.get("launcher") or "none"
    if launcher == "none":
        return
    env = cfg.get("env_cfg") or {}
    if launcher != "pytorch" or get_device() != "cpu":
        if not torch.distributed.is_initialized():
            set_multi_processing(**env.get("mp_cfg", {}), distributed=True)
            init_dist(launcher, **env.get("dist_cfg", {}))
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(backend="gloo")
    wrapper = cfg.setdefault("model_wrapper_cfg", dict(type="MMDistributedDataParallel"))
    if wrapper.get("type") != "Unwrapped":
        wrapper.update(device_ids=None, broadcast_buffers=False)


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


@short_console()
def train(
    cfg: Config,
    amp: bool = False,
    auto_scale_lr: bool = False,
    resume: str | None = None,
    allow_nan: bool = False,
) -> Runner:
    """Check the data, then train.

    Args:
        cfg: with ``work_dir``.
        amp: mixed precision.
        auto_scale_lr: scale the learning rate to the batch size.
        resume: ``auto`` (last checkpoint of the work dir) or a file.
        allow_nan: go on after a loss that is NaN or infinite.

    Raises:
        ValueError: the config, its data or a checkpoint cannot be used.
        FileNotFoundError: a file does not exist.
        RuntimeError: the weights do not fit, or the training diverged.
        BlockingIOError: another process trains in this work dir.
    """
    if cfg.get("train_cfg") is None:
        raise ValueError(
            f"config {str(cfg.filename)!r} has train_cfg=None: it is for negas test only"
        )
    check_config(cfg)
    check_bank(cfg)
    if base := (cfg.get("model") or {}).get("base_checkpoint"):
        check_base(base)
    join_processes(cfg)
    check_data(cfg, ("train_dataloader", "val_dataloader"))
    if amp:
        use_amp(cfg)
    if auto_scale_lr:
        if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
            raise ValueError("--auto-scale-lr needs auto_scale_lr.base_batch_size in the config")
        cfg.auto_scale_lr.enable = True
    if resume is None and cfg.get("resume"):
        resume = cfg.get("load_from") or "auto"
    if resume is not None:
        _resume(cfg, resume)
    cfg.custom_hooks = [
        *(cfg.get("custom_hooks") or []),
        dict(type="FiniteHook", allow_nan=allow_nan),
        dict(type="MissedValidationHook"),
    ]
    runner = build_runner(cfg)
    if not any(weight.requires_grad for weight in runner.model.parameters()):
        raise ValueError(
            f"config {str(cfg.filename)!r} trains nothing: all of the model's weights are frozen; "
            "set model.prompt or model.frozen as configs/negas do, or use negas test"
        )
    runner.resume = _named(runner.resume)
    lock = Path(runner.work_dir) / ".train.lock"
    doing = f"another training writes to {runner.work_dir!r}"
    with locked(lock, doing) if is_main_process() else nullcontext():
        runner.train()
    return runner


def _named(resume: Callable[..., None]) -> Callable[..., None]:
    """MMEngine's ``Runner.resume``, whose errors then name the checkpoint."""

    def named(filename: str, *args: Any, **options: Any) -> None:
        try:
            resume(filename, *args, **options)
        except (
            AssertionError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            if filename in str(error):
                raise
            raise ValueError(
                f"checkpoint {filename!r} cannot be resumed with this config ({error}); give an "
                "epoch_N.pth of the same training"
            ) from error

    return named


def _resume(cfg: Config, source: str) -> None:
    """Choose the checkpoint to go on from; without one in the work dir training starts anew."""
    if source == "auto":
        found = newest_checkpoint(cfg.work_dir)
        if found is None:
            print_log(
                f"{cfg.work_dir}: no checkpoint to resume, so training starts anew", "current"
            )
        cfg.resume, cfg.load_from = found is not None, found or cfg.get("load_from")
        return
    check_checkpoint(source)
    check_resumable(source)
    cfg.resume, cfg.load_from = True, source


@short_console()
def test(cfg: Config, checkpoint: str | Path, show_dir: str | None = None) -> dict:
    """Check data and checkpoint, then test; returns the metrics.

    Args:
        cfg: with ``work_dir``.
        checkpoint: file.
        show_dir: folder below the work dir for painted images: of all sets, known and unknown boxes
            apart, with ``OODTestLoop``; else what MMDetection's hook paints.
    """
    check_config(cfg)
    check_checkpoint(str(checkpoint))
    check_bank(cfg)
    cfg.model_wrapper_cfg = dict(type="Unwrapped")
    join_processes(cfg)
    check_data(cfg, ("test_dataloader",))
    cfg.load_from = str(checkpoint)
    hooks = cfg.setdefault("default_hooks", {})
    logger = hooks.setdefault("logger", dict(type="LoggerHook"))
    if logger and logger.get("type") == "LoggerHook":  # not one of the user's own
        logger["type"] = "OODLoggerHook"
    paints = show_dir and cfg.test_cfg.get("type") == "OODTestLoop"
    folder = Path(cfg.work_dir).resolve() / (show_dir or "")
    if show_dir:
        check_folder(folder, "--show-dir")
    if show_dir and not paints:
        # Absolute: the hook would join a relative one to its own path anew at every image.
        cfg.default_hooks.visualization.update(draw=True, test_out_dir=str(folder))
    runner = build_runner(cfg)
    metrics = runner.test()
    if paints and is_main_process():
        paint(runner.test_loop.ood_metric, folder)
    return metrics


def paint(metric: OODMetric, folder: Path) -> None:
    """Paint the images of a finished test, one folder per set."""
    tau = metric.tau
    if tau is None:
        try:
            tau = validation_tau(metric.records, metric.score, metric.cut)
        except ValueError as error:
            raise ValueError(
                f"--show-dir: nothing is painted: {error}; the results are whole"
            ) from error
    shown = {name: part for name, part in metric.records.items() if name not in VALIDATION_SETS}
    objects = chosen_unknown(metric.run, metric.cut, list(shown))
    count = paint_sets(shown, metric.score, metric.cut, tau, folder, *objects)
    print_log(f"{count} painted images are in {folder}", "current")
