"""The table of the preset ``owod``: a run's numbers beside the published ones of its benchmark."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from negas.metrics.open_set import harmonic_mean
from negas.shipped import HOME

from .columns import COLUMNS, OWOD
from .table import Row, Section, Stat, Table

PUBLISHED = HOME / "data/published_owodb.csv"
#: what the published evaluators do with images that the test list of M-OWODB repeats
FAMILIES = {
    "counted": "repeated test images counted again",
    "dropped": "repeated test images counted once",
    "none": "no test image is repeated",
    "unstated": "repeated test images: not stated",
}
_CONVENTIONS = (
    "ID and OOD images together. A hit is the best-overlapping object of the box's own class at "
    "an IoU over 0.5, a second one is false; crowds are objects, difficult objects ignored. "
    "WI: OWOD's form; ratio: P_K / P_KU - 1. H-score: of known mAP50 (all points) and U-Recall."
)
_CAVEAT = (
    "Published rows have other detectors, training, cuts and numbers of boxes an image. U-Recall "
    "of M-OWODB compares within one treatment of repeated images only; ours counts them once."
)


def owod_table(title: str, methods: Sequence[Sequence[Sequence[tuple[str, dict]]]]) -> Table:
    """Numbers of methods, and published rows of the same benchmark and task, if there are any.

    Args:
        title: what the table's heading starts with.
        methods: for each method its runs (seeds), for each run its labelled rows; those without
            ``owod`` are passed over.
    """
    sections: dict[str, dict[str, dict[str, list[float]]]] = {}
    places, cuts, more = [], [], []
    for runs in methods:
        for label, row in (pair for rows in runs for pair in rows):
            if "owod" not in row:
                continue
            numbers = row["owod"]
            values = sections.setdefault(f"ID + {row['ood_set']}", {}).setdefault(label, {})
            for key in OWOD:
                value = numbers[key]
                values.setdefault(key, []).append(float("nan") if value is None else value)
            places.append((numbers.get("benchmark"), numbers.get("task")))
            cuts.append(row["cut"])
            more.append(numbers["vocabulary_boxes"])
    made = [
        Section(name, [Row(label, _stats(values)) for label, values in rows.items()])
        for name, rows in sections.items()
    ]
    cut = f"known boxes from {cuts[0]:.4g} on"
    unknown = "Unknown boxes: ID boxes below tau"
    if any(count is not None for count in more):
        unknown += " and those of the vocabulary, by their own cut"
    notes = [_CONVENTIONS, f"{unknown}. U-Recall, WI and A-OSE hang on cut and tau."]
    place = places[0] if len(set(places)) == 1 else (None, None)
    published = published_sections(*place)
    name = " of {}, task {}".format(*place) if place[0] else ""
    notes.append(_CAVEAT if published else "No published rows: the ID set is no task of OWODB.")
    notes += sorted({note for row in _published(*place) if (note := row["note"])})
    columns = [COLUMNS[key] for key in OWOD]
    return Table(f"{title}open-world detection{name}; {cut}", columns, made + published, notes)


def published_sections(benchmark: str | None, task: int | None) -> list[Section]:
    """Published rows of a task, those of one treatment of repeated images in one section."""
    found: dict[str, list[Row]] = {}
    for row in _published(benchmark, task):
        numbers = {
            key: float(row[name]) / 100
            for key, name in (("recall_unknown", "u_recall"), ("ap_known", "known_map50"))
            if row[name]
        }
        if len(numbers) == 2:
            numbers["h_score"] = harmonic_mean(*numbers.values())
        label = f"{row['method']} [published: {row['source']}]"
        values = {key: Stat(value) for key, value in numbers.items()}
        found.setdefault(row["repeats"], []).append(Row(label, values, control=True))
    return [Section(f"published, {FAMILIES[name]}", rows) for name, rows in found.items()]


def _published(benchmark: str | None, task: int | None) -> list[dict[str, str]]:
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if (row["benchmark"], row["task"]) == (benchmark, str(task))]


def _stats(values: dict[str, list[float]]) -> dict[str, Stat]:
    return {key: Stat.of(each) for key, each in values.items()}
