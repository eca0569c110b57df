"""The paper's tables as data: files of ``configs/tables``, read and checked.

A table is a YAML file of rows. A row says which config it runs, what it changes there, which score
it shows and what was published for it::

    title: Mask of the OOD branch's loss (Table 6c)
    source: NegAS, ECCV 2026, Table 6c
    config: negas_{model}_{data}          # of every row that names no other
    rows:
      - title: without mask
        overrides: {model.background.enabled: false}
        published:                        # in percent; a deviation after ±
          voc: {coco: {fpr95: 10.9, auroc: 95.4}, unstated_ap: 72.5 ± 0.1}

Nothing here needs MMDetection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatch
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from negas.evaluation.provenance import PUBLISHED_MAPS
from negas.options import Options, option, refuse_unknown
from negas.shipped import HOME, find
from negas.text import read_text, shown

TABLES = HOME / "configs/tables"
DATA = ("voc", "bdd100k", "emoji-world")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:\s*±\s*(\d+(?:\.\d+)?))?")


@dataclass(frozen=True)
class Number:
    """A published number: a fraction, with its standard deviation where one is printed."""

    mean: float
    std: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cell(Options):
    """What a row runs; a table gives defaults for its rows, a row for its variants."""

    data: tuple[str, ...] = option((), help="data sets it is for; none: all")
    models: tuple[str, ...] = option((), help="models it is for, with *; none: all")
    config: str | None = option(None, help="name of a config without its recipe")
    score: str | None = option(None, help="the score to show (default: negs)")
    overrides: dict[str, Any] = option(factory=dict, help="settings changed, as --cfg-options")
    test_overrides: dict[str, Any] = option(
        factory=dict, help="settings changed in the test alone, of a checkpoint trained without"
    )
    bank: str | None = option(None, help="label bank; {data} and {num} are filled in")
    num: int | None = option(None, ge=1, help="take the first so many labels of the bank")
    bank_command: str | None = option(None, help="the command that makes the bank")

    def fits(self, data: str, model: str) -> bool:
        """Whether it is for this data set and model."""
        fits_model = not self.models or any(fnmatch(model, pattern) for pattern in self.models)
        return (not self.data or data in self.data) and fits_model

    def over(self, base: Cell) -> Cell:
        """This one, with what it leaves open taken from ``base``."""
        merged = {}
        for each in fields(Cell):
            mine, theirs = getattr(self, each.name), getattr(base, each.name)
            merged[each.name] = {**theirs, **mine} if isinstance(mine, dict) else mine or theirs
        return Cell(**merged)


@dataclass(frozen=True, kw_only=True)
class TableRow(Cell):
    """One row."""

    title: str = option(help="what stands in front")
    variants: tuple[dict, ...] = option((), help="the first that fits data and model is merged in")
    published: dict[str, Any] = option(factory=dict, help="numbers in percent, by data set")
    source: str | None = option(None, help="where the published numbers are from")
    note: str | None = option(None, help="for below the table")

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = {}
        for data, values in self.published.items():
            numbers[data] = _numbers(values, f"published.{data}")
        cells = tuple(
            Cell.from_settings(each, f"variant {i}") for i, each in enumerate(self.variants, 1)
        )
        object.__setattr__(self, "numbers", numbers)
        object.__setattr__(self, "cells", cells)


@dataclass(frozen=True, kw_only=True)
class Table(Cell):
    """A table: its rows and what they share."""

    title: str = option(help="heading")
    source: str = option(help="where the published numbers are from")
    published_model: str | None = option(None, help="of the published numbers, if one for all rows")
    note: str | None = option(None, help="for below the table")
    rows: tuple[TableRow, ...] = option(help="the rows")

    def cell(self, row: TableRow, data: str, model: str) -> Cell | None:
        """What a row runs on a data set with a model; ``None``: nothing, or not with these.

        Placeholders in ``config`` and ``bank`` are filled in; those of ``bank_command`` stay.
        """
        found = row.over(self)
        if row.cells:
            variant = next((each for each in row.cells if each.fits(data, model)), None)
            if variant is None:
                return None
            found = variant.over(found) if found.fits(data, model) else found
        if found.config is None or not found.fits(data, model):
            return None
        names = dict(data=data, model=model, num=found.num)
        texts = dict(config=fill(found.config, names), bank=fill(found.bank, names))
        return Cell(**{f.name: getattr(found, f.name) for f in fields(Cell)} | texts)


def read_table(path: str | Path) -> Table:
    """Read a table and check its form; :mod:`.plan` checks what it names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no valid YAML, has an unknown key (the nearest known one is named), a
            value that cannot be, or two rows of one title.
    """
    path = Path(find(path))
    if not path.is_file():
        known = ", ".join(sorted(each.name for each in TABLES.glob("*.yaml")))
        raise FileNotFoundError(f"table {str(path)!r} does not exist; configs/tables has {known}")
    try:
        settings = yaml.load(read_text(path, repr(str(path))), _Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
    given = settings.get("rows") if isinstance(settings, Mapping) else None
    if not isinstance(given, list) or not given:
        raise ValueError(f"{path}: a table is an object with a list of 'rows', as mask.yaml has it")
    rows, titles = [], set()
    for i, each in enumerate(given, 1):
        title = each.get("title") if isinstance(each, Mapping) else None
        row = TableRow.from_settings(
            each, f"{path}: row {title!r}" if title else f"{path}: row {i}"
        )
        if not row.title.strip():
            raise ValueError(f"{path}: row {i}: title is empty; name the row")
        if row.title in titles:
            raise ValueError(f"{path}: two rows have the title {row.title!r}; rename one")
        titles.add(row.title)
        rows.append(row)
    table = Table.from_settings({**settings, "rows": rows}, str(path))
    known = [*DATA, *table.data]
    for row in rows:
        for cell in (row, *row.cells):
            where = f"{path}: row {row.title!r}"
            refuse_unknown([*cell.data, *row.published], known, f"{where}: data")
            try:
                for text in (cell.config, cell.bank, cell.bank_command):
                    fill(text, dict.fromkeys(("data", "model", "num", "config", "bank"), ""))
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
    return table


def fill(text: str | None, names: Mapping[str, object]) -> str | None:
    """A text with its placeholders filled in.

    Raises:
        ValueError: naming a placeholder that is not known.
    """
    if text is None:
        return None
    try:
        for _, name, form, conversion in Formatter().parse(text):
            if name is not None and (name not in names or form or conversion):
                raise ValueError(repr(name))  # format_map would look into what a name stands for
    except ValueError as error:
        known = ", ".join(f"{{{name}}}" for name in names)
        raise ValueError(f"{text!r} has an unknown placeholder ({error}); known: {known}") from None
    return text.format_map(names)


def published_rows(name: str) -> list[dict]:
    """Published rows, for a comparison.

    Args:
        name: a data set of the main table (``voc``, ``bdd100k``), or a table's file, whose rows of
            all data sets are taken.

    Returns:
        Per row ``title``, ``source`` and ``note`` as texts and ``values``: fractions by
        ``<OOD set>/fpr95``, ``<OOD set>/auroc``, a key of ``PUBLISHED_MAPS``, or ``score_thr``.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: as :func:`read_table`, or the main table has nothing of this name.
    """
    is_file = name.endswith((".yaml", ".yml", ".json"))
    table = read_table(name if is_file else TABLES / "main.yaml")
    found = [
        dict(
            title=row.title,
            source=row.source or table.source,
            note=row.note or "",
            values={key: number.mean for key, number in numbers.items()},
        )
        for row in table.rows
        for data, numbers in row.numbers.items()
        if is_file or data == name
    ]
    if not found:
        known = sorted({data for row in table.rows for data in row.numbers})
        hint = (
            "it has no row with published numbers" if is_file else f"choose of {', '.join(known)}"
        )
        raise ValueError(f"--published: there is nothing for {name!r}; {hint}, or give a table")
    return found


def _numbers(values: object, where: str) -> dict[str, Number]:
    """Published numbers by key; an OOD set's stand below its name."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} must be an object, got {shown(values)}")
    found = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            refuse_unknown(value, ("fpr95", "auroc"), f"{where}.{key}")
            for measure, number in value.items():
                found[f"{key}/{measure}"] = _number(number, f"{where}.{key}.{measure}")
        else:
            refuse_unknown([key], (*PUBLISHED_MAPS, "score_thr"), where)
            found[key] = _number(value, f"{where}.{key}", 1 if key == "score_thr" else 100)
    return found


def _number(value: object, where: str, unit: float = 100) -> Number:
    match = _NUMBER.fullmatch(str(value).strip())
    if isinstance(value, bool) or not match or max(map(float, filter(None, match.groups()))) > unit:
        raise ValueError(
            f"{where} must be a number from 0 to {unit}, with its deviation as in '9.9 ± 0.3', got "
            f"{shown(value)}"
        )
    return Number(float(match[1]) / unit, match[2] and float(match[2]) / unit)


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, not the last one's, and a date is a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's
        first: [one for one in found if one[0] != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node, deep=False):
        """See the class."""
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice: Sequence = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]!r} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)
