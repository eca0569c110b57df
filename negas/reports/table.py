"""Tables for terminals (rich) and for Markdown, with the best numbers in bold."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from negas.text import in_markdown, open_console, shown_text

if TYPE_CHECKING:
    from rich.console import Console

Better = Literal["lower", "higher"] | None
_NOTE = 1000  # characters of a note
_LABEL = 200  # characters of a row's label
_PIPE = 200  # columns where there is no terminal
_INDENT = 2  # of labels below their section's title


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
        beside: belongs to the column before it; no line break comes between them.
    """

    key: str
    title: str
    better: Better = None
    percent: bool = True
    digits: int = 0
    more: tuple[str, ...] = ()
    beside: bool = False

    @classmethod
    def interval(cls, key: str) -> Column:
        """The interval of a column of percent, ``<key>_low`` and ``<key>_high``."""
        return cls(f"{key}_low", "interval", more=(f"{key}_high",), beside=True)

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
    """What is printed: sections over common columns, and notes below.

    Attributes:
        title: above it.
        columns: of numbers.
        sections: of rows.
        notes: how to read it.
        conclusion: sentences on what the numbers say, of a headline; ``None``: another table.
    """

    title: str
    columns: list[Column]
    sections: list[Section]
    notes: list[str] = field(default_factory=list)
    conclusion: list[str] | None = None


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
    texts = [*table.notes, *(table.conclusion or ())]
    lines += ["", *[f"{shown_text(text, _NOTE)}  " for text in texts]]
    return "\n".join(lines).rstrip() + "\n"


def headline_first(tables: Iterable[Table]) -> list[Table]:
    """The order of a file: headlines on top."""
    return sorted(tables, key=lambda table: table.conclusion is None)


def print_tables(tables: Sequence[Table], brief: bool = False, places: Sequence[str] = ()) -> None:
    """Print tables, the headline last: it is what a terminal then shows.

    Args:
        tables: in their order.
        brief: the headline alone, where there is one.
        places: lines that say where the rest is.
    """
    last = [table for table in tables if table.conclusion is not None]
    for table in tables:
        if table.conclusion is None and not (brief and last):
            print_table(table)
    for table in last:
        print_table(table)
    for place in places:
        print(place)


def places(
    files: Sequence[object], csv: str | None, runs: Sequence[object], brief: bool
) -> list[str]:
    """Where everything else is, a line each.

    Args:
        files: that were written.
        csv: the file of all numbers, if it was.
        runs: work dirs of tests, which a page with pictures can be made of.
        brief: the full tables were not printed.
    """
    lines = [f"written: {file}" for file in (*files, *([csv] if csv else []))]
    if brief and not files:
        lines.append("full tables: the same command without --brief, or with --out")
    if runs:
        lines.append(f"one page with pictures: negas html-report {runs[-1]}")
    return lines


def print_table(table: Table, console: Console | None = None) -> None:
    """Print the table; what is wider than the terminal goes below, in blocks of columns.

    Labels wrap where that saves a block. Nothing is cut; a block leaves out rows without a number.

    Args:
        table: what to print.
        console: where to; by default standard output, as wide as it is (``COLUMNS`` or 200 where it
            is no terminal).
    """
    from rich.text import Text

    console = console or _console()
    console.print(Text(shown_text(table.title, _NOTE), style="bold"))
    blocks = _blocks(table, console.width)
    for columns, label, widths in blocks:
        shown = table.sections if len(blocks) == 1 else _with_numbers(table.sections, columns)
        _print_block(console, shown, columns, label, widths)
    for note in table.notes:
        console.print(Text(shown_text(note, _NOTE), style="dim"))
    for sentence in table.conclusion or ():
        console.print(Text(shown_text(sentence, _NOTE)))
    console.print()


def _console() -> Console:
    # a command's own stream would show the colours as text
    stream = getattr(sys.stdout, "of_terminal", sys.stdout)
    console = open_console(file=stream)
    if console.is_terminal:
        return console
    given = os.environ.get("COLUMNS", "")
    width = int(given) if given.isdecimal() and int(given) else _PIPE
    return open_console(file=stream, width=width)


def _blocks(table: Table, width: int) -> list[tuple[list[Column], int, list[int]]]:
    """Columns that stand side by side, with the width of the labels and of each column."""
    from rich.cells import cell_len

    rows = [row for section in table.sections for row in section.rows]
    full = max((cell_len(shown_text(row.label, _LABEL)) for row in rows), default=0) + _INDENT + 1
    least = min(full, max(width // 3, 12))
    pairs = []
    for column in table.columns:
        cells = max((cell_len(column.text(row.values)) for row in rows), default=0)
        needed = max(cells, _heading_width(shown_text(column.title)))
        pairs.append((column, min(needed, width - least - 1)))
    blocks: list[list[tuple[Column, int]]] = [[]]
    for group in _groups(pairs, width - least):
        used = sum(each + 1 for _, each in blocks[-1] + group)
        if blocks[-1] and used > width - least:
            blocks.append([])
        blocks[-1] += group
    sums = [sum(each + 1 for _, each in block) for block in blocks]
    label = min(full, width - max(sums))  # the same in all blocks
    return [([c for c, _ in block], label, [each for _, each in block]) for block in blocks]


def _with_numbers(sections: Sequence[Section], columns: Sequence[Column]) -> list[Section]:
    """Without rows that have no number in any of the columns."""
    kept = [
        replace(
            section, rows=[row for row in section.rows if any(c.text(row.values) for c in columns)]
        )
        for section in sections
    ]
    return [section for section in kept if section.rows]


def _groups(pairs: Sequence[tuple[Column, int]], room: int) -> list[list[tuple[Column, int]]]:
    """Columns with those that belong beside them, as far as there is room."""
    groups: list[list[tuple[Column, int]]] = []
    for pair in pairs:
        used = sum(each + 1 for _, each in [*groups[-1], pair]) if groups else 0
        if groups and pair[0].beside and used <= room:
            groups[-1].append(pair)
        else:
            groups.append([pair])
    return groups


def _heading_width(title: str) -> int:
    """The least width in which a heading takes two lines, if its words allow that."""
    from rich.cells import cell_len

    words = title.split()
    lines = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words) + 1)]
    return min((max(map(cell_len, pair)) for pair in lines), default=0)


def _print_block(
    console: Console,
    sections: Sequence[Section],
    columns: Sequence[Column],
    label: int,
    widths: Sequence[int],
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    def grid(header: bool) -> RichTable:
        made = RichTable(box=SIMPLE_HEAD, show_edge=False, padding=0, show_header=header)
        made.add_column("", width=label)
        for column, each in zip(columns, widths, strict=True):
            heading = Text(shown_text(column.title), overflow="fold")
            made.add_column(heading, justify="right", width=each, overflow="fold")
        return made

    console.print(grid(header=True))
    for section in sections:
        best = {column.key: best_rows(section, column) for column in columns}
        console.print(Text(shown_text(section.title, _NOTE), style="italic dim"))
        body = grid(header=False)
        for i, row in enumerate(section.rows):
            cells = [
                Text(column.text(row.values), style="bold green" if i in best[column.key] else "")
                for column in columns
            ]
            text = Text(shown_text(row.label, _LABEL), overflow="fold")
            body.add_row(Padding(text, (0, 0, 0, _INDENT)), *cells)
        console.print(body)
    console.print()
