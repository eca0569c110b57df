"""A vocabulary: words for what may stand in a picture, the nearest of which an unknown object gets.

Unlike a bank (:mod:`negas.labels.bank`) it is made for no ID classes: :meth:`Vocabulary.without`
cuts what names those of a detector.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from negas.files import read_json, write_json
from negas.shipped import HOME, RESTORE, find
from negas.text import listed, shown, shown_text

from .bank import NegativeLabelBank, check_provenance, checked_labels
from .leakage import Finding, audit_as_far_as_possible, strongest_findings
from .names import read_names

COMMON = "common"  # short name of the shipped vocabulary
SHIPPED = HOME / "data/labels/vocabulary.json"


@dataclass(frozen=True)
class Vocabulary:
    """Words in a fixed order, the most common first where that is known.

    Attributes:
        words: the M words.
        provenance: where they are from and what was cut, free form.

    Raises:
        ValueError: no word, an entry that is no text or empty, or an entry that occurs twice (case
            and outer spaces ignored).
    """

    words: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)
    # what it was loaded from, for errors
    where: str = field(default="the vocabulary", repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", checked_labels("words", self.words, "a vocabulary"))
        check_provenance(self.provenance)

    def __len__(self) -> int:
        """M, the number of words."""
        return len(self.words)

    @classmethod
    def load(cls, source: str | os.PathLike | Sequence[str]) -> Vocabulary:
        """Words as they are given.

        Args:
            source: ``"common"`` (the shipped vocabulary, :data:`SHIPPED`), a file, or the words
                themselves. A file is a JSON object with ``words`` (as :meth:`save` writes it) or
                ``neg_labels`` (a label bank), a JSON list, or text with one word per line.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it cannot be read, or what the class itself refuses; the message names the
                file.
        """
        if not isinstance(source, str | os.PathLike):
            return cls(source, where="the words given")
        path = SHIPPED if source == COMMON else Path(find(source))
        if not path.is_file():
            raise FileNotFoundError(_not_there(source, path))
        try:
            return cls(*_read(path), where=str(path))
        except ValueError as error:
            named = str(path) in str(error)
            raise ValueError(str(error) if named else f"{path}: {error}") from error

    def save(self, path: str | os.PathLike) -> None:
        """Write readable JSON, words in their order, whole or not at all; folders are made."""
        data = asdict(self)
        del data["where"]
        write_json(path, data)

    def without(
        self,
        id_names: Sequence[str | Sequence[str]],
        ood_names: Sequence[str | Sequence[str]] = (),
    ) -> Vocabulary:
        """The words that name none of these classes.

        Cut is every word that :func:`negas.labels.leakage.audit` finds when words are read as
        things: the same name, a form or a synonym of it, a kind of it ("sports car" for "car"), and
        also broader words ("vehicle"), which fit a known object as well as the known name does.

        Args:
            id_names: the ID classes; a class may be a list of its names.
            ood_names: OOD test classes, to evaluate with words that name none of them.

        Returns:
            A vocabulary whose ``provenance["without"]`` has another entry: the names, ``wordnet``
            (False if the lexicon is not there, so that only spellings were compared), and ``cut``,
            a row per word that is gone: ``word``, the ``class`` it names, the ``kind`` of naming,
            and whether that class is ``id`` or ``ood``. A word that names both counts as ``id``.

        Raises:
            ValueError: no word is left.
        """
        cut, has_wordnet = [], True
        left = list(self.words)
        for group, names in (("id", id_names), ("ood", ood_names)):
            classes = tuple(n if isinstance(n, str) else tuple(n) for n in names)
            found, has_wordnet = _naming(tuple(left), classes)
            cut += [
                {"word": word, "class": found[word].ood_name, "kind": found[word].kind, "of": group}
                for word in left
                if word in found
            ]
            left = [word for word in left if word not in found]
        if not left:
            whose = "an ID class or an OOD test class" if ood_names else "an ID class"
            raise ValueError(
                f"{self.where}: every word ({listed(self.words)}) names {whose}, so that none is "
                "left for unknown objects; give other words."
            )
        record = dict(
            id_names=[_first(names) for names in id_names],
            ood_names=[_first(names) for names in ood_names],
            wordnet=has_wordnet,
            cut=cut,
        )
        before = self.provenance.get("without")
        cuts = [*before, record] if isinstance(before, list) else [record]
        provenance = {**self.provenance, "without": cuts}
        return Vocabulary(tuple(left), provenance, where=self.where)

    def top(self, m: int) -> Vocabulary:
        """The first ``m`` words, the whole vocabulary if it has no more.

        Raises:
            ValueError: ``m`` is below 1.
        """
        if m < 1:
            raise ValueError(f"a vocabulary needs at least one word, got {m}.")
        provenance = {**self.provenance, "top": min(m, len(self))}
        return Vocabulary(self.words[:m], provenance, where=self.where)


@lru_cache(maxsize=16)  # takes seconds, and the runs of a comparison share words and classes
def _naming(
    words: tuple[str, ...], classes: tuple[str | tuple[str, ...], ...]
) -> tuple[dict[str, Finding], bool]:
    """How words name classes, by word, and whether the lexicon was there."""
    findings, has_wordnet = audit_as_far_as_possible(words, classes, as_things=True)
    return strongest_findings(findings), has_wordnet


def _read(path: Path) -> tuple[Sequence[str], dict[str, Any]]:
    """Words and provenance of a file."""
    if path.suffix.lower() != ".json":
        return read_names(str(path), "vocabulary"), {"file": str(path)}
    data = read_json(path, "give a vocabulary, a label bank or a text file of words")
    if isinstance(data, list):
        return data, {"file": str(path)}
    if isinstance(data, dict) and "words" in data:
        return data["words"], data.get("provenance", {})
    if isinstance(data, dict) and "neg_labels" in data:
        bank = NegativeLabelBank.load(path)
        return bank.neg_labels, {"bank": str(path), **bank.provenance}
    has = f"has the keys {listed(list(data)) or 'none'}" if isinstance(data, dict) else "is none"
    raise ValueError(
        "a vocabulary is a JSON object with 'words', a label bank one with 'id_labels' and "
        f"'neg_labels'; this one {has}."
    )


def _not_there(source: str | os.PathLike, path: Path) -> str:
    if source == COMMON:
        return (
            f"{path}: the vocabulary {COMMON!r} is not there; {RESTORE}, or name a file of words."
        )
    return (
        f"{shown_text(path, 200)}: no such vocabulary; name a vocabulary, a label bank or a text "
        f"file with one word per line, or {shown(COMMON)} for the shipped one."
    )


def _first(names: str | Sequence[str]) -> str:
    return names if isinstance(names, str) else names[0]
