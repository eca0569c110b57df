"""The comparison of several test runs: terminal tables, ``report.md`` and ``report.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from negas.evaluation.provenance import complete
from negas.evaluation.results import write_results
from negas.files import write_atomically
from negas.visualization.tables import Table, print_table, to_markdown

from .report_runs import Method, Run, group_runs, load_run
from .report_table import bank_table, main_table


def shared_cut_of(runs: Sequence[Run], choice: str | float) -> float:
    """The shared confidence cut.

    Args:
        runs: all runs.
        choice: a number in (0, 1), or ``stock``: the own cut of the stock run (with several, of
            the first).

    Raises:
        ValueError: no stock run, or no number in (0, 1).
    """
    if choice == "stock":
        stock = next((run for run in runs if run.role == "stock"), None)
        if stock is None:
            raise ValueError(
                "--shared-cut stock: none of the runs is the stock detector; add its run or give "
                "a number"
            )
        return stock.cut
    try:
        value = float(choice)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise ValueError(f"--shared-cut: expected 'stock' or a number in (0, 1), got {choice!r}")
    return value


def make_report(
    paths: Sequence[str | Path],
    names: Sequence[str] | None = None,
    shared_cut: str | float | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> list[Table]:
    """Read runs, build all tables, write them.

    Args:
        paths: work dirs of ``tools/test.py``; runs of one config are seeds of one method.
        names: row label per run; equal labels are seeds of one method.
        shared_cut: see :func:`shared_cut_of`; ``None``: tables of each method's own cut only.
        out: folder for ``report.md`` and ``report.json``; ``None``: nothing is written.
        progress: show a bar while records are scored again.

    Raises:
        FileNotFoundError: results, records or annotations are missing.
        ValueError: files that cannot be read, runs without OOD sets, or runs that cannot stand in
            one table.
    """
    from tqdm import tqdm

    runs = [load_run(path) for path in paths]
    for run in runs:
        if not set(run.results["sets"]) - {"id", "cut"}:
            raise ValueError(
                f"{run.path}: tested without OOD sets, so there is nothing to compare but its mAP "
                f"(AP {run.results['map'].get('coco_ap', float('nan')):.3f})"
            )
    methods = group_runs(runs, names)
    kinds = ["own"]
    if shared_cut is not None:
        cut = shared_cut_of(runs, shared_cut)
        kinds.append("shared")
        hidden = None if progress else True  # None: no bar where standard error is no terminal
        for run in tqdm(runs, desc=f"shared cut {cut:.3f}", leave=False, disable=hidden):
            run.add_cut("shared", cut)
    tables = []
    for protocol in runs[0].results["settings"]["protocols"]:
        for kind in kinds:
            tables.append(main_table(methods, protocol, kind))
            if banks := bank_table(methods, protocol, kind):
                tables.append(banks)
    if out is not None:
        write_report(Path(out), methods, tables)
    return tables


def write_report(out: Path, methods: Sequence[Method], tables: Sequence[Table]) -> None:
    """Write ``report.md`` (tables) and ``report.json``.

    The latter holds the same numbers, unrounded, and each run with all its rows and what it
    depends on (:data:`negas.evaluation.provenance.KEYS`).
    """
    parts = ["# OOD detection report", "", *[to_markdown(table) for table in tables]]
    parts += [
        "### Runs",
        "",
        *[_describe(method, run) for method in methods for run in method.runs],
    ]
    write_atomically(out / "report.md", "\n".join(parts) + "\n")
    runs = [
        dict(method=method.name, path=str(run.path)) | complete(run.results | dict(rows=run.rows))
        for method in methods
        for run in method.runs
    ]
    write_results(
        out / "report.json",
        dict(kind="negas report", tables=[asdict(table) for table in tables], runs=runs),
    )


def _describe(method: Method, run: Run) -> str:
    info = run.info
    return (
        f"- {method.name}: `{run.path}`, seed {info.get('seed')}, cut {run.cut:.3f} "
        f"({run.results.get('cut_source')}), config SHA-256 {str(info.get('config_sha256'))[:12]}, "
        f"checkpoint SHA-256 {str(info.get('checkpoint_sha256'))[:12]}"
    )


def print_report(tables: Sequence[Table], brief: bool = False) -> None:
    """Print tables; ``brief``: only those of each method's own cut."""
    for table in tables:
        if not brief or "each method's own" in table.title:
            print_table(table)
