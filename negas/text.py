"""Text that came from outside: read as UTF-8 only, shown visible and cut.

Names, file names, answers of servers and models may hold control characters, which a terminal
obeys, and may be of any length.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

LENGTH = 80  # characters of one text in a message
# what is called so in results: an object that no ID name fires on
UNKNOWN_LABEL, UNKNOWN_NAME = -1, "unknown"


def read_text(path: str | os.PathLike, where: str) -> str:
    """A text file in UTF-8, with or without a byte order mark; line ends become line feeds.

    Args:
        path: the file.
        where: what to call it in errors.

    Raises:
        OSError: it cannot be read.
        ValueError: it is in another encoding, which is named as far as it can be known.
    """
    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8-sig")
        kind = "UTF-16 or no text" if "\0" in text else ""
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        kind = f"perhaps Latin-1 or Windows-1252: line {line} holds the byte 0x{byte:02x}"
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            kind = "UTF-16, by its first bytes"
        elif b"\0" in data:
            kind = "UTF-16 or no text"
    if kind:
        raise ValueError(f"{where}: not UTF-8 text ({kind}); save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def shown(value: Any, length: int = 60) -> str:
    """A value as a message shows it, in quotes if it is a text; cut where it is long."""
    try:
        return cut(repr(list(value) if isinstance(value, tuple) else value), length)
    except ValueError:  # Python writes no number of thousands of digits
        return "a huge number"


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


def listed(names: Sequence[object], most: int = 6, length: int = 40) -> str:
    """The first names of a list, with commas; ``...`` stands for the others."""
    some = ", ".join(shown_text(name, length) for name in names[:most])
    return f"{some}, ..." if len(names) > most else some


def counted(number: int, noun: str) -> str:
    """A number of things: ``1 picture``, ``2 boxes``."""
    ending = "" if number == 1 else "es" if noun.endswith(("s", "x", "ch", "sh")) else "s"
    return f"{number} {noun}{ending}"


def in_markdown(text: object, length: int = 120) -> str:
    """A text as a Markdown table shows it: it makes no cell, code, link or tag."""
    return re.sub(r"[|`<\\]|(?<=\])\(", r"\\\g<0>", shown_text(text, length))


def cut(text: str, length: int = LENGTH) -> str:
    """At most ``length`` characters; what is cut ends with an ellipsis."""
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"


def plain_console(width: int | None = None) -> Console:
    """A console of rich without colours, which are no part of a table's text.

    Args:
        width: columns where standard output is no terminal.
    """
    console = open_console(color_system=None)
    return console if console.is_terminal else open_console(color_system=None, width=width)


def open_console(**how: Any) -> Console:
    """A console of rich that leaves a closed pipe to :mod:`negas.interrupts`."""
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:  # rich would end the program with the code of an error
            raise  # what it has caught

    return Quiet(**how)


# What libraries tell a terminal: progress bars to move the cursor, MMEngine to colour a log level.
_OWN = re.compile(r"(?:[\r\n]|\x1b\[A)+\Z|[\d/]+ [\d:]+ - \S+ - (?:\x1b\[\d+m)+[A-Z]+\x1b\[0m - ")
_OBEYED = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
    r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str, terminal: bool = False) -> str:
    """Whole lines of output without what a terminal would obey, but tabs and line ends.

    Args:
        text: what is about to be written at once.
        terminal: keep what progress bars and the beginning of a log line need; never a colour
            within a line, which may be part of a name.
    """
    own = _OWN.match(text) if terminal else None
    start = own.end() if own else 0
    return text[:start] + _OBEYED.sub(lambda found: repr(found[0])[1:-1], text[start:])
