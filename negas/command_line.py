"""The parser of a command line, on which no option takes a word that is meant for another."""

from __future__ import annotations

import os
import sys
from argparse import Action, ArgumentParser
from collections.abc import Sequence
from typing import Any


class CommandLine(ArgumentParser):
    """An :class:`~argparse.ArgumentParser` with options whose value may be left out.

    Such a value stands behind ``=``, or nowhere: of ``--unknown photo.jpg`` argparse would take the
    photo for the vocabulary. Where its ending tells the value from all else, it may also follow.

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
        self._endings: dict[str, tuple[str, ...]] = {}
        self._seen: list[str] = []

    def add_optional_value(
        self,
        flag: str,
        alone: str,
        group: Any = None,
        endings: tuple[str, ...] = (),
        **how: Any,
    ) -> Action:
        """Add an option with the value ``alone`` where it stands without one.

        Args:
            flag: ``--the-name``.
            alone: its value then.
            group: of this parser's arguments; ``None``: the parser itself.
            endings: of values that may also stand as the next word.
            **how: of ``add_argument``, with ``metavar``.
        """
        self._alone[flag], self._endings[flag] = alone, endings
        usage = f"{flag}[={how['metavar']}]"
        how["help"] = f"{usage}: {how['help']}" if how.get("help") else usage
        return (group or self).add_argument(flag, **how)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """As argparse does; answers the shell that asks how the command's line may go on."""
        if args is None and "_ARGCOMPLETE" in os.environ:
            import argcomplete

            argcomplete.autocomplete(self)
        if any(each.nargs == "?" for each in self._get_positional_actions()):
            # else one that may be missing is, as soon as an option stands in front of it
            return super().parse_intermixed_args(args, namespace)
        return super().parse_args(args, namespace)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple:
        """As argparse does, with the values that were left out."""
        given = list(sys.argv[1:] if args is None else args)
        end = given.index("--") if "--" in given else len(given)
        joined: list[str] = []
        for word in given[:end]:
            flag = self._optional(joined[-1]) if joined else None
            if flag is not None and self._endings[flag] and word.endswith(self._endings[flag]):
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return super().parse_known_args([*map(self._filled, joined), *given[end:]], namespace)

    def _optional(self, text: str) -> str | None:
        """The flag with an optional value that this word is, or shortens."""
        flags = [text] if text in self._option_string_actions else self._abbreviated(text)
        return flags[0] if len(flags) == 1 and flags[0] in self._alone else None

    def _filled(self, text: str) -> str:
        flag = self._optional(text)
        if flag is None:
            return text
        self._seen.append(flag)
        return f"{flag}={self._alone[flag]}"

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
