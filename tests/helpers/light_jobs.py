"""Calls for :mod:`negas.experiments.jobs` that need no library, in processes of their own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tqdm import tqdm


def wait_for(*paths: Path) -> None:
    """Return when they exist, or after half a minute."""
    for _ in range(600):
        if all(path.exists() for path in paths):
            return
        time.sleep(0.05)


def write(path: Path, log, after: tuple[Path, ...] = ()) -> None:
    """Leave the process and the time of begin and end in a file, when others are there."""
    log(f"begin {path.name}")
    begin = time.time()
    wait_for(*after)
    path.write_text(f"{os.getpid()} {begin} {time.time()}")


def times(path: Path) -> list[float]:
    """Process, begin and end of :func:`write`."""
    return [float(part) for part in path.read_text().split()]


def fail(path: Path, log) -> None:
    """Raise what a missing file raises."""
    open(path)


class Strange(ValueError):
    """An error that pickle cannot make again."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


def fail_strangely(log) -> None:
    """Raise it."""
    raise Strange("one", "other")


def die(log) -> None:
    """As a process ends that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def linger(folder: Path, log) -> None:
    """Sleep, with a bar, and tell of the end."""
    try:
        for _ in tqdm(range(600), desc="lingering"):
            (folder / f"{os.getpid()}.begun").touch()
            time.sleep(0.1)
    finally:
        (folder / f"{os.getpid()}.cleaned").touch()


def draw(mine: Path, other: Path, log) -> None:
    """Two bars and a line between them, while another does the same."""
    mine.touch()
    wait_for(other)
    name = mine.name
    for stage in ("first", "second"):
        log(f"{name}: {stage}")
        for _ in tqdm(range(8), desc=f"{name} {stage}", leave=None, mininterval=0):
            time.sleep(0.05)
