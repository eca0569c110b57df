"""Labels given at run time, as the options of a command name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from negas.labels.mining.classes import read_classes
from negas.labels.names import given_names
from negas.options import Options, option


@dataclass(frozen=True)
class LabelOptions(Options):
    """Other labels than the config's."""

    negatives: tuple[str, ...] | None = option(
        None, help="words, a bank (.json), a list (.txt), none", metavar="WORD"
    )
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


@dataclass(frozen=True)
class VocabularyOptions(Options):
    """Whether unknown objects are sought, and by which words."""

    unknown: str | None = option(
        None,
        alone="auto",
        help="find unknown objects, too, by a vocabulary, bank or text file of words, or alone by "
        "the calibrated words; 'none': find none (default: where calibration or config ask for it)",
        metavar="VOCABULARY",
    )
    unknown_thr: float | None = option(
        None, help="least score of an unknown object (default: calibrated)", ge=0, lt=1
    )

    def wanted(self) -> dict[str, str | float] | bool | None:
        """``unknown`` of :class:`~negas.apis.Inferencer`.

        Raises:
            ValueError: a threshold for what is not to be found.
        """
        if self.unknown == "none":
            if self.unknown_thr is not None:
                raise ValueError("--unknown=none finds no unknown objects; leave out --unknown-thr")
            return False
        if self.unknown is None and self.unknown_thr is None:
            return None
        vocabulary = None if self.unknown == "auto" else self.unknown
        fields = dict(vocabulary=vocabulary, score_thr=self.unknown_thr)
        return {key: value for key, value in fields.items() if value is not None}


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
