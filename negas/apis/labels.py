"""Labels given at run time, as the options of a command name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from negas.labels.mining.classes import read_classes
from negas.labels.names import given_names
from negas.options import Options, option


@dataclass(frozen=True)
class NegativeOptions(Options):
    """Other negative labels than the config's."""

    negatives: tuple[str, ...] | None = option(
        None, help="words, a bank (.json), a list (.txt), none", metavar="WORD"
    )


@dataclass(frozen=True)
class LabelOptions(NegativeOptions):
    """Other labels than the config's."""

    classes: tuple[str, ...] | None = option(
        None, help="ID names, or a file of them", metavar="NAME"
    )

    def labels(self) -> dict[str, list[str] | str | None]:
        """``classes`` and ``negatives`` of :class:`~negas.apis.Inferencer`.

        Raises:
            ValueError: a list of names cannot be read.
            FileNotFoundError: it does not exist.
        """
        return dict(
            classes=list(read_classes(self.classes).names) if self.classes else None,
            negatives=read_negatives(self.negatives),
        )


def read_negatives(given: Sequence[str] | None) -> list[str] | str | None:
    """What the Inferencer takes for negatives, from the words of a command line.

    Args:
        given: one file (bank ``.json`` or list ``.txt``), the word ``none``, or words, also with
            commas between them; ``None`` stays.

    Raises:
        ValueError: there is no word.
    """
    if given is None:
        return None
    words = given_names(given)
    if not words:
        raise ValueError("--negatives: no word among them; give words, a file, or 'none'")
    return [] if words == ["none"] else words
