"""Files written whole or not at all, and what tells one file from another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """A place to write to that becomes ``path`` when the block ends without an error.

    A kill or an error leaves the old file, never a part of the new one. The folder is made.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike, text: str) -> None:
    """Write a text file so that a kill leaves the old or the new one, never a part."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def probe_folder(folder: Path) -> None:
    """Make a folder and see that files can be written there.

    Raises:
        OSError: it cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".write_probe_{os.getpid()}"
    probe.touch()
    probe.unlink()


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
