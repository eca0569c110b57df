"""Text that came from outside, as messages, tables and pictures show it: visible and cut.

Names, file names, answers of servers and models may hold control characters, which a terminal
obeys, and may be of any length.
"""

from __future__ import annotations

from typing import Any

LENGTH = 80  # characters of one text in a message


def shown(value: Any, length: int = 60) -> str:
    """A value as a message shows it, in quotes if it is a text; cut where it is long."""
    return cut(repr(list(value) if isinstance(value, tuple) else value), length)


def shown_text(text: object, length: int = LENGTH) -> str:
    """A text without quotes as a message shows it: one line, printable, cut where it is long."""
    text = str(text)
    return cut(escaped(text[: length + 1] if len(text) > length else text), length)


def escaped(text: str) -> str:
    r"""Escape what is not printed but obeyed or overlooked: ``\x1b``, ``\n``, ``\u202e``, ...

    These are the control characters (C0, C1), line ends, marks of writing direction, invisible
    and unassigned characters, and halves of surrogates. Letters of all scripts stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def cut(text: str, length: int = LENGTH) -> str:
    """At most ``length`` characters; what is cut ends with an ellipsis."""
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"
