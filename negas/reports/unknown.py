"""Tables of unknown objects that a vocabulary finds. Sections are OOD sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from negas.evaluation.unknown.annotated import KINDS
from negas.evaluation.unknown.rows import RECALLS, REFITTED

from .columns import COLUMNS
from .table import Column, Row, Section, Stat, Table

PARTS = dict(
    all="all words",
    without_ood="no OOD words",
    seen_words="tower's words",
    other_words="other words",
)
CONTROLS = dict(rotated="rotated", rotated_refitted="rotated, refit")
UNKNOWN_NOTE = (
    "Unknown objects found at the threshold of the run. U-Recall: annotated unknown objects with a "
    "box on them (IoU over 0.5); seen/unseen: by classes of the detector's pre-training. on ...: "
    "boxes per ID test image on known objects, on annotated unknown ones, elsewhere."
)
PARTS_NOTE = (
    "no OOD words: without those that name a class of the set. rotated: all words turned at "
    "random (no meaning), mean of draws; what survives that is not due to what the words mean. "
    "refit: at a threshold of their own that keeps to the same limits on ID validation."
)
TOWER_NOTE = "tower's words: names that the text tower was trained on."
_KEYS = ("words_recall", "words_recall_seen", "id_known", "id_unknown", "id_elsewhere")
UNKNOWN_TITLE = "Unknown objects found by the vocabulary"
_WITH_SPREAD = ("recall",)
_INTERVAL = Column.interval("words_recall")


def unknown_values(row: Mapping) -> dict[str, Stat]:
    """Cells of a row of :meth:`negas.evaluation.unknown.rows.Evaluation.rows`."""
    draws, values = row.get("draws", 1), {}
    for key in (*RECALLS, *(f"id_{kind}" for kind in KINDS), "words"):
        if key in row:
            value = math.nan if row[key] is None else row[key]
            name = f"words_{key}" if key in RECALLS else key
            plain = key not in _WITH_SPREAD  # more would not fit into a terminal
            values[name] = Stat(value) if plain else Stat(value, row.get(f"{key}_std", 0.0), draws)
    if interval := row.get("interval"):
        values |= {f"words_recall_{end}": Stat(interval[end]) for end in ("low", "high")}
    return values


def unknown_table(name: str, about: Mapping, brief: bool = False) -> Table | None:
    """The rows of a run.

    Args:
        name: of the run.
        about: the section ``unknown`` of its results; without rows there is no table.
        brief: leave out the parts by the text tower's training.
    """
    rows_of_run = [
        row
        for row in about.get("rows", ())
        if not brief or row["vocabulary"] in ("all", "without_ood")
    ]
    if not rows_of_run:
        return None
    sections: dict[str, list[Row]] = {}
    for row in rows_of_run:
        rows = sections.setdefault(f"{row['ood_set']}, {row['num_unknown']} objects", [])
        rows.append(Row(part_title(row), unknown_values(row), row["control"] in CONTROLS))
    values = [row.values for rows in sections.values() for row in rows]
    threshold = about["threshold"]
    title = f"{name}: unknown objects found, score from {threshold['score_thr']:.4f}"
    made = [Section(title, rows) for title, rows in sections.items()]
    notes = [UNKNOWN_NOTE, PARTS_NOTE]
    if any(row["vocabulary"] == "seen_words" for row in rows_of_run):
        notes.append(TOWER_NOTE)
    # parts of one vocabulary are no rivals
    columns = [replace(COLUMNS[key], better=None) for key in _KEYS]
    if any("words_recall_low" in each for each in values):
        columns.insert(1, _INTERVAL)
    return Table(title, [*columns, COLUMNS["words"]], made, notes)


def unknown_comparison(methods: Sequence[tuple[str, Sequence[Mapping]]]) -> Table | None:
    """Methods side by side, a section for each OOD set and part of the vocabulary.

    Args:
        methods: name, and the sections ``unknown`` of its runs (seeds); one without rows is left
            out.
    """
    found: dict[tuple[str, str], dict[str, list[dict[str, Stat]]]] = {}
    for name, runs in methods:
        for about in runs:
            for row in about.get("rows", ()):
                where = found.setdefault((row["ood_set"], part_title(row)), {})
                where.setdefault(name, []).append(unknown_values(row))
    if not found:
        return None
    controls = {*CONTROLS.values()}
    sections = [
        Section(
            f"{ood_set}: {part}",
            [Row(name, _over_seeds(runs), part in controls) for name, runs in by_name.items()],
        )
        for (ood_set, part), by_name in found.items()
    ]
    columns = [COLUMNS[key] for key in _KEYS]
    notes = [UNKNOWN_NOTE, PARTS_NOTE]
    return Table(UNKNOWN_TITLE, columns, sections, notes)


def part_title(row: Mapping) -> str:
    """How tables call a part of the vocabulary, or a control."""
    if row["control"] == REFITTED:
        return "no OOD, refit"
    return CONTROLS.get(row["control"]) or PARTS[row["vocabulary"]]


def _over_seeds(runs: Sequence[Mapping[str, Stat]]) -> dict[str, Stat]:
    """One run as it is, several as mean and deviation over them."""
    if len(runs) == 1:
        return dict(runs[0])
    keys = [key for key in runs[0] if all(key in run for run in runs)]
    values = {key: Stat.of([run[key].mean for run in runs]) for key in keys}
    spread = {f"words_{key}" for key in _WITH_SPREAD}
    return {key: stat if key in spread else Stat(stat.mean) for key, stat in values.items()}
