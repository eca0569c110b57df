"""A quiet terminal for runs one after the other: progress bars there, every log line in files."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from tqdm import tqdm


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Bars on standard error for training and the ID test set.

    Args:
        desc: what stands in front of the bars.
    """

    priority = "LOWEST"

    def __init__(self, desc: str = "") -> None:
        self.desc = desc
        # In a log file, a line every ten seconds is enough.
        self.interval = 0.1 if sys.stderr.isatty() else 10
        self.bar: tqdm | None = None

    def before_train(self, runner: Runner) -> None:
        """Open the bar; a resumed run starts where it was."""
        self.bar = tqdm(
            total=runner.max_iters,
            initial=runner.iter,
            desc=f"{self.desc} training",
            unit="it",
            mininterval=self.interval,
        )

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None):
        """Advance by a step and show the smoothed loss."""
        self.bar.update()
        if runner.message_hub.log_scalars.get("train/loss") is not None:
            loss = runner.message_hub.get_scalar("train/loss").mean(window_size=20)
            self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

    def after_train(self, runner: Runner) -> None:
        """Close the bar."""
        self.bar.close()

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Open the bar of the ID test set; the loop itself draws those of the other sets."""
        if batch_idx:
            return
        self.bar = tqdm(
            total=len(runner.test_dataloader),
            desc=f"{self.desc} ID test",
            unit="it",
            leave=False,
            disable=None,
        )

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None):
        """Advance by a batch."""
        self.bar.update()
        if batch_idx + 1 == len(runner.test_dataloader):
            self.bar.close()


@contextlib.contextmanager
def quiet(log_file: Path) -> Iterator[None]:
    """Send standard output and MMEngine's console log to ``log_file``; silence warnings.

    Bars and errors go to standard error and stay visible. MMEngine's own log files hold everything
    as always.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(log_file, "a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        warnings.catch_warnings(),
        _no_loading_bars(),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            _detach(file)


def _detach(file) -> None:
    """Take a stream away from all log handlers before it is closed."""
    for logger in list(logging.Logger.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", []):
            if getattr(handler, "stream", None) is file:
                handler.setStream(logging.lastResort.stream)
                handler.setLevel(logging.WARNING)
    from mmengine.logging import MMLogger

    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            if getattr(handler, "stream", None) is file:
                handler.setStream(logging.lastResort.stream)
                handler.setLevel(logging.WARNING)


@contextlib.contextmanager
def _no_loading_bars() -> Iterator[None]:
    """Transformers' "Loading weights" bars off."""
    from transformers.utils import logging as hf_logging

    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.enable_progress_bar()
