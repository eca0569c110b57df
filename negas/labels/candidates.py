"""Candidate negatives from untrusted text: cleaned, without repeats, without ID labels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from negas.files import parse_json
from negas.shipped import find
from negas.text import read_text, shown_text

from .names import name_forms, name_words

MAX_CHARACTERS = 40
MAX_WORDS = 4
_MAX_FILE = 50_000_000  # bytes
_LEAD = re.compile(r"^(?:[-*+•‣–>#]+\s*|\(?\d{1,4}[.):]\s+)+")
_ALLOWED = re.compile(r"[^\W_][\w '’&./-]*")
# Words that belong to a sentence, not to the name of a thing: the answer was prose or a refusal.
_PROSE = frozenset(
    "i i'm i'll i've you your we our they is are was were be can't cannot could should would "
    "won't don't doesn't sorry please sure okay here there this that these those which what "
    "ignore http https www".split()
)


def clean_name(raw: str) -> str:
    """A raw name in plain lower-case form, or "" if what is left is no name.

    Control and format characters, Markdown, HTML tags, list marks, brackets at the ends and
    punctuation behind the name are removed; underscores become spaces. Refused: over 40 characters
    or 4 words, other characters than letters, digits and ``' & . / -``, nothing but digits, and
    words that only sentences have.
    """
    text = unicodedata.normalize("NFKC", raw[: 10 * MAX_CHARACTERS])
    text = re.sub(r"<[^<>]*>", " ", text).replace("_", " ")
    text = re.sub(r"[*`~#|\\]+", "", _LEAD.sub("", one_line(text)))
    text = text.strip(" \t.,;:!?-–—\"'’‘“”()[]{}<>/&").replace("’", "'")
    text = " ".join(text.split()).lower()
    words = text.split()
    if not words or len(text) > MAX_CHARACTERS or len(words) > MAX_WORDS:
        return ""
    if not _ALLOWED.fullmatch(text) or not any(c.isalpha() for c in text):
        return ""
    if any(word.strip(".") in _PROSE for word in words):
        return ""
    return text


def one_line(text: str) -> str:
    """A text on one line, single spaces, without control and format characters."""
    kept = (c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join("".join(kept).split())


class Candidates:
    """Names in the order they came, each once, none of them an ID label.

    Repeats are found case- and plural-insensitively, with the rules of
    :func:`~negas.labels.names.overlap`; the first spelling stays.

    Args:
        id_labels: the K labels that no candidate may name.
        drop_shared_words: also drop a candidate that shares any word with an ID label, as EOE does
            for near-OOD ("police car" with "car").
    """

    def __init__(self, id_labels: Sequence[str], drop_shared_words: bool = False) -> None:
        self.names: list[str] = []
        self._id_forms = {form: name for name in id_labels for form in name_forms(name)}
        self._id_words = {
            form for name in id_labels for word in name_words(name) for form in name_forms(word)
        }
        self._drop_shared_words = drop_shared_words
        self._seen: dict[str, str] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self.names)

    def add(self, raw_names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
        """Take what is new.

        Returns:
            What was added, and why each other raw name was not (by its raw text, shortened).
        """
        added: list[str] = []
        refused: dict[str, str] = {}
        for raw in raw_names:
            name = clean_name(raw)
            reason = self._reason_against(name)
            if reason is None:
                added.append(name)
                for form in name_forms(name):
                    self._seen.setdefault(form, name)
            else:
                refused[shown_text(raw, 60)] = reason
        self.names += added
        return added, refused

    def _reason_against(self, name: str) -> str | None:
        if not name:
            return "not a name"
        forms = name_forms(name)
        for form in sorted(forms):
            if form in self._id_forms:
                return f"is the ID label {self._id_forms[form]!r}"
        if self._drop_shared_words:
            shared = [word for word in name_words(name) if name_forms(word) & self._id_words]
            if shared:
                return f"shares the word {shared[0]!r} with an ID label"
        for form in sorted(forms):
            if form in self._seen:
                return f"repeats {self._seen[form]!r}"
        return None


def read_candidates(path: str | Path) -> list[str]:
    """Raw names of a file: one per line (``#`` starts a comment line), or a JSON list.

    A JSON object is read too if its values hold such lists: the candidate files of this project,
    or a bank (its ``neg_labels`` or ``candidates``).

    Args:
        path: the file; JSON if it ends in ``.json``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is too large, not UTF-8 text, or holds no list of texts.
    """
    where, path = f"the candidate file {str(path)!r}", Path(find(path))
    if not path.is_file():
        raise FileNotFoundError(
            f"{where} does not exist; give a text file with one candidate per line, or a JSON list"
        )
    if path.stat().st_size > _MAX_FILE:
        raise ValueError(f"{where} is over {_MAX_FILE // 10**6} MB")
    text = read_text(path, where)
    names = _from_json(text, where) if path.suffix.lower() == ".json" else _lines(text)
    if not names:
        raise ValueError(f"{where} holds no candidate")
    return names


def _from_json(text: str, where: str) -> list[str]:
    data = parse_json(text, where)
    if isinstance(data, dict):
        lists = [data[key] for key in ("candidates", "neg_labels") if key in data]
        data = lists[0] if lists else None
    if isinstance(data, dict):  # candidates in groups
        data = [name for group in data.values() if isinstance(group, list) for name in group]
    if not isinstance(data, list) or not all(isinstance(name, str) for name in data):
        raise ValueError(
            f"{where} must hold a list of texts, or an object with such a list under 'candidates' "
            f"or 'neg_labels'"
        )
    return data


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
