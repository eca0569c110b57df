"""Tables of objects: OSCR, and what becomes of each annotated object. Sections are OOD sets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from negas.metrics.objects import KNOWN_STATES, OBJECT_COUNTS, OSCR_METRICS, UNKNOWN_STATES

from .columns import COLUMNS
from .few import ends, few_note, objects_of, smallest, widened
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
_AS_UNKNOWN = ("flagged", "found")  # what is seen, and not as one of the known classes
OSCR_COLUMNS = [COLUMNS[key] for key in OSCR_METRICS]
_WITH_INTERVAL = ("oscr", "taken_at_60")  # more would not fit into a terminal
_PARTS = dict(unknown="", unknown_seen=", seen classes", unknown_unseen=", unseen classes")


def object_values(row: Mapping) -> dict[str, float]:
    """Numbers of a result row about objects, by ``<set>/<column>``."""
    name = row["ood_set"]
    values = {f"{name}/{key}": _number(row[key]) for key in OSCR_METRICS}
    if counts := {f"{name}/{key}": row[key] for key in OBJECT_COUNTS if row.get(key)}:
        values |= counts
    return values | state_values(row["objects"], name) if "objects" in row else values


def state_values(counts: Mapping[str, Mapping[str, int]], name: str) -> dict[str, float]:
    """Shares of the states, by ``<set>/<column>``, from :func:`object_counts`."""
    values = shares(counts["known"], name, "num_known")
    for part, suffix in _PARTS.items():
        if part in counts:
            values |= shares(counts[part], f"{name}{suffix}", "num_unknown")
    if total := sum(counts["unknown"].values()):
        share = sum(counts["unknown"][state] for state in _AS_UNKNOWN) / total
        values |= _with_ends(f"{name}/as_unknown", share, total)
    return values


def shares(counts: Mapping[str, int], name: str, total_key: str) -> dict[str, float]:
    """Counts by state as shares of their sum; empty without objects."""
    total, found = sum(counts.values()), {}
    for state, count in counts.items():
        if total:
            found |= _with_ends(f"{name}/{state}", count / total, total)
    return found | {f"{name}/{total_key}": total} if total else {}


def _with_ends(key: str, share: float, total: int) -> dict[str, float]:
    """A share, and its interval where it is of few."""
    return {key: share} | {f"{key}_{end}": x for end, x in widened(share, total).items()}


def oscr_table(title: str, sections: Sequence[Section], names: Iterable[str]) -> Table | None:
    """OSCR of rows with values by ``<set>/<column>``; ``None`` if there is no number."""
    made = by_set(sections, names, _with_intervals_of(OSCR_METRICS))
    if not any(
        not math.isnan(stat.mean)
        for section in made
        for row in section.rows
        for stat in row.values.values()
    ):
        return None
    rows = [row for section in sections for row in section.rows]
    few = few_note(objects_of(rows, names))
    keys = [column.key for column in OSCR_COLUMNS] if few else _WITH_INTERVAL
    return Table(title, with_intervals(OSCR_COLUMNS, made, keys), made, [OSCR_NOTE, *few])


def with_intervals(
    shown: Sequence[Column], sections: Sequence[Section], keys: Sequence[str]
) -> list[Column]:
    """Columns with that of the interval after each of some keys that has one in a row."""
    found = []
    for column in shown:
        found.append(column)
        interval = Column.interval(column.key)
        there = any(interval.key in row.values for section in sections for row in section.rows)
        if there and column.key in keys:
            found.append(interval)
    return found


def state_tables(title: str, sections: Sequence[Section], names: Sequence[str]) -> list[Table]:
    """What becomes of unknown and of known objects, from rows of the preset ``objects``."""
    parts = [f"{name}{suffix}" for name in names for suffix in _PARTS.values()]
    unknown = by_set(sections, parts, _with_intervals_of(_UNKNOWN))
    groups: list[tuple[list[str], list[Section]]] = []
    for name in names:
        made = by_set(sections, [name], _with_intervals_of(_KNOWN))
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
    for kind, sections_of, shown, notes in (
        ("unknown", unknown, UNKNOWN_COLUMNS, [STATES_NOTE]),
        ("known", known, KNOWN_COLUMNS, []),
    ):
        if sections_of:
            sizes = {
                f"{part.title.partition(':')[0]} {kind} objects": smallest(part.rows, f"num_{kind}")
                for part in sections_of
            }
            keys = [column.key for column in shown]
            columns = with_intervals(shown, sections_of, keys)
            notes = [*notes, *few_note(sizes)]
            tables.append(Table(f"{title}: {kind} objects", columns, sections_of, notes))
    return tables


def _with_intervals_of(keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(each for key in keys for each in (key, *ends(key)))


def by_set(
    sections: Sequence[Section],
    names: Iterable[str],
    keys: Sequence[str],
    common: Sequence[str] = (),
) -> list[Section]:
    """Each section once for each set, with that set's values; rows that lack the keys go.

    Values of the keys ``common`` are those of all sets.
    """
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
                    values |= {key: row.values[key] for key in common if key in row.values}
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
