"""Files that one process holds, so that two do not write to one place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import fcntl, make_folder

_locks: dict[Path, int] = {}


def lock_file(path: str | os.PathLike, doing: str) -> None:
    """Hold a file until :func:`unlock_file` or the end of this process, however that comes.

    A lock belongs to the process: within it, a second call does nothing. Where the file system has
    no locks, neither.

    Args:
        path: the file; its folder is made.
        doing: what the holder does, for the other's error: ``"a test writes to out"``.

    Raises:
        BlockingIOError: another process holds it.
    """
    place = _lock_place(path)
    if fcntl is None or place in _locks:
        return
    make_folder(place.parent)
    file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        # not flock, which worker processes would inherit and keep when this one is killed
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(file, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(file)
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return
        raise BlockingIOError(
            f"{doing} already (process {holder}); wait for it or name another folder"
        ) from error
    os.ftruncate(file, 0)
    os.write(file, str(os.getpid()).encode())
    _locks[place] = file


def unlock_file(path: str | os.PathLike) -> None:
    """Let go of a file of :func:`lock_file`."""
    file = _locks.pop(_lock_place(path), None)
    if file is not None:
        os.close(file)


@contextmanager
def locked(path: str | os.PathLike, doing: str) -> Iterator[None]:
    """A block of :func:`lock_file` to :func:`unlock_file`."""
    lock_file(path, doing)
    try:
        yield
    finally:
        unlock_file(path)


def _lock_place(path: str | os.PathLike) -> Path:
    """The file itself, not what a link in its place leads to."""
    return Path(path).parent.resolve() / Path(path).name
