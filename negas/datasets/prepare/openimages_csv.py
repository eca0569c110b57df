"""The csv files of Open Images as streams: 14 million rows, a few at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

_ROWS_PER_UPDATE = 1 << 16


def read_rows(path: Path, columns: Sequence[str], source: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and the wanted columns of every row.

    Raises:
        ValueError: a column is missing, or a row has another number of columns than the header.
    """
    with path.open("rb") as raw:
        bar = tqdm(
            total=path.stat().st_size,
            desc=path.name,
            unit="B",
            unit_scale=True,
            leave=False,
            delay=2,
        )
        with bar, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text)
            header = next(reader, [])
            lost = [column for column in columns if column not in header]
            if lost:
                raise ValueError(
                    f"{str(path)!r} has no column {lost[0]!r}; expected the official file {source}."
                )
            wanted = [header.index(column) for column in columns]
            try:
                for row in reader:
                    if len(row) != len(header):
                        raise ValueError(
                            f"{str(path)!r}, line {reader.line_num}: {len(row)} columns where the "
                            f"header has {len(header)}; the file may be cut short, get it again."
                        )
                    yield reader.line_num, [row[i] for i in wanted]
                    if not reader.line_num % _ROWS_PER_UPDATE:
                        bar.update(raw.tell() - bar.n)
            except (csv.Error, UnicodeDecodeError) as error:
                raise ValueError(
                    f"{str(path)!r}, line {reader.line_num}: no csv text ({error}); get it again."
                ) from error


def image_key(text: str, path: Path, line: int) -> int:
    """An image id (16 hexadecimal digits) as a number, which takes half of the memory.

    Raises:
        ValueError: it is no such id.
    """
    try:
        if len(text) == 16:
            return int(text, 16)
    except ValueError:
        pass
    raise ValueError(f"{str(path)!r}, line {line}: image id {text!r} is not 16 hexadecimal digits.")


def image_name(key: int) -> str:
    """The id that :func:`image_key` read."""
    return f"{key:016x}"
