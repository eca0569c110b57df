"""Tables of objects: OSCR, and what becomes of each annotated object. Sections are OOD sets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from negas.metrics.objects import KNOWN_STATES, OSCR_METRICS, UNKNOWN_STATES

from .columns import COLUMNS
from .table import Column, Row, Section, Stat, Table

OSCR_NOTE = (
    "Objects, not boxes: one threshold on the score runs over all recorded boxes. Taken @60%: "
    "share of unknown objects that a box with an ID label covers (IoU over 0.5) where 60% of the "
    "known objects are found (-: no threshold finds so many). OSCR: area of that recall over that "
    "share."
)
STATES_NOTE = (
    "Each annotated object once, boxes over the cut, known from the score that keeps 95% of the "
    "known objects found. Taken for known: a known box covers it; flagged: only boxes that are "
    "called unknown do; found: a box without an ID label does."
)
_UNKNOWN, _KNOWN = (*UNKNOWN_STATES, "num_unknown"), (*KNOWN_STATES, "num_known")
UNKNOWN_COLUMNS, KNOWN_COLUMNS = ([COLUMNS[key] for key in keys] for keys in (_UNKNOWN, _KNOWN))
_OSCR = tuple(f"{key}{end}" for key in OSCR_METRICS for end in ("", "_low", "_high"))
OSCR_COLUMNS = [COLUMNS[key] for key in OSCR_METRICS]
_WITH_INTERVAL = ("oscr", "taken_at_60")  # more would not fit into a terminal
_PARTS = dict(unknown="", unknown_seen=", seen classes", unknown_unseen=", unseen classes")


def object_values(row: Mapping) -> dict[str, float]:
    """Numbers of a result row about objects, by ``<set>/<column>``."""
    name = row["ood_set"]
    values = {f"{name}/{key}": _number(row[key]) for key in OSCR_METRICS}
    return values | state_values(row["objects"], name) if "objects" in row else values


def state_values(counts: Mapping[str, Mapping[str, int]], name: str) -> dict[str, float]:
    """Shares of the states, by ``<set>/<column>``, from :func:`object_counts`."""
    values = shares(counts["known"], name, "num_known")
    for part, suffix in _PARTS.items():
        if part in counts:
            values |= shares(counts[part], f"{name}{suffix}", "num_unknown")
    return values


def shares(counts: Mapping[str, int], name: str, total_key: str) -> dict[str, float]:
    """Counts by state as shares of their sum; empty without objects."""
    total = sum(counts.values())
    found = {f"{name}/{state}": count / total for state, count in counts.items() if total}
    return found | {f"{name}/{total_key}": total} if total else {}


def oscr_table(title: str, sections: Sequence[Section], names: Iterable[str]) -> Table | None:
    """OSCR of rows with values by ``<set>/<column>``; ``None`` if there is no number."""
    made = _split(sections, names, _OSCR)
    if not any(
        not math.isnan(stat.mean)
        for section in made
        for row in section.rows
        for stat in row.values.values()
    ):
        return None
    shown: list[Column] = []
    for column in OSCR_COLUMNS:
        shown.append(column)
        ends = (f"{column.key}_low", f"{column.key}_high")
        drawn = any(ends[0] in row.values for section in made for row in section.rows)
        if drawn and column.key in _WITH_INTERVAL:
            shown.append(Column(ends[0], "interval", more=ends[1:]))
    return Table(title, shown, made, [OSCR_NOTE])


def state_tables(title: str, sections: Sequence[Section], names: Sequence[str]) -> list[Table]:
    """What becomes of unknown and of known objects, from rows of the preset ``objects``."""
    parts = [f"{name}{suffix}" for name in names for suffix in _PARTS.values()]
    unknown = _split(sections, parts, _UNKNOWN)
    groups: list[tuple[list[str], list[Section]]] = []
    for name in names:
        made = _split(sections, [name], _KNOWN)
        rows = [section.rows for section in made]
        same = [sets for sets, of in groups if [section.rows for section in of] == rows]
        if same:  # OOD images without known objects
            same[0].append(name)
        elif made:
            groups.append(([name], made))
    known = [
        replace(section, title=section.title.replace(sets[0], f"ID + {'/'.join(sets)}", 1))
        for sets, made in groups
        for section in made
    ]
    tables = []
    if unknown:
        tables.append(Table(f"{title}: unknown objects", UNKNOWN_COLUMNS, unknown, [STATES_NOTE]))
    if known:
        tables.append(Table(f"{title}: known objects", KNOWN_COLUMNS, known))
    return tables


def _split(sections: Sequence[Section], names: Iterable[str], keys: Sequence[str]) -> list[Section]:
    """Each section once for each set, with that set's values; rows that lack the keys go."""
    made = []
    for name in names:
        for section in sections:
            rows = []
            for row in section.rows:
                values = {
                    key: row.values[f"{name}/{key}"]
                    for key in keys
                    if f"{name}/{key}" in row.values
                }
                if values:
                    rows.append(replace(row, values=values))
            if rows:
                title = f"{name}: {section.title}" if len(sections) > 1 else name
                made.append(Section(title, rows))
    return made


def class_table(title: str, counts: Mapping[str, Mapping[str, int]], score: str) -> Table:
    """What becomes of the unknown objects of each class, under one score."""
    rows = [
        Row(name, {key.removeprefix("/"): Stat(x) for key, x in found.items()})
        for name, each in counts.items()
        if (found := shares(each, "", "num_unknown"))
    ]
    columns = [replace(column, better=None) for column in UNKNOWN_COLUMNS]  # classes are no rivals
    return Table(title, columns, [Section(score, rows)])


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
