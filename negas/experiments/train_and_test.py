"""Train and test one config, skipping what is done and resuming what was interrupted.

A quiet terminal for runs one after the other: progress bars there, every log line in files.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import hashlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from tqdm import tqdm

from negas.cli import load_config, prepare_work_dir
from negas.evaluation.result_files import RESULTS_FILE
from negas.files import read_json, write_json

from .run import test, train


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


STAMP_FILE = "stamp.json"
TRAINING, TRAINED, TESTED = "training", "trained", "tested"


def train_and_test(
    config: str | Path,
    work_dir: str | Path,
    desc: str,
    overrides: dict | None = None,
    seed: int = 0,
    fresh: bool = False,
    test_only: bool = False,
    log=print,
) -> Path:
    """Bring one run to its end; returns the work dir with its results.

    A stamp in the work dir holds the hash of the settings and files and how far the run came. With
    the same hash, finished steps are skipped and a training resumes at its last checkpoint.

    Args:
        config: config file.
        work_dir: of this run alone.
        desc: what the run is called in progress lines.
        overrides: as ``--cfg-options``; see :func:`applicable`.
        seed: of the run and of the noise on negative texts.
        fresh: do everything again.
        test_only: never train; the checkpoint must be there.
        log: called with progress lines.

    Raises:
        FileNotFoundError: ``test_only`` without a checkpoint; data or weights are missing.
    """
    cfg = load_config(str(config), overrides and applicable(config, overrides))
    cfg.merge_from_dict({"randomness.seed": seed})
    folder = prepare_work_dir(cfg, str(config), str(work_dir))
    stamp = Stamp(folder / STAMP_FILE, fingerprint(cfg))
    state = None if fresh else stamp.read()
    if state == TESTED and not test_only and (folder / RESULTS_FILE).is_file():
        log(f"{desc}: done already ({folder})")
        return folder
    trains = cfg.get("train_cfg") is not None
    if trains and not test_only and state not in (TRAINED, TESTED):
        resume = "auto" if state == TRAINING and _last_checkpoint(folder) else None
        log(f"{desc}: {'resuming' if resume else 'training'} in {folder}")
        stamp.write(TRAINING)
        with quiet(folder / "console.log"):
            train(_prepared(cfg, desc, "train"), resume=resume)
        stamp.write(TRAINED)
    checkpoint = _last_checkpoint(folder) if trains else cfg.model.base_checkpoint
    if checkpoint is None:
        raise FileNotFoundError(f"{folder}: no checkpoint to test; train first (no --test-only)")
    log(f"{desc}: testing {checkpoint}")
    with quiet(folder / "console.log"):
        test(_prepared(cfg, desc, "test"), checkpoint)
    stamp.write(TESTED)
    gc.collect()  # the runner's memory, before the next one needs it
    return folder


def applicable(config: str | Path, overrides: dict) -> dict:
    """The overrides whose section the config has: a stock config trains nothing, for example."""
    cfg = load_config(str(config))

    def has_section(key: str) -> bool:
        node = cfg._cfg_dict
        for part in key.split(".")[:-1]:
            if isinstance(node, list):  # "hooks.0.type" counts list items
                node = node[int(part)] if part.isdigit() and int(part) < len(node) else None
            else:
                node = node.get(part) if isinstance(node, dict) else None
        return node is not None

    return {key: value for key, value in overrides.items() if has_section(key)}


def check_overrides(configs: Sequence[str | Path], overrides: dict | None) -> None:
    """Refuse an override that fits none of the configs.

    Raises:
        ValueError: naming the setting.
    """
    used = {key for config in configs for key in applicable(config, overrides or {})}
    for key in overrides or {}:
        if key not in used:
            raise ValueError(
                f"--cfg-options: none of the configs has a section {key.rpartition('.')[0]!r} for "
                f"{key!r}; correct the name"
            )


def fingerprint(cfg: Config) -> str:
    """Hash of the settings and of the files they name (weights, banks, annotations)."""
    digest = hashlib.sha256()
    plain = copy.deepcopy(cfg._cfg_dict.to_dict())
    for key in ("work_dir", "launcher", "load_from", "resume"):
        plain.pop(key, None)
    digest.update(json.dumps(plain, sort_keys=True, default=str).encode())
    for name in sorted(set(_strings(plain))):
        if name.endswith((".safetensors", ".pth", ".json", ".txt")) and os.path.isfile(name):
            digest.update(name.encode() + hashlib.sha256(Path(name).read_bytes()).digest())
    return digest.hexdigest()


def _strings(node: object):
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        if isinstance(node.get("ann_file"), str):
            yield str(Path(node.get("data_root") or "") / node["ann_file"])
        for value in node.values():
            yield from _strings(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _strings(value)


class Stamp:
    """How far a run with certain settings came.

    Args:
        path: file of the stamp.
        digest: hash of the settings; a stamp with another one counts as none.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path, self.digest = path, digest

    def read(self) -> str | None:
        """The state, or ``None``."""
        try:
            data = read_json(self.path)
            return data["state"] if data["hash"] == self.digest else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, state: str) -> None:
        """Record a state, whole or not at all."""
        write_json(self.path, dict(hash=self.digest, state=state))


def _last_checkpoint(folder: Path) -> str | None:
    from mmengine.runner import find_latest_checkpoint

    found = None
    if (folder / "last_checkpoint").is_file():
        found = find_latest_checkpoint(str(folder))
    if found and not Path(found).is_file():  # the folder was moved
        found = str(folder / Path(found).name)
    return found if found and Path(found).is_file() else None


def _prepared(cfg: Config, desc: str, step: str) -> Config:
    """A copy for one runner: several runners in a process must not share named instances."""
    cfg = copy.deepcopy(cfg)
    unique = f"{Path(cfg.work_dir).resolve()}-{step}".replace("/", "_")
    if cfg.get("visualizer"):
        cfg.visualizer.name = f"visualizer{unique}"
    hooks = list(cfg.get("custom_hooks") or [])
    cfg.custom_hooks = [*hooks, dict(type="ProgressBarHook", desc=desc)]
    _end_workers_with_their_loop(cfg._cfg_dict)
    return cfg


def _end_workers_with_their_loop(node: object) -> None:
    """Switch off persistent workers in all dataloaders.

    A runner is garbage with cycles; collected so, each persistent worker is waited for 5 seconds.
    """
    if isinstance(node, dict):
        if "persistent_workers" in node:
            node["persistent_workers"] = False
        for value in node.values():
            _end_workers_with_their_loop(value)
