"""Words that somebody types: names between commas or on lines of their own."""

from __future__ import annotations

import re

from negas.labels.names import read_names, refuse_repeated

MOST = 3000  # words of a list: more are encoded for minutes
LONGEST = 200  # characters of a word


def typed_words(text: str | None, what: str, empty: bool = False) -> list[str]:
    """The words of a text field. They are never taken for files.

    Args:
        text: with commas or line ends between them.
        what: they are, for errors.
        empty: whether there may be none.

    Raises:
        ValueError: there is none, one stands there twice, or too many or too long ones.
    """
    words = [word.strip() for word in re.split(r"[,\n\r]", text or "") if word.strip()]
    if not words and not empty:
        raise ValueError(f"{what}: there is no word; type some, with commas between them")
    if len(words) > MOST:
        raise ValueError(f"{what}: {len(words)} words are too many; give at most {MOST}")
    if long := [word for word in words if len(word) > LONGEST]:
        raise ValueError(
            f"{what}: {long[0][:30]!r}… has {len(long[0])} characters; give at most {LONGEST}"
        )
    read_names(words, what)
    refuse_repeated(words, what)
    return words
