"""Read the measured numbers: ``python tools/render_results.py [results/FILE.csv ...]``.

``results/*.csv`` hold every number that was measured (``results/README.md`` says how). A table in
the README or the docs stands between ``<!-- results: NAME -->`` and ``<!-- end -->``; NAME is a CSV
file, or a table of ``results/tables.yaml``, which picks rows. ``--fill`` writes these tables,
``--check`` says which are out of date.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from textwrap import wrap

import yaml

from negas.cli import user_errors
from negas.files import write_text
from negas.options import Options, option

ROOT = Path(__file__).resolve().parents[1]
_WIDTH = 80  # of a terminal
_CELL = 36  # longer cells go on in the next line
_NAMES = ("ID", "OOD", "FPR95", "AUROC", "AP", "AP50", "VOC07", "M", "CSP", "SHA256")
_TITLES = {name.lower(): name for name in _NAMES}
_MARKER = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)


@dataclass(frozen=True)
class Table:
    """Cells as text; the first ``labels`` columns say which row it is."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    labels: int


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file; ``x_std`` is put into ``x``, as in ``80.4±3.1``.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        names = ", ".join(sorted(one.stem for one in (ROOT / "results").glob("*.csv")))
        raise FileNotFoundError(f"{path} does not exist; the folder results/ has {names}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for key in [key for key in row if key.endswith("_std")]:
            std = row.pop(key)
            row[key.removesuffix("_std")] += f"±{std}" if std else ""
    return rows


def choose(rows: Sequence[dict], where: Mapping[str, str], source: str) -> list[dict]:
    """The rows with these values.

    Raises:
        ValueError: there is no such column, or no such row.
    """
    strange = next((key for key in where if key not in rows[0]), None)
    if strange is not None:
        raise ValueError(f"{source} has no column {strange!r}; it has {', '.join(rows[0])}")
    found = [row for row in rows if all(row[key] == value for key, value in where.items())]
    if not found:
        asked = ", ".join(f"{key}={value}" for key, value in where.items())
        raise ValueError(f"{source} has no row with {asked}")
    return found


def whole_file(path: Path, where: Mapping[str, str] | None = None) -> Table:
    """All rows of a file, or those with the given values; empty columns are left out."""
    rows = choose(read_rows(path), where or {}, path.name)
    columns = [key for key in rows[0] if any(row[key] for row in rows)]
    words = [any(row[key] and not _is_number(row[key]) for row in rows) for key in columns]
    labels = words.index(False) if False in words else len(words)
    return Table(path.stem, columns, [[row[key] for key in columns] for row in rows], labels)


def table_of(name: str) -> Table:
    """A table of ``tables.yaml``, or a whole file.

    Raises:
        ValueError: a row of ``tables.yaml`` is not exactly one row of its file.
    """
    views = yaml.safe_load((ROOT / "results/tables.yaml").read_text(encoding="utf-8"))
    if name not in views:
        return whole_file(ROOT / f"results/{name}.csv")
    view = views[name]
    rows = []
    for title, *values in view["rows"]:
        where = view["where"] | dict(zip(view["keys"], values, strict=True))
        path = ROOT / f"results/{where.pop('file')}.csv"
        found = choose(read_rows(path), where, f"{path.name} (table {name!r}, row {title!r})")
        if len(found) > 1:
            raise ValueError(f"table {name!r}, row {title!r}: {path.name} has {len(found)} of it")
        rows.append([title, *(found[0][key] for key in view["columns"])])
    return Table(name, ["", *view["columns"]], rows, labels=1)


def to_markdown(table: Table) -> str:
    """The table in Markdown."""
    rules = ["---"] * table.labels + ["---:"] * (len(table.columns) - table.labels)
    lines = [[_title(column) for column in table.columns], *table.rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in lines]
    lines.insert(1, "|" + "|".join(rules) + "|")
    return re.sub(r" {2,}\|", " |", "\n".join(lines)) + "\n"


def to_text(table: Table) -> str:
    """The table for a terminal: at most 80 columns wide, in blocks, nothing cut off.

    Leading labels become headings until the others leave room for numbers.
    """
    widths = [min(_CELL, max(map(len, column))) for column in zip(*table.rows, strict=True)]
    heads = 0
    while heads < table.labels - 1 and sum(widths[heads : table.labels]) > _WIDTH // 2:
        heads += 1
    lines = [table.title, "=" * len(table.title)]
    for head, rows in groupby(table.rows, key=lambda row: row[:heads]):
        if heads:
            named = zip(table.columns, head, strict=False)
            lines += ["", ", ".join(f"{_title(key)}: {value or '-'}" for key, value in named)]
        lines += _blocks(table, list(rows), heads)
    return "\n".join(lines) + "\n"


def fill(text: str) -> str:
    """A page with its tables written anew."""
    return _MARKER.sub(lambda found: found[1] + to_markdown(table_of(found[2])) + found[3], text)


def _blocks(table: Table, rows: list[list[str]], first: int) -> list[str]:
    """Lines of a section: label columns are repeated in front of as many others as fit."""
    shown = [i for i in range(first, len(table.columns)) if any(row[i] for row in rows)]
    widths = {}
    for i in shown:
        longest_word = max(map(len, _title(table.columns[i]).split() or [""]))
        widths[i] = max(longest_word, min(_CELL, max(len(row[i]) for row in rows)))
    labels = [i for i in shown if i < table.labels]
    left = _WIDTH - sum(widths[i] + 2 for i in labels)
    blocks, room = [[]], left
    for i in (i for i in shown if i >= table.labels):
        if room < widths[i] and blocks[-1]:
            blocks.append([])
            room = left
        blocks[-1].append(i)
        room -= widths[i] + 2
    lines = []
    for block in blocks:
        columns = labels + block
        head = [_title(table.columns[i]) for i in columns]
        width = [widths[i] for i in columns]
        lines += ["", *_lines(head, width, len(labels))]
        lines.append("  ".join("-" * one for one in width))
        for row in rows:
            lines += _lines([row[i] for i in columns], width, len(labels))
    return lines


def _lines(cells: Iterable[str], widths: list[int], labels: int) -> list[str]:
    """One row, with as many lines as its longest cell needs; numbers stand at the right."""
    parts = [wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for k in range(max(map(len, parts))):
        texts = [part[k] if k < len(part) else "" for part in parts]
        texts = [
            text.ljust(width) if i < labels or width == _CELL else text.rjust(width)
            for i, (text, width) in enumerate(zip(texts, widths, strict=True))
        ]
        lines.append("  ".join(texts).rstrip())
    return lines


def _title(column: str) -> str:
    return " ".join(_TITLES.get(word, word) for word in column.split("_"))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d+)?(±\d+(\.\d+)?)?", text) is not None


@dataclass(frozen=True)
class RenderOptions(Options):
    """Print measured results, or fill them into docs."""

    files: tuple[str, ...] = option((), help="of results/ (default: all)", positional=True)
    where: tuple[str, ...] = option((), help="rows", metavar="COLUMN=VALUE")
    markdown: bool = option(False, help="print Markdown")
    fill: bool = option(False, help="write the tables of README and docs")
    check: bool = option(False, help="exit code 1 if a table is not so")


@user_errors
def main() -> int:
    """Print, fill or check."""
    args = RenderOptions.parse()
    if args.fill or args.check:
        old = []
        for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
            text = page.read_text(encoding="utf-8")
            if fill(text) != text:
                old.append(page)
                if args.fill:
                    write_text(page, fill(text))
        for page in old:
            done = "filled" if args.fill else "out of date, run tools/render_results.py --fill"
            print(f"{page.relative_to(ROOT)}: {done}")
        return int(bool(old) and not args.fill)
    strange = next((text for text in args.where if "=" not in text), None)
    if strange is not None:
        raise ValueError(f"--where: expected COLUMN=VALUE, got {strange!r}")
    where = dict(text.split("=", 1) for text in args.where)
    for path in map(Path, args.files or sorted((ROOT / "results").glob("*.csv"))):
        table = whole_file(path, where)
        print(to_markdown(table) if args.markdown else to_text(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
