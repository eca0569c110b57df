"""Reading official files with helpful errors; writing results whole, and only if they differ."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from negas.files import file_sha256, protect, whole_file


def need_file(path: str | os.PathLike, what: str, source: str) -> Path:
    """The path, if it is a file.

    Args:
        path: where it should lie.
        what: what it is, for people.
        source: where to get it.

    Raises:
        FileNotFoundError: it is not there.
    """
    protect(path)
    return _need(Path(path), Path(path).is_file(), f"{what}: there is no file", source)


def need_folder(path: str | os.PathLike, what: str, source: str) -> Path:
    """The path, if it is a folder.

    Raises:
        FileNotFoundError: it is not there.
    """
    return _need(Path(path), Path(path).is_dir(), f"{what}: there is no folder", source)


def _need(path: Path, exists: bool, fault: str, source: str) -> Path:
    if exists:
        return path
    raise FileNotFoundError(f"{fault} {str(path)!r}; get it from {source} or give its path.")


CUT_SHORT = "it may be cut short, get it again"


def first_repeated(values: Iterable[int | str]) -> int | str | None:
    """The first value that occurs a second time, or None."""
    seen: set[int | str] = set()
    return next((value for value in values if value in seen or seen.add(value)), None)


def ids_sha256(ids: Iterable[int | str]) -> str:
    """SHA-256 of the sorted ids, one per line, with a final newline; numbers sort as numbers."""
    ordered = sorted(ids, key=lambda id_: (isinstance(id_, str), id_))
    return hashlib.sha256("".join(f"{id_}\n" for id_ in ordered).encode()).hexdigest()


def write_if_different(path: Path, lines: Iterable[str], overwrite: bool = False) -> bool:
    """Stream text into a file; a kill leaves the old file or the new one, never a part.

    Args:
        path: the file; its folder is made.
        lines: pieces of the text, each held for a moment only.
        overwrite: replace a file of other content.

    Returns:
        Whether the file was written; False if it holds the same text already.

    Raises:
        ValueError: there is another file and ``overwrite`` is off.
        FileExistsError: it is an input of the command.
    """
    digest = hashlib.sha256()
    with whole_file(path) as partial:
        with partial.open("wb") as file:
            for line in lines:
                data = line.encode("utf-8", "backslashreplace")
                digest.update(data)
                file.write(data)
        if path.is_file():
            if file_sha256(path) == digest.hexdigest():
                partial.unlink()
                return False
            if not overwrite:
                raise ValueError(
                    f"{str(path)!r} exists with other content; choose another output or replace "
                    "it with --overwrite."
                )
    return True
