"""A table of the paper: run what it needs, and print ours beside the published numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from negas.evaluation.provenance import MAPS, PUBLISHED_MAPS
from negas.evaluation.recorded import RESERVED_BANKS
from negas.evaluation.run import Run
from negas.files import write_json, write_text
from negas.reports import columns
from negas.reports import table as tables
from negas.reports.columns import COLUMNS
from negas.reports.table import Column, Row, Section, Stat, to_markdown
from negas.text import listed, shown_text

from .plan import PlannedRow, runs_of
from .tables import Number, Table
from .train_and_test import TESTED, TRAINED, TRAINING, PlannedRun, run_all

_STATES = {
    None: "to do",
    TRAINING: "started, will go on",
    TRAINED: "trained, to be tested",
    TESTED: "done already",
}
REFERENCE = "voc"  # whose published numbers stand below a table of other data


def describe(
    rows: Sequence[PlannedRow], overrides: Mapping | None = None, fresh: bool = False
) -> list[str]:
    """The plan in lines: what each row is, what is there, what would run. Nothing is written."""
    lines: list[str] = []
    first: dict[object, str] = {}  # the row that a run or a problem is told of
    for planned in rows:
        title, cell = planned.row.title, planned.cell
        if cell is None:
            published = ", published numbers only" if planned.row.published else ""
            lines.append(f"{title}: nothing to run here{published}")
            continue
        runs = [*planned.before, *planned.runs]
        config = runs[0].config if runs else cell.config
        lines.append(f"{title}: {config}, score {cell.score or 'negs'}")
        settings = planned.runs[0].settings if runs else cell.overrides | cell.test_overrides
        only_test = " (in the test alone)"
        for key, value in settings.items():
            lines.append(f"  {key} = {_short(value)}{only_test * (key in cell.test_overrides)}")
        for run in runs:
            if first.setdefault(run.folder, title) != title:
                lines.append(f"  seed {run.seed}: the run of {first[run.folder]!r}")
            elif planned.problems:
                lines.append(f"  seed {run.seed}: cannot start")
            else:
                lines.append(f"  seed {run.seed}: {_state(run, overrides, fresh)} ({run.folder})")
        new = [each for each in planned.problems if first.setdefault(each, title) == title]
        lines += [f"  {problem}" for problem in new]
        if planned.problems and not new:
            lines.append("  what is missing is named above")
    problems = {problem for row in rows for problem in row.problems}
    if problems:
        return [*lines, f"things missing or wrong: {len(problems)}"]
    states = [_state(run, overrides, fresh) for run in runs_of(rows)]
    done = states.count(_STATES[TESTED])
    return [*lines, f"{len(states)} runs: {done} done, {len(states) - done} to do"]


def _state(run: PlannedRun, overrides: Mapping | None, fresh: bool) -> str:
    return _STATES[None if fresh else run.state(overrides)]


def _short(value: object) -> str:
    if isinstance(value, list):
        return f"{len(value)} words: {listed(value)}"
    return shown_text(value)


def refuse_problems(rows: Sequence[PlannedRow]) -> None:
    """Refuse to start what cannot be finished.

    Raises:
        ValueError: a sentence with the first thing that is missing or wrong.
    """
    found: dict[str, str] = {}
    for planned in rows:
        for problem in planned.problems:
            found.setdefault(problem, planned.row.title)
    if found:
        problem, title = next(iter(found.items()))
        more = f" (and {len(found) - 1} more: --dry-run lists all)" * (len(found) > 1)
        raise ValueError(f"row {title!r}: {problem}{more}")


def reproduce(
    table: Table,
    rows: Sequence[PlannedRow],
    data: str,
    model: str,
    overrides: Mapping | None = None,
    fresh: bool = False,
    jobs: int = 1,
) -> list[tables.Table]:
    """Train and test what the rows need, and build the tables.

    Args:
        table: of :func:`~.tables.read_table`.
        rows: of :func:`~.plan.plan_table`.
        data: as there.
        model: as there.
        overrides: as ``--cfg-options``, for all runs.
        fresh: do again what is done.
        jobs: runs at a time, see :func:`~.train_and_test.run_all`.

    Raises:
        ValueError: the plan has a problem, or an override fits none of the configs.
    """
    refuse_problems(rows)
    run_all(runs_of(rows), overrides, fresh=fresh, jobs=jobs)
    return build_tables(table, rows, data, model)


def numbers_of(folder: Path, score: str) -> dict[str, float]:
    """A finished run's numbers with one score: fractions by ``<set>/fpr95``, ``<set>/auroc``, AP.

    Of the samples of the published numbers: every box over the run's own confidence cut.

    Raises:
        ValueError: the run was not tested with this score.
    """
    run = Run.load(folder)
    found: dict[str, float] = {}
    for row in run.tested_rows:
        same = row["preset"] == "val_f1" and row["control"] == "none"
        if same and row["bank"] in RESERVED_BANKS and row["score"].partition("(")[0] == score:
            for key in ("fpr95", "auroc"):
                found[f"{row['ood_set']}/{key}"] = row[key]
    if not found:
        raise ValueError(f"{folder}: not tested with the score {score!r}; add it to the evaluator")
    maps = run.results["map"]
    return found | {key: maps[key] for key in MAPS if maps.get(key) is not None}


def ours(planned: PlannedRow) -> dict[str, Stat]:
    """Mean and deviation over the seeds of a row."""
    found: dict[str, list[float]] = {}
    for run in planned.runs:
        for key, value in numbers_of(run.folder, planned.cell.score or "negs").items():
            found.setdefault(key, []).append(value)
    return {key: Stat.of(values) for key, values in found.items()}


def build_tables(
    table: Table, rows: Sequence[PlannedRow], data: str, model: str
) -> list[tables.Table]:
    """Ours beside the published numbers of the same data set.

    Where nothing is published for it, those on VOC follow in a table of their own.
    """
    of = f", {table.published_model}" if table.published_model else ""
    mine, others = [], []
    for planned in rows:
        published = published_row(planned, data, of)
        if planned.cell is None:
            others += published
            continue
        mine += [Row(planned.row.title, ours(planned)), *published]
    sections = [Section(model, mine)]
    if others:
        sections.append(Section("published, not run here", others))
    notes = [
        _seeds_note(rows),
        "FPR95 (lower is better), AUROC, AP in percent. Best of ours in bold.",
    ]
    notes += _notes(table, [row for row in rows if data in row.row.numbers or row.cell])
    found = [tables.Table(f"{table.title}; {data}", _columns(sections), sections, notes)]
    if not any(data in planned.row.numbers for planned in rows):
        reference = [row for planned in rows for row in published_row(planned, REFERENCE, of)]
        if reference:
            section = Section("published, not run here", reference)
            title = f"The same published on {REFERENCE}, other data and another detector"
            found.append(tables.Table(title, _columns([section]), [section], [table.source]))
    return found


def published_row(planned: PlannedRow, data: str, of: str) -> list[Row]:
    """A row of published numbers, marked as such; none where there are none."""
    numbers = planned.row.numbers.get(data, {})
    values = {key: _stat(number) for key, number in numbers.items() if key != "score_thr"}
    return [Row(f"{planned.row.title} [published{of}]", values, control=True)] if values else []


def _stat(number: Number) -> Stat:
    # more than one value stands behind a number with a deviation; how many is not always printed
    return Stat(number.mean) if number.std is None else Stat(number.mean, number.std, 2)


def _columns(sections: Sequence[Section]) -> list[Column]:
    keys = list(dict.fromkeys(k for part in sections for row in part.rows for k in row.values))
    sets = dict.fromkeys(key.split("/")[0] for key in keys if "/" in key)
    shown = [columns.per_set(name, key) for name in sets for key in ("fpr95", "auroc")]
    return [*shown, *(COLUMNS[key] for key in PUBLISHED_MAPS if key in keys)]


def _seeds_note(rows: Sequence[PlannedRow]) -> str:
    counts = {len(row.runs) for row in rows if row.cell}
    if counts == {1}:
        return "One run per row: differences of a few points may be chance."
    return f"Mean ± standard deviation over {max(counts)} seeds; one run where nothing is trained."


def _notes(table: Table, rows: Sequence[PlannedRow]) -> list[str]:
    notes = [f"Published: {table.source}.", *([table.note] if table.note else [])]
    for planned in rows:
        row = planned.row
        texts = [row.source or "", row.note or ""]
        if any(texts):
            notes.append(f"{row.title}: {'; '.join(text for text in texts if text)}.")
    return notes


def write_tables(
    stem: Path, found: Sequence[tables.Table], rows: Sequence[PlannedRow], about: Mapping
) -> list[Path]:
    """Write ``stem.md`` and ``stem.json`` (unrounded, with the runs' folders); returns both.

    Args:
        stem: path without suffix.
        found: of :func:`build_tables`.
        rows: the plan.
        about: the options of the command.
    """
    files = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("md", "json")]
    write_text(files[0], "\n".join(to_markdown(each) for each in found))
    described = [
        dict(
            title=planned.row.title,
            score=planned.cell.score or "negs" if planned.cell else None,
            runs=[
                dict(
                    config=str(run.config),
                    settings=dict(run.settings),
                    seed=run.seed,
                    folder=str(run.folder),
                )
                for run in planned.runs
            ],
            ours=_plain(ours(planned)) if planned.cell else None,
            published={
                data: {key: asdict(number) for key, number in numbers.items()}
                for data, numbers in planned.row.numbers.items()
            },
        )
        for planned in rows
    ]
    write_json(files[1], dict(kind="negas table", options=dict(about), rows=described))
    return files


def _plain(values: Mapping[str, Stat]) -> dict:
    return {
        key: dict(mean=stat.mean, std=stat.std if stat.n > 1 else math.nan, n=stat.n)
        for key, stat in values.items()
    }
