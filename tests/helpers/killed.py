"""Kill a block at its n-th step on disk, as ``kill -9`` would: nothing is tidied up."""

from __future__ import annotations

import builtins
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

_STEPS = (
    (os, "replace"), (os, "rename"), (os, "unlink"), (shutil, "rmtree"), (io, "open"),
    (builtins, "open"),
)  # fmt: skip


class Killed(BaseException):
    """Not an error that anybody handles."""


@contextmanager
def killed_at(step: int, inside: Path | None = None) -> Iterator[list[str]]:
    """Raise :class:`Killed` before a rename or removal, or after opening a file for writing.

    Args:
        step: which of them, from 0; all later ones fail, too, so that no ``finally`` mends a thing.
        inside: the folder whose steps count; ``None``: all.

    Yields:
        The steps so far.
    """
    seen: list[str] = []
    removing: list[bool] = []  # of the trees that are being removed: whether they count

    def watch(name: str, real):
        def act(*what, **how):
            writes = name == "open" and set("wax") & set([*what, how.get("mode", "r")][1])
            counts = inside is None or _lies(what[0], inside)
            if "dir_fd" in how and removing:  # a part of a tree: its name has no folder
                counts = removing[-1]
            if counts and (name != "open" or writes):
                seen.append(f"{name} {what[0]}")
                if len(seen) == step + 1 and writes:
                    real(*what, **how).close()
                if len(seen) > step:
                    raise Killed(seen[-1])
            if name != "rmtree":
                return real(*what, **how)
            removing.append(counts)
            try:
                return real(*what, **how)
            finally:
                removing.pop()

        return act

    with ExitStack() as stack:
        for owner, name in _STEPS:
            stack.enter_context(patch.object(owner, name, watch(name, getattr(owner, name))))
        yield seen


def _lies(path: object, folder: Path) -> bool:
    return isinstance(path, str | os.PathLike) and Path(path).is_relative_to(folder)
