"""Which words a text tower of the built-in benchmark was trained on.

These towers (``data/emoji_world/tiny_clip``, ``tiny_bert``) know the names they were distilled on;
any other word means little to them, so that results with such words are told apart. Encoders that
were trained on the web keep no such list.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from negas.shipped import find

from .names import name_key, read_names

NAMES_FILE = "names.txt"  # in the tower's folder, one name per line; its training writes it


def seen_by_text_tower(words: Iterable[str], tower: str | os.PathLike) -> tuple[bool, ...] | None:
    """Whether each word, in this very form, is a name that the tower was trained on.

    Args:
        words: M words; case, spaces and underscores do not matter.
        tower: the folder of the text encoder.

    Returns:
        M truths, or None where the tower does not say what it was trained on.

    Raises:
        ValueError: its list cannot be read.
    """
    path = Path(find(tower)) / NAMES_FILE
    if not path.is_file():
        return None
    names = {name_key(name) for name in read_names(str(path))}
    return tuple(name_key(word) in names for word in words)
