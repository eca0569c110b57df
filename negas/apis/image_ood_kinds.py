"""Kinds of values in a preset, which people write by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_WORDS |= {dict: "an object", tuple: "a list", type(None): "null"}


def require_kinds(given: Any, kinds: Mapping[str, tuple[type, ...]]) -> None:
    """Refuse attributes of the wrong kind; ``true`` and ``false`` are no numbers.

    Args:
        given: an object.
        kinds: attribute -> classes it may be of; of a list each entry must be of one of those
            behind ``tuple``.

    Raises:
        ValueError: the first attribute that is not.
    """
    for name, (first, *others) in kinds.items():
        value, listed = getattr(given, name), first is tuple
        allowed = others if listed else (first, *others)
        if listed:
            holds = isinstance(value, tuple) and all(_is_of(one, allowed) for one in value)
        else:
            holds = _is_of(value, allowed)
        if not holds:
            what = " or ".join(_WORDS.get(kind, "an object or a set") for kind in allowed)
            what = f"a list, each entry {what}" if listed else what
            value = list(value) if isinstance(value, tuple) else value
            raise ValueError(f"{name} must be {what}, got {value!r}.")


def _is_of(value: Any, kinds: Any) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, tuple(kinds))
