"""Objects on the page: OSCR of every score, and what becomes of each object under the main one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from negas.evaluation.objects.object_rows import object_counts, paired_rows_of, reached_objects
from negas.evaluation.recorded import MODEL_BANK
from negas.evaluation.rows import NamedScore, values_at
from negas.records import ID
from negas.visualization.curves import plot_oscr

from ..columns import CONTROLS, Block, score_title
from ..objects import (
    class_table,
    object_values,
    oscr_table,
    state_tables,
    state_values,
)
from ..table import Row, Section, Stat, Table
from .page import Picture
from .plots import svg_uri
from .run import ReportRun

OBJECT_NOTES = [
    "FPR95 and AUROC compare the boxes that are kept; these tables count annotated objects, those "
    "of the ID test set and of the OOD set together. A box is called known by tau, as on the rest "
    "of the page.",
]


def object_tables(run: ReportRun) -> tuple[list[Table], list[Table]]:
    """OSCR as tested and states at the cut of the page; states of unknown objects by class.

    A set without annotations has no row.
    """
    found = [oscr_table("At equal recall of known objects", [_tested(run)], run.run.ood_sets)]
    sets = _annotated(run)
    counts = {label: _counts(run, score, sets) for label, score in _scores(run).items()}
    rows = [
        Row(label, {k: Stat(x) for n, c in each.items() for k, x in state_values(c, n).items()})
        for label, each in counts.items()
    ]
    title = f"At the cut {run.samples.cut.value:.3f}"
    states = state_tables(title, [Section("each at its own tau", rows)], sets)
    classes = [
        class_table(f"{name} by class", each["unknown_by_class"], run.main_name)
        for name, each in counts[run.main_name].items()
        if each["unknown_by_class"]
    ]
    return [table for table in found if table] + states, classes


def oscr_picture(run: ReportRun, name: str) -> Picture | None:
    """OSCR curves of the main score and the confidence; ``None`` without objects of both kinds."""
    if name not in _annotated(run):
        return None
    curves = {
        label: reached_objects(run.run, _values(run, score, [name]), name)[:2]
        for label, score in _scores(run).items()
    }
    if not all(len(side) for pair in curves.values() for side in pair):
        return None
    alt = f"Unknown objects taken for known over recall of known ones by {' and '.join(curves)}"
    return Picture(f"{alt} on {name}", svg_uri(partial(plot_oscr, {name: curves})))


def _tested(run: ReportRun) -> Section:
    """Every score of the test in the page's block, controls below it."""
    values: dict[tuple, dict[str, Stat]] = {}
    for row in run.results["rows"]:
        if Block.of(row) == run.block:
            key = (row["score"], row["bank"], row["control"])
            found = values.setdefault(key, {})
            numbers = object_values({k: v for k, v in row.items() if k != "objects"})
            found |= {name: Stat(number) for name, number in numbers.items()}
    rows = []
    for score, bank, control in sorted(values, key=lambda key: [*values].index(_plain(key))):
        parts = [score_title(score)]
        parts += [] if bank in (MODEL_BANK, "none") else [f"bank {bank}"]
        parts += [] if control == "none" else [CONTROLS[control]]
        rows.append(Row(", ".join(parts), values[score, bank, control], control != "none"))
    return Section("scores", rows)


def _plain(key: tuple[str, str, str]) -> tuple[str, str, str]:
    """The row that a control stands below."""
    return (*key[:2], "none")


def _scores(run: ReportRun) -> dict[str, NamedScore]:
    return {score_title(score.label): score for score in (run.main, run.plain)}


def _annotated(run: ReportRun) -> list[str]:
    """OOD sets whose objects, and those of the ID set, are known."""
    if run.truth(ID)[0] is None:
        return []
    return [name for name in run.run.ood_sets if run.truth(name)[0] is not None]


def _values(run: ReportRun, score: NamedScore, sets: list[str]) -> dict[str, np.ndarray]:
    return values_at(run.run, paired_rows_of(run.run, sets), score, MODEL_BANK)


def _counts(run: ReportRun, score: NamedScore, sets: list[str]) -> dict[str, Mapping]:
    """Counts of :func:`object_counts` by OOD set."""
    if not sets:
        return {}
    values, tau = _values(run, score, sets), run.tau_of(score)
    return {n: object_counts(run.run, values, n, run.samples.cut.value, tau) for n in sets}
