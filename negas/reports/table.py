"""Tables for terminals (rich) and for Markdown, with the best numbers in bold."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from negas.text import in_markdown, shown_text

Better = Literal["lower", "higher"] | None
_NOTE = 1000  # characters of a note


@dataclass(frozen=True)
class Stat:
    """A number over seeds: ``mean``, sample standard deviation ``std``, ``n`` values."""

    mean: float
    std: float = 0.0
    n: int = 1

    @classmethod
    def of(cls, values: Sequence[float]) -> Stat:
        """Mean and sample standard deviation of some values (at least one)."""
        n = len(values)
        mean = sum(values) / n
        if any(math.isnan(value) for value in values):
            return cls(math.nan, math.nan, n)
        std = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else 0.0
        return cls(mean, std, n)


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes:
        key: of ``Row.values``.
        title: its heading.
        better: which end is best, for the bold print; ``None``: neither.
        percent: numbers are fractions, shown in percent with one decimal.
        digits: decimals if not percent.
        more: further keys whose numbers stand in the same cell, after a slash.
    """

    key: str
    title: str
    better: Better = None
    percent: bool = True
    digits: int = 0
    more: tuple[str, ...] = ()

    def text(self, values: Mapping[str, Stat]) -> str:
        """The cell of a row: ``78.9``, ``78.9 ± 1.2`` over seeds, ``-`` for NaN, or empty."""
        keys = [key for key in (self.key, *self.more) if key in values]
        return "/".join(self._number(values[key]) for key in keys)

    def _number(self, stat: Stat) -> str:
        if math.isnan(stat.mean):
            return "-"
        factor, digits = (100, 1) if self.percent else (1, self.digits)
        text = f"{factor * stat.mean:.{digits}f}"
        if stat.n > 1 and self.percent:
            text += f" ± {factor * stat.std:.{digits}f}"
        return text


@dataclass(frozen=True)
class Row:
    """A label and numbers by column key.

    Attributes:
        label: what stands in front.
        values: by column key.
        control: the row is there for comparison and does not compete for the bold print.
    """

    label: str
    values: dict[str, Stat]
    control: bool = False


@dataclass(frozen=True)
class Section:
    """Rows that compete for the bold print."""

    title: str
    rows: list[Row]


@dataclass(frozen=True)
class Table:
    """What is printed: sections over common columns, and notes below."""

    title: str
    columns: list[Column]
    sections: list[Section]
    notes: list[str] = field(default_factory=list)


def best_rows(section: Section, column: Column) -> set[int]:
    """Indices of the rows with the best printed number; none if all rows print the same."""
    if column.better is None:
        return set()
    shown = {
        i: float(column.text(row.values).split(" ")[0])
        for i, row in enumerate(section.rows)
        if not row.control
        and (stat := row.values.get(column.key)) is not None
        and not math.isnan(stat.mean)
    }
    if len(set(shown.values())) < 2:
        return set()
    best = (min if column.better == "lower" else max)(shown.values())
    return {i for i, value in shown.items() if value == best}


def to_markdown(table: Table) -> str:
    """The table in Markdown."""
    lines = [f"### {in_markdown(table.title)}", ""]
    lines.append("| | " + " | ".join(in_markdown(column.title) for column in table.columns) + " |")
    lines.append("|---|" + "---:|" * len(table.columns))
    for section in table.sections:
        best = {column.key: best_rows(section, column) for column in table.columns}
        lines.append(f"| *{in_markdown(section.title)}* |" + " |" * len(table.columns))
        for i, row in enumerate(section.rows):
            cells = [column.text(row.values) for column in table.columns]
            cells = [
                f"**{cell}**" if i in best[column.key] else cell
                for cell, column in zip(cells, table.columns, strict=True)
            ]
            lines.append(f"| {in_markdown(row.label)} | " + " | ".join(cells) + " |")
    lines += ["", *[f"{shown_text(note, _NOTE)}  " for note in table.notes]]
    return "\n".join(lines).rstrip() + "\n"


def print_table(table: Table, console=None) -> None:
    """Print the table to a terminal, or to a file or pipe at full width.

    Args:
        table: what to print.
        console: a ``rich.console.Console``; by default one for standard output.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    rich_table = RichTable(
        title=Text(shown_text(table.title, _NOTE), style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    rich_table.add_column("", no_wrap=True)
    for column in table.columns:
        title = shown_text(column.title).replace(" ", "\n", 1)
        rich_table.add_column(Text(title), justify="right", no_wrap=True)
    for section in table.sections:
        best = {column.key: best_rows(section, column) for column in table.columns}
        rich_table.add_row(Text(shown_text(section.title, _NOTE), style="italic dim"))
        for i, row in enumerate(section.rows):
            cells = [
                Text(
                    column.text(row.values),
                    style="bold green" if i in best[column.key] else "",
                )
                for column in table.columns
            ]
            rich_table.add_row(Text("  " + shown_text(row.label)), *cells)
        rich_table.add_section()
    if console is None:
        # a command's own stream would show the colours as text
        stream = getattr(sys.stdout, "of_terminal", sys.stdout)
        console = Console(file=stream)
        if not console.is_terminal:  # no terminal, no width to respect
            console = Console(file=stream, width=200)
    console.print(rich_table)
    for note in table.notes:
        console.print(Text(shown_text(note, _NOTE), style="dim"))
    console.print()
