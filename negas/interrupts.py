"""How a command ends without a traceback: at Ctrl-C, and when its reader has gone.

Commands import this first, so that Ctrl-C is quiet while they import the rest, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

_TOOLS = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "tools", "")
READER_LEFT = 141  # what shells report of a command that a closed pipe has ended


def quiet_interrupt(kind: type, error: BaseException, trace: object) -> None:
    """One line in place of a traceback; for ``sys.excepthook``."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def until_reader_leaves(main: Callable[[], int | None]) -> int:
    """Run a command, which a reader that leaves, as ``head`` does, ends without a word.

    Raises:
        BrokenPipeError: of another pipe, such as a server's.
        SystemExit: as the command leaves, if there still is a reader.
    """
    try:
        code = main() or 0
    except BrokenPipeError:
        if _stdout_is_closed(ending="\n"):
            return READER_LEFT
        raise
    except SystemExit:  # argparse's, with its help in the buffer
        if _stdout_is_closed():
            return READER_LEFT
        raise
    return READER_LEFT if _stdout_is_closed() else code


def _stdout_is_closed(ending: str = "") -> bool:
    """Whether the reader of standard output has gone.

    Writes what is buffered, and ``ending``. If the reader has gone, later output goes nowhere, and
    Python has nothing to complain about when it ends.
    """
    try:
        sys.stdout.write(ending)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


_main = getattr(sys.modules["__main__"], "__file__", None) or ""
if os.path.realpath(_main).startswith(_TOOLS):  # not in a user's own program
    sys.excepthook = quiet_interrupt
