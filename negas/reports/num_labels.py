"""The printed side of a choice of M: one table per order, then what it says."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from negas.evaluation.num_labels.choice import METRICS, Curve
from negas.evaluation.num_labels.from_run import Outcome
from negas.text import counted, plain_console, shown_text

from .columns import COLUMNS

_NAMES = {metric: COLUMNS[metric].title for metric in METRICS}


def print_outcome(outcome: Outcome, console: Console | None = None) -> None:
    """Print tables, notes and files."""
    console = console or plain_console()
    settings = outcome.settings
    boxes = sum(ood for _, ood in outcome.counts.values())
    classes = counted(len(outcome.counts), "class")
    console.print(
        f"{settings['score']} on held-out ID classes: {classes}, {boxes} "
        f"pseudo-OOD boxes, cut {settings['cut']:.3f} ({settings['cut_source']}), protocol "
        f"{settings['protocol']}; embeddings from {shown_text(outcome.embeddings)}",
        highlight=False,
        markup=False,
    )
    for curve in outcome.curves:
        console.print(_table(outcome, curve))
    choice = outcome.choice
    console.print(
        f"chosen: M = {choice.num}, order '{choice.order}' ({_NAMES[settings['metric']]} "
        f"{100 * choice.value:.1f})",
        highlight=False,
        markup=False,
    )
    for note in [*outcome.notes, *_comparison(outcome)]:
        console.print(f"- {shown_text(note, 400)}", highlight=False, markup=False)


def _table(outcome: Outcome, curve: Curve) -> Table:
    tests = outcome.tests.get(curve.order, {})
    table = Table(title=f"order: {curve.order} (mean ± standard error over classes, in %)")
    table.add_column("M", justify="right")
    for metric in METRICS:
        table.add_column(f"{_NAMES[metric]} held-out", justify="right")
    for name in tests:
        heading = Text(f"AUROC / FPR95 test {shown_text(name)}\n(comparison only)")
        table.add_column(heading, justify="right")
    rows = [("none", None, 0), *((str(m), i, i + 1) for i, m in enumerate(curve.ms))]
    for label, column, place in rows:
        cells = []
        for metric in METRICS:
            if column is None:
                cells.append(f"{100 * curve.without[metric].mean():.1f}")
            else:
                mean, error = curve.mean(metric)[column], curve.error(metric)[column]
                spread = f" ± {100 * error:.1f}" if len(outcome.counts) > 1 else ""
                cells.append(f"{100 * mean:.1f}{spread}")  # one class alone has no error
        for values in tests.values():
            cells.append(" / ".join(f"{100 * values[metric][place]:.1f}" for metric in METRICS))
        table.add_row(label, *cells)
    return table


def _comparison(outcome: Outcome) -> list[str]:
    """How far the choice is from the best setting on each test set, by the metric of the choice."""
    metric = outcome.settings["metric"]
    ms: Sequence[int] = outcome.curves[0].ms
    sign = 1 if metric == "auroc" else -1
    notes = []
    for name in outcome.tests.get(outcome.choice.order, {}):
        found = {
            (order, m): sets[name][metric][place]
            for order, sets in outcome.tests.items()
            for place, m in enumerate(ms, start=1)
        }
        got = found[outcome.choice.order, outcome.choice.num]
        order, m = max(found, key=lambda at: (sign * found[at], -at[1]))
        notes.append(
            f"Test set {name} (comparison only): {_NAMES[metric]} {100 * got:.1f} with the choice; "
            f"the best of these settings is M = {m}, order '{order}', {100 * found[order, m]:.1f}."
        )
    return notes
