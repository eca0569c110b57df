"""Which checkpoint of a training a run goes on from, or is tested with."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader

from negas.compat.checkpoint import load_checkpoint

_MARKER = "last_checkpoint"  # MMEngine's file with the path of the newest checkpoint
_MOST = 2**31  # epochs or iterations that a training may count
_NUMBERED = re.compile(r"(?!best_).*?(\d+)\.pth")


def newest_checkpoint(folder: str | Path) -> str | None:
    """The newest whole checkpoint in the work dir of a training; ``None``: there is none.

    The file that ``last_checkpoint`` names is taken also after the folder was moved, and a newer
    one if the run ended before it could be named there. What an interruption left half-written is
    skipped, with a warning.
    """
    for path in _candidates(Path(folder)):
        try:
            check_resumable(str(path))
            return str(path)
        except (ValueError, RuntimeError, OSError) as error:
            print_log(f"not used: {error}", "current", logging.WARNING)
    return None


def check_resumable(path: str) -> None:
    """Check that a file holds the state of a training.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or holds weights alone.
    """
    remote = "://" in path
    checkpoint = (CheckpointLoader.load_checkpoint if remote else load_checkpoint)(
        path, map_location="cpu"
    )
    states = [checkpoint.get(key) for key in ("meta", "message_hub", "optimizer")]
    if not all(isinstance(state, dict) for state in states) or not all(
        type(count := states[0].get(key)) is int and 0 <= count < _MOST for key in ("epoch", "iter")
    ):
        raise ValueError(
            f"checkpoint {path!r} holds weights without the state of a training, so it cannot be "
            "resumed; give an epoch_N.pth, or start a training from these weights with "
            "--cfg-options load_from=..."
        )


def _candidates(folder: Path) -> list[Path]:
    """Checkpoints of a work dir, the most likely one first."""
    try:
        text = (folder / _MARKER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    named = Path(text) if text else folder
    if not os.path.isfile(named):  # the folder was moved, or the text is none of a path
        named = folder / named.name
    own = _by_number(folder)
    if not os.path.isfile(named):
        return list(own)
    numbers = _by_number(named.parent)
    # A higher number alone may be left from an earlier run in this folder.
    since = named.stat().st_mtime
    newer = [
        path
        for path in numbers
        if numbers[path] > numbers.get(named, numbers[path]) and path.stat().st_mtime >= since
    ]
    older = [path for path in numbers if numbers[path] < numbers.get(named, numbers[path] + 1)]
    found = [*newer, named, *(path for path in older if path != named)]
    # of another folder, say after this one was copied: if nothing there can be used, its own
    return found if folder.samefile(named.parent) else [*found, *own]


def _by_number(folder: Path) -> dict[Path, int]:
    """Numbers of the checkpoints in a folder, the highest first."""
    numbers = {
        path: int(found[1])
        for path in folder.glob("*.pth")
        if (found := _NUMBERED.fullmatch(path.name))
    }
    return dict(sorted(numbers.items(), key=lambda item: item[1], reverse=True))
