"""Kill a block at its n-th step on disk, as ``kill -9`` would: nothing is tidied up."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

_STEPS = ((os, "replace"), (os, "rename"), (os, "unlink"), (shutil, "rmtree"), (io, "open"))


class Killed(BaseException):
    """Not an error that anybody handles."""


@contextmanager
def killed_at(step: int) -> Iterator[list[str]]:
    """Raise :class:`Killed` before a rename or removal, or after opening a file for writing.

    Args:
        step: which of them, from 0; all later ones fail, too, so that no ``finally`` mends a thing.

    Yields:
        The steps so far.
    """
    seen: list[str] = []

    def watch(name: str, real):
        def act(*what, **how):
            writes = name == "open" and set("wax") & set([*what, "r"][1])
            if name == "open" and not writes:
                return real(*what, **how)
            seen.append(f"{name} {what[0]}")
            made = real(*what, **how) if writes and len(seen) == step + 1 else None
            if len(seen) > step:
                if made is not None:
                    made.close()
                raise Killed(seen[-1])
            return real(*what, **how)

        return act

    with ExitStack() as stack:
        for owner, name in _STEPS:
            stack.enter_context(patch.object(owner, name, watch(name, getattr(owner, name))))
        yield seen
