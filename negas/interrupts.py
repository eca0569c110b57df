"""Ctrl-C before a command runs: commands import this first, while they import the rest."""

import os
import sys

_TOOLS = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "tools", "")


def quiet_interrupt(kind: type, error: BaseException, trace: object) -> None:
    """One line in place of a traceback; for ``sys.excepthook``."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


_main = getattr(sys.modules["__main__"], "__file__", None) or ""
if os.path.realpath(_main).startswith(_TOOLS):  # not in a user's own program
    sys.excepthook = quiet_interrupt
