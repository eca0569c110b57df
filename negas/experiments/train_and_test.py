"""Train and test planned runs, skipping what is done and resuming what was interrupted.

A quiet terminal for many runs: progress bars there, every log line in files.
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
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from tqdm import tqdm

from negas.cli import load_config, prepare_work_dir
from negas.evaluation.result_files import RESULTS_FILE
from negas.files import make_folder, read_json, write_json

from .checkpoints import newest_checkpoint
from .config_check import check_config
from .jobs import Job, run_jobs
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
            leave=None,  # it stays, unless it is one of several processes' bars
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
    make_folder(log_file.parent)
    with (
        open(log_file, "a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            _detach(file)


def _detach(file) -> None:
    """Take a stream away from all log handlers before it is closed."""
    from mmengine.logging import MMLogger

    loggers = [*logging.Logger.manager.loggerDict.values(), *MMLogger._instance_dict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", []):
            if getattr(handler, "stream", None) is file:
                handler.setStream(logging.lastResort.stream)
                handler.setLevel(logging.WARNING)


STAMP_FILE = "stamp.json"
TRAINING, TRAINED, TESTED = "training", "trained", "tested"


@dataclass(frozen=True)
class PlannedRun:
    """A run to be brought to its end, in a work dir of its own.

    Attributes:
        config: config file.
        folder: its work dir.
        name: what it is called in progress lines.
        seed: of the run and of the noise on negative texts.
        settings: what it changes in the config.
        weights_of: work dir of the run whose checkpoint it tests; it then trains nothing.
    """

    config: Path
    folder: Path
    name: str
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights_of: Path | None = None

    def load(self, overrides: Mapping | None = None) -> Config:
        """Its config, with its settings, seed and those overrides whose section it has."""
        cfg = load_config(str(self.config), dict(self.settings))
        cfg.merge_from_dict({**applicable(cfg, overrides or {}), "randomness.seed": self.seed})
        return cfg

    def checkpoint(self, cfg: Config) -> str | None:
        """What it tests; ``None``: not there yet."""
        if self.weights_of is not None:
            return newest_checkpoint(self.weights_of)
        return newest_checkpoint(self.folder) if self.trains(cfg) else cfg.model.base_checkpoint

    def trains(self, cfg: Config) -> bool:
        """Whether there is anything to train."""
        return cfg.get("train_cfg") is not None and self.weights_of is None

    def stamp(self, cfg: Config) -> Stamp:
        """How far it came with these settings."""
        weights = None if self.weights_of is None else self.checkpoint(cfg)
        return Stamp(self.folder / STAMP_FILE, fingerprint(cfg, [weights] if weights else ()))

    def state(self, overrides: Mapping | None = None) -> str | None:
        """How far it came, as a stamp says it; nothing is written."""
        state = self.stamp(self.load(overrides)).read()
        return TRAINED if state == TESTED and not (self.folder / RESULTS_FILE).is_file() else state


def run_all(
    runs: Sequence[PlannedRun],
    overrides: Mapping | None = None,
    test_only: bool = False,
    fresh: bool = False,
    log: Callable[[str], None] | None = None,
    jobs: int = 1,
) -> list[Path]:
    """Bring runs to their end; returns their work dirs.

    Args:
        runs: what to do, in this order; one that tests the weights of another in front of it waits
            for that.
        overrides: as ``--cfg-options``, for all runs.
        test_only: see :func:`train_and_test`.
        fresh: see :func:`train_and_test`.
        log: called with progress lines; by default they are printed, with the time and a count.
        jobs: runs at a time. If several, each is in a process of its own, as Python's
            ``multiprocessing`` spawns them; see :func:`~.jobs.run_jobs` for what errors do.

    Raises:
        RuntimeError: the process of a run has ended.
        ValueError: an override fits none of the configs, or a value in one cannot be.
        FileNotFoundError: see :func:`train_and_test`.
    """
    if overrides:
        configs = dict.fromkeys(run.config for run in runs)
        check_overrides([load_config(str(config)) for config in configs], overrides)
    for run in {(run.config, repr(run.settings)): run for run in runs}.values():
        check_config(run.load(overrides))
    clock, left = Clock(5), []
    for i, run in enumerate(runs, 1):
        count = f"({i}/{len(runs)}) "
        tell = log or (lambda text, count=count: clock(count + text))
        call = partial(train_and_test, run, overrides, fresh, test_only)
        job = Job(run.folder, run.name, call, tell, after=run.weights_of)
        again = fresh or test_only or job.waits(left)
        if jobs > 1 and not again and run.state(overrides) == TESTED:
            call(log=tell)  # says so, without a process
        else:
            left.append(job)
    run_jobs(left, jobs)
    return [run.folder for run in runs]


class Clock:
    """Prints lines with the seconds since it was made.

    Args:
        width: of the seconds.
    """

    def __init__(self, width: int) -> None:
        self.start, self.width = time.monotonic(), width

    def __call__(self, text: str) -> None:
        """Print a line."""
        print(f"[{time.monotonic() - self.start:{self.width}.0f} s] {text}", flush=True)


def train_and_test(
    run: PlannedRun,
    overrides: Mapping | None = None,
    fresh: bool = False,
    test_only: bool = False,
    log: Callable[[str], None] = print,
) -> Path:
    """Bring one run to its end; returns the work dir with its results.

    A stamp in the work dir holds the hash of the settings and files and how far the run came. With
    the same hash, finished steps are skipped and a training resumes at its last checkpoint.

    Args:
        run: what to do.
        overrides: as ``--cfg-options``; see :func:`applicable`.
        fresh: do everything again.
        test_only: never train; the checkpoint must be there.
        log: called with progress lines.

    Raises:
        FileNotFoundError: ``test_only`` without a checkpoint; data or weights are missing.
    """
    cfg = run.load(overrides)
    folder = prepare_work_dir(cfg, str(run.folder))
    stamp = run.stamp(cfg)
    state = None if fresh else stamp.read()
    if state == TESTED and not test_only and (folder / RESULTS_FILE).is_file():
        log(f"{run.name}: done already ({folder})")
        return folder
    if run.trains(cfg) and not test_only and state not in (TRAINED, TESTED):
        resume = "auto" if state == TRAINING and newest_checkpoint(folder) else None
        log(f"{run.name}: {'resuming' if resume else 'training'} in {folder}")
        stamp.write(TRAINING)
        with quiet(folder / "console.log"):
            train(_prepared(cfg, run.name, "train"), resume=resume)
        stamp.write(TRAINED)
    checkpoint = run.checkpoint(cfg)
    if checkpoint is None:
        where = run.weights_of or folder
        raise FileNotFoundError(f"{where}: no checkpoint to test; train first (no --test-only)")
    log(f"{run.name}: testing {checkpoint}")
    with quiet(folder / "console.log"):
        test(_prepared(cfg, run.name, "test"), checkpoint)
    stamp.write(TESTED)
    gc.collect()  # the runner's memory, before the next one needs it
    return folder


def applicable(cfg: Config, overrides: Mapping) -> dict:
    """The overrides whose section the config has: a stock config trains nothing, for example."""

    def has_section(key: str) -> bool:
        node = cfg._cfg_dict
        for part in key.split(".")[:-1]:
            if isinstance(node, list):  # "hooks.0.type" counts list items
                node = node[int(part)] if part.isdigit() and int(part) < len(node) else None
            else:
                node = node.get(part) if isinstance(node, dict) else None
        return node is not None

    return {key: value for key, value in overrides.items() if has_section(key)}


# Settings that a planned run has of its own, and the option that says them.
SET_ELSEWHERE = {"randomness.seed": "--seed or --seeds", "work_dir": "--work-dir"}


def check_overrides(configs: Sequence[Config], overrides: Mapping | None) -> None:
    """Refuse an override that fits none of the configs, or that each run would set again.

    Raises:
        ValueError: naming the setting.
    """
    used = {key for cfg in configs for key in applicable(cfg, overrides or {})}
    for key in overrides or {}:
        if key in SET_ELSEWHERE:
            raise ValueError(f"--cfg-options: {key!r} is set by {SET_ELSEWHERE[key]}; use that")
        if key not in used:
            raise ValueError(
                f"--cfg-options: none of the configs has a section {key.rpartition('.')[0]!r} for "
                f"{key!r}; correct the name"
            )


def fingerprint(cfg: Config, files: Sequence[str] = ()) -> str:
    """Hash of the settings and of files: those they name (weights, banks, annotations) and more."""
    digest = hashlib.sha256()
    plain = copy.deepcopy(cfg._cfg_dict.to_dict())
    for key in ("work_dir", "launcher", "load_from", "resume"):
        plain.pop(key, None)
    digest.update(json.dumps(plain, sort_keys=True, default=str).encode())
    nodes = list(walk(plain))
    named = {node for node in nodes if isinstance(node, str)}
    named |= {str(path) for node in nodes if (path := annotation_file(node))}
    for name in sorted({*named, *files}):
        if name.endswith((".safetensors", ".pth", ".json", ".txt")) and os.path.isfile(name):
            digest.update(name.encode() + hashlib.sha256(Path(name).read_bytes()).digest())
    return digest.hexdigest()


def walk(node: object) -> Iterator[object]:
    """Every part of a config, the outer ones first."""
    yield node
    if isinstance(node, dict | list | tuple):
        for value in node.values() if isinstance(node, dict) else node:
            yield from walk(value)


def annotation_file(node: object) -> Path | None:
    """The annotation file that a part of a config names, if it is a data set."""
    if isinstance(node, dict) and isinstance(node.get("ann_file"), str):
        return Path(node.get("data_root") or "") / node["ann_file"]
    return None


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
            data = read_json(self.path, own=True)
            return data["state"] if data["hash"] == self.digest else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, state: str) -> None:
        """Record a state, whole or not at all."""
        write_json(self.path, dict(hash=self.digest, state=state))


def _prepared(cfg: Config, desc: str, step: str) -> Config:
    """A copy for one runner: several runners in a process must not share named instances."""
    cfg = copy.deepcopy(cfg)
    unique = f"{Path(cfg.work_dir).resolve()}-{step}".replace("/", "_")
    if cfg.get("visualizer"):
        cfg.visualizer.name = f"visualizer{unique}"
    hooks = list(cfg.get("custom_hooks") or [])
    cfg.custom_hooks = [*hooks, dict(type="ProgressBarHook", desc=desc)]
    # A runner is garbage with cycles; collected so, each persistent worker is waited for 5 seconds.
    for node in walk(cfg._cfg_dict):
        if isinstance(node, dict) and "persistent_workers" in node:
            node["persistent_workers"] = False
    return cfg
