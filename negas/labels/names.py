"""Class names: lists of them from configs and files, and when two names are the same.

Names are compared in two ways, and nowhere else in any other. As spellings, by :func:`name_key`:
case, repeated spaces and underscores do not matter; a list may hold a spelling once. As words, by
:func:`name_forms`: plural, hyphens, leading articles and spaces inside a word do not matter either.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from negas.files import read_json
from negas.shipped import find
from negas.text import read_text, shown

# Files of names by their suffix, also where there is none of that name.
_LISTS = (".txt", ".json", ".lst", ".list", ".names", ".csv", ".tsv")
# What separates names where a detector takes all of them as one text.
_CAPTION = re.compile(r"\s\.(\s|$)")
# What nobody sees in a name, but tokenizers and comparisons do: control characters, line ends,
# turns of the writing direction, marks of a byte order, halves of surrogates.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def name_key(name: str) -> str:
    """What names are compared by: lower case, single spaces, no underscores.

    >>> name_key("Wine_glass ") == name_key("wine  GLASS")
    True
    """
    return " ".join(name.replace("_", " ").split()).casefold()


def refuse_repeated(names: Iterable[str], where: str) -> None:
    """Refuse a list that holds a name twice, by :func:`name_key`.

    Raises:
        ValueError: naming it; the message starts with ``where``.
    """
    seen: set[str] = set()
    for name in names:
        if name_key(name) in seen:
            raise ValueError(f"{where}: the name {shown(name)} stands there twice; remove one.")
        seen.add(name_key(name))


def first_difference(before: Sequence[str], now: Sequence[str]) -> str:
    """Where two lists of names part, for an error: counts and the first place that differs."""
    place = next(
        (i for i, pair in enumerate(zip(before, now, strict=False)) if pair[0] != pair[1]),
        min(len(before), len(now)),
    )
    first, second = (
        shown(names[place]) if place < len(names) else "none" for names in (before, now)
    )
    return f"{len(before)} and {len(now)}; number {place + 1} is {first} there, {second} here"


def read_names(source: Sequence[str] | str, key: str = "names") -> tuple[str, ...]:
    """Class names as a tuple.

    Args:
        source: the names themselves, or a file: JSON (list of names, list of synonym lists whose
            first entry counts, or a COCO file with ``categories``) or text with one name per line.
        key: what to call the source in errors.

    Raises:
        ValueError: if the file cannot be read as a list of non-empty names.
        FileNotFoundError: if it does not exist.
    """
    if not isinstance(source, str):
        names = list(source)
        where = key
    else:
        path = Path(find(source))
        if not path.is_file():
            raise FileNotFoundError(f"{key}={source!r}: no such file; give names or a file")
        where = f"{key}={source!r}"
        if path.suffix.lower() == ".json":
            data = read_json(path, name=where)
            if isinstance(data, dict) and isinstance(data.get("categories"), list):
                rows = data["categories"]
                data = [row.get("name") if isinstance(row, dict) else None for row in rows]
            if not isinstance(data, list):
                raise ValueError(f"{where}: expected a list of names or a COCO json")
            names = [entry[0] if isinstance(entry, list) and entry else entry for entry in data]
        else:
            lines = map(str.strip, read_text(path, where).split("\n"))
            names = [line for line in lines if line]
    for i, name in enumerate(names):
        check_entry(name, f"{where}: entry {i}")
        if _CAPTION.search(name):
            raise ValueError(
                f"{where}: entry {i} is {shown(name)}, which looks like a caption of several "
                "names ('cat . dog .'); give each name on its own"
            )
    return tuple(names)


def check_entry(name: object, where: str) -> None:
    """Refuse an entry of a list of names that is no name.

    Raises:
        ValueError: it is no text, empty, or holds a character that nobody sees.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{where} is {shown(name)}, expected a non-empty name")
    if found := _UNSEEN.search(name):
        raise ValueError(
            f"{where} is {shown(name)} with the character U+{ord(found[0]):04X}, which is not "
            "seen; remove it"
        )


def given_names(given: Sequence[str]) -> str | list[str]:
    """What stands on a command line: the path of one file, or names, also with commas between them.

    A word alone is a file if there is one, whatever its suffix, or if it ends like a list
    (``.txt``).

    Raises:
        ValueError: a list stands among names.
    """
    files = [one for one in given if Path(one).suffix.lower() in _LISTS or _exists(one)]
    if files and len(given) == 1:
        return given[0]
    lists = [one for one in files if Path(one).suffix]  # a name without may be a file by chance
    if lists:
        raise ValueError(
            f"{shown(lists[0], 200)} is a file among names; give one file alone, or names alone"
        )
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def _exists(text: str) -> bool:
    try:
        return Path(find(text)).is_file()
    except (OSError, ValueError):  # too long for a path, say
        return False


def used_categories(truth: dict) -> list[str]:
    """Names of the categories that occur in a COCO dict; all of them if it has no annotation.

    Published OOD files list all categories of their source, ID classes among them.
    """
    used = {ann["category_id"] for ann in truth.get("annotations", ())}
    names = [c["name"] for c in truth["categories"] if c["id"] in used]
    return names or [c["name"] for c in truth["categories"]]


def read_ood_names(source: str | os.PathLike | Sequence[str]) -> list[tuple[str, ...]]:
    """OOD classes, each with its names; the first one stands for the class.

    Args:
        source: the names themselves, or a file: text with one class per line and further names of
            it behind commas, JSON with a list of names or of lists of names, or a COCO json (the
            categories that occur in it).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read as names, holds none, or a class stands there twice.
    """
    where = "OOD names"
    if isinstance(source, str | os.PathLike):
        where = find(source)
        is_json = Path(where).suffix.lower() == ".json"
        classes = _from_json(where) if is_json else _from_text(where)
    else:
        classes = [(name,) for name in read_names(source, where)]
    if not classes:
        raise ValueError(f"{where}: holds no name of an OOD class.")
    for i, names in enumerate(classes):
        for name in names or [None]:
            check_entry(name, f"{where}: entry {i}")
    refuse_repeated([names[0] for names in classes], where)
    return classes


def _from_text(path: str) -> list[tuple[str, ...]]:
    lines = read_names(path, "OOD names")
    split = ([part.strip() for part in line.split(",")] for line in lines)
    return [tuple(part for part in parts if part) for parts in split]


def _from_json(path: str) -> list[tuple[str, ...]]:
    data = read_json(path, "give names or a file", f"OOD names {path!r}")
    try:
        if isinstance(data, dict):
            return [(name,) for name in used_categories(data)]
        return [tuple(entry) if isinstance(entry, list) else (entry,) for entry in data]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected a JSON list of names (or of lists of names) or a COCO json "
            f"({type(error).__name__}: {error})."
        ) from error


_IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "oxen": "ox",
    "knives": "knife",
    "leaves": "leaf",
    "loaves": "loaf",
    "scarves": "scarf",
    "shelves": "shelf",
    "wolves": "wolf",
    "calves": "calf",
    "skis": "ski",
    "taxis": "taxi",
    "bikinis": "bikini",
    "kiwis": "kiwi",
}


def overlap(neg_labels: Sequence[str], ood_names: Sequence[str]) -> list[str]:
    """The negative labels that name an OOD class, in their order.

    They are compared as words. Synonyms and hypernyms are not found ("kitten" is not "cat"): the
    list is a lower bound.
    """
    classes = frozenset().union(*map(name_forms, ood_names))
    return [label for label in neg_labels if name_forms(label) & classes]


def name_forms(name: str) -> frozenset[str]:
    """Spellings that stand for a name; two names mean the same word if they share one.

    Case, plural, underscores, hyphens, leading articles and spaces inside a word ("hot dog",
    "hotdog") do not matter: "Wine_Glasses" has the form "wineglass". Of names of more than 6 words
    only the last word may be a plural.
    """
    tokens = name_words(name)
    joined = [""]
    for token in tokens if len(tokens) <= 6 else ["".join(tokens)]:
        joined = [start + form for start in joined for form in sorted(_singulars(token))]
    return frozenset(joined) | _singulars("".join(tokens))


def name_words(name: str) -> list[str]:
    """The words of a name, lower case, without apostrophes and a leading article."""
    tokens = re.findall(r"[^\W_]+", name.replace("'", "").casefold())
    return tokens[1:] if len(tokens) > 1 and tokens[0] in ("a", "an", "the") else tokens


def _singulars(word: str) -> set[str]:
    """The word and what it may be the plural of: "buses" -> buses, buse, bus."""
    forms = {word, _IRREGULAR.get(word, word)}
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        forms.add(word[:-1])
        if word.endswith("ies"):
            forms.add(word[:-3] + "y")
        elif word.endswith("es"):
            forms.add(word[:-2])
    return forms
