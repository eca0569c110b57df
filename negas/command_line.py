"""The parser of a command line, on which no option takes a word that is meant for another."""

from __future__ import annotations

import sys
from argparse import Action, ArgumentParser
from collections.abc import Sequence
from typing import Any


class CommandLine(ArgumentParser):
    """An :class:`~argparse.ArgumentParser` with options whose value may be left out.

    Such a value stands behind ``=``, or nowhere: of ``--unknown photo.jpg`` argparse would take the
    photo for the vocabulary.

    >>> parser = CommandLine()
    >>> _ = parser.add_argument("photo")
    >>> _ = parser.add_optional_value("--unknown", "auto", metavar="WORDS")
    >>> parser.parse_args(["--unknown", "a.jpg"])
    Namespace(photo='a.jpg', unknown='auto')
    >>> parser.parse_args(["a.jpg", "--unknown=b.txt"])
    Namespace(photo='a.jpg', unknown='b.txt')
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._alone: dict[str, str] = {}  # flag -> value where it stands alone
        self._seen: list[str] = []

    def add_optional_value(self, flag: str, alone: str, group: Any = None, **how: Any) -> Action:
        """Add an option with the value ``alone`` where it stands without one.

        Args:
            flag: ``--the-name``.
            alone: its value then.
            group: of this parser's arguments; ``None``: the parser itself.
            **how: of ``add_argument``, with ``metavar``.
        """
        self._alone[flag] = alone
        usage = f"{flag}[={how['metavar']}]"
        how["help"] = f"{usage}: {how['help']}" if how.get("help") else usage
        return (group or self).add_argument(flag, **how)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple:
        """As argparse does, with the values that were left out."""
        given = list(sys.argv[1:] if args is None else args)
        end = given.index("--") if "--" in given else len(given)
        given[:end] = map(self._filled, given[:end])
        return super().parse_known_args(given, namespace)

    def _filled(self, text: str) -> str:
        flags = [text] if text in self._option_string_actions else self._abbreviated(text)
        if len(flags) != 1 or flags[0] not in self._alone:
            return text
        self._seen.append(flags[0])
        return f"{flags[0]}={self._alone[flags[0]]}"

    def _abbreviated(self, text: str) -> list[str]:
        """Flags that argparse takes a beginning such as ``--unk`` for."""
        if len(text) < 3 or not text.startswith("--"):
            return []
        return [flag for flag in self._option_string_actions if flag.startswith(text)]

    def error(self, message: str) -> None:
        """As argparse does; says how such an option takes a value, if one stood alone."""
        if self._seen and ("unrecognized" in message or "required" in message):
            flag = self._seen[0]
            message += f"; a value of {flag} stands behind '=': {flag}=VALUE"
        super().error(message)
