"""Classes of Open Images: their names, their hierarchy, and which stand for an ID class."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from negas.files import read_json

from .files import CUT_SHORT, need_file
from .id_classes import IN_OPENIMAGES, categories_of

_STORE = "https://storage.googleapis.com/openimages"
CLASSES_SOURCE = f"{_STORE}/v5/class-descriptions-boxable.csv"
HIERARCHY_SOURCE = f"{_STORE}/2018_04/bbox_labels_600_hierarchy.json"


@dataclass(frozen=True)
class Split:
    """The boxable classes, seen from some ID classes.

    Attributes:
        names: label code ("/m/01yrx") -> name, in the order of the official file.
        id_codes: classes that stand for an ID class.
        related: kinds and parts of those, and everything above them.
        unmatched: ID names that Open Images has no class for.
    """

    names: dict[str, str]
    id_codes: frozenset[str]
    related: frozenset[str]
    unmatched: tuple[str, ...]

    @property
    def banned(self) -> frozenset[str]:
        """Classes that must not be on an image."""
        return self.id_codes | self.related

    @property
    def ood(self) -> dict[str, str]:
        """Code -> name of the OOD classes."""
        return {code: name for code, name in self.names.items() if code not in self.banned}


def read_classes(path: str | Path) -> dict[str, str]:
    """Label code -> name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has other columns, or a code twice.
    """
    file = need_file(path, "Open Images class names", CLASSES_SOURCE)
    names: dict[str, str] = {}
    with file.open(encoding="utf-8-sig", newline="") as text:
        for row in csv.reader(text):
            if row == ["LabelName", "DisplayName"] or not row:
                continue
            if len(row) != 2 or not row[0].startswith("/") or not row[1].strip():
                raise ValueError(
                    f"{str(file)!r}: expected lines of a code and a name (/m/011k07,Tortoise), got "
                    f"{row!r}; get {CLASSES_SOURCE}."
                )
            if row[0] in names:
                raise ValueError(f"{str(file)!r}: the code {row[0]!r} stands there twice.")
            names[row[0]] = row[1].strip()
    if not names:
        raise ValueError(f"{str(file)!r} holds no class; get {CLASSES_SOURCE}.")
    return names


def read_hierarchy(path: str | Path) -> dict[str, set[str]]:
    """For each class the classes directly below it: its kinds and its parts.

    The root ("Entity") is left out: everything is below it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such hierarchy.
    """
    file = need_file(path, "Open Images class hierarchy", HIERARCHY_SOURCE)
    root = read_json(file, CUT_SHORT)
    below: dict[str, set[str]] = {}

    def visit(node: object) -> str:
        if not isinstance(node, dict) or not isinstance(node.get("LabelName"), str):
            raise ValueError(
                f"{str(file)!r}: a node has no LabelName; expected the official hierarchy "
                f"({HIERARCHY_SOURCE})."
            )
        children = [*node.get("Subcategory", ()), *node.get("Part", ())]
        codes = {visit(child) for child in children}
        below.setdefault(node["LabelName"], set()).update(codes)
        return node["LabelName"]

    below.pop(visit(root))
    return below


def split_classes(
    names: dict[str, str],
    below: dict[str, set[str]],
    id_names: Sequence[str],
    exclude: Sequence[str] = (),
) -> Split:
    """Find the ID classes in Open Images, and what is related to them.

    A part counts as related, too: a "Human face" shows a person. So does what lies above: a box
    of a "Vehicle" may show a car.

    Args:
        names: code -> name.
        below: code -> codes directly below.
        id_names: the ID classes.
        exclude: names of further classes that count as ID.

    Raises:
        ValueError: a name of ``exclude`` is no class.
    """
    codes = {name: code for code, name in names.items()}
    lost = [name for name in exclude if name not in codes]
    if lost:
        raise ValueError(f"exclude: {lost[0]!r} is no boxable class of Open Images.")
    found = categories_of(id_names, list(codes), IN_OPENIMAGES)
    id_codes = {codes[name] for matches in [*found.values(), exclude] for name in matches}
    above: dict[str, set[str]] = {}
    for code, children in below.items():
        for child in children:
            above.setdefault(child, set()).add(code)
    related = (_reach(id_codes, below) | _reach(id_codes, above)) - id_codes
    unmatched = tuple(name for name, matches in found.items() if not matches)
    return Split(names, frozenset(id_codes), frozenset(related), unmatched)


def _reach(start: set[str], step: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    front = set(start)
    while front:
        front = {other for code in front for other in step.get(code, ())} - reached
        reached |= front
    return reached
