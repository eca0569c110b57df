"""From a table's rows to runs, and what must be there before the first of them starts."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import Config
from mmengine.registry import METRICS, DefaultScope

import negas.register  # noqa: F401
from negas.cli import load_config
from negas.labels.bank import NegativeLabelBank
from negas.labels.names import read_names
from negas.scores import get_score
from negas.shipped import CONFIGS, find, find_bank

from .config_check import check_config
from .seeds import refuse_twice, seeds_of
from .tables import Cell, Table, TableRow, fill
from .train_and_test import (
    SET_ELSEWHERE,
    PlannedRun,
    annotation_file,
    applicable,
    check_overrides,
    walk,
)

CONFIG_DIR = Path(CONFIGS)
DEFAULT_MODELS = {"emoji-world": "yolo-world-tiny"}
DEFAULT_MODEL = "yolo-world-v2-s"
# METHOD_MODEL_[RECIPE_]DATA
_NAME = re.compile(r"([^_]+)_(?!\d+xb)([^_]+)(?:_\d+xb\d+-\d+e)?_([^_]+)")
_MAKE_DATA = {
    "emoji-world": "make the scenes with: negas emoji-world",
    None: "docs/data.md says how to get the data, data/README.md where weights are from",
}


@dataclass
class PlannedRow:
    """A row with what it takes to fill it.

    Attributes:
        row: of the table.
        cell: what it runs; ``None``: nothing here, its published numbers are all there is.
        runs: one per seed.
        before: runs of other rows whose checkpoints it tests.
        problems: sentences; with any the row cannot be run.
    """

    row: TableRow
    cell: Cell | None
    runs: list[PlannedRun] = field(default_factory=list)
    before: list[PlannedRun] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def model_of(data: str, model: str | None = None) -> str:
    """The model, by default the smallest YOLO-World of a data set."""
    return model or DEFAULT_MODELS.get(data, DEFAULT_MODEL)


def plan_table(
    table: Table,
    data: str,
    model: str,
    seeds: Sequence[int],
    work_dir: Path,
    only: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    config_dir: Path = CONFIG_DIR,
) -> list[PlannedRow]:
    """Plan all rows; nothing is written.

    Args:
        table: of :func:`~.tables.read_table`.
        data: ``voc``, ``bdd100k``, ``emoji-world`` or what else ``config_dir`` has configs for.
        model: as in the configs' names.
        seeds: of the trainings; what trains nothing is run with the first.
        work_dir: a run goes to ``<work_dir>/<config and what the row changes>/seed<k>``, so rows
            and tables share runs.
        only: titles of rows; empty: all.
        overrides: as ``--cfg-options``, for all runs.
        config_dir: where configs are.

    Raises:
        ValueError: an unknown title, data set or model, a seed given twice, an override that fits
            none of the configs, or no row that runs.
    """
    refuse_twice("--seeds", seeds)
    titles = [row.title for row in table.rows]
    for title in only:
        _refuse_other("--rows: the table", "row", title, titles)
    names = config_names(Path(find(config_dir)))
    known = sorted({name.split("_")[2] for name in names})
    _refuse_other(f"--data: {config_dir}", "data set", data, known)
    known = sorted({name.split("_")[1] for name in names if name.endswith(f"_{data}")})
    _refuse_other(f"--model: {data}", "model", model, known)
    chosen = [row for row in table.rows if not only or row.title in only]
    rows = [PlannedRow(row, table.cell(row, data, model)) for row in chosen]
    wanted = {row.cell.config for row in rows if row.cell}
    configs = {name: load_config(str(names[name])) for name in wanted if name in names}
    if configs:
        check_overrides(list(configs.values()), overrides)
    for row in rows:
        if row.cell is None:
            continue
        if row.cell.config in configs:
            place = (names[row.cell.config], configs[row.cell.config])
            _plan_row(row, *place, data, seeds, work_dir, overrides)
        else:
            near = get_close_matches(row.cell.config, names, 1)
            row.problems.append(f"there is no config {row.cell.config!r}{_hint(near)}")
    if not any(row.cell for row in rows):
        raise ValueError(f"no row of the table {table.title!r} is for {data} with {model}")
    return rows


def runs_of(rows: Sequence[PlannedRow]) -> list[PlannedRun]:
    """The runs that fill the rows, each once, those first whose checkpoints others need."""
    runs: dict[Path, PlannedRun] = {}
    for row in rows:
        for run in (*row.before, *row.runs):
            runs.setdefault(run.folder, run)
    return list(runs.values())


def config_names(config_dir: Path) -> dict[str, Path]:
    """Configs by their names without the recipe: ``negas_yolo-world-v2-s_voc``."""
    found = ((_NAME.fullmatch(path.stem), path) for path in sorted(config_dir.glob("*.py")))
    return {"_".join(match.groups()): path for match, path in found if match}


def _refuse_other(where: str, what: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        near = get_close_matches(given, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
        raise ValueError(f"{where} has no {what} {given!r}; {hint}")


def _plan_row(
    planned: PlannedRow,
    path: Path,
    cfg: Config,
    data: str,
    seeds: Sequence[int],
    work_dir: Path,
    overrides: Mapping[str, Any] | None,
) -> None:
    cell, problems = planned.cell, planned.problems
    settings = dict(cell.overrides)
    if cell.bank:
        places = dict(data=data, num=cell.num, bank=cell.bank, config=path)
        command = fill(cell.bank_command, places)
        try:
            settings["model.neg_labels"] = labels_of(cell, cfg, command)
        except (OSError, ValueError) as error:
            problems.append(str(error))
            settings["model.neg_labels"] = f"{cell.bank}, the first {cell.num}"
    elif cell.num:
        problems.append(f"num={cell.num} takes the first labels of a bank, and there is no 'bank'")
    try:
        get_score(cell.score or "negs")
    except (KeyError, ValueError) as error:
        problems.append(f"score: {error.args[0]}")
    given = {**settings, **cell.test_overrides}
    wrong = [f"{key!r} {why}" for key in given if (why := unknown_setting(cfg, key, given))]
    problems += wrong
    if wrong:
        return
    for run_settings in (settings, given):
        try:
            check_config(PlannedRun(path, work_dir, "", seeds[0], run_settings).load(overrides))
        except ValueError as error:
            problems.append(str(error))
            return
    settings = changed(cfg, settings)
    folder = work_dir / run_name(path, settings)
    planned.runs = seeds_of(path, cfg, seeds, folder, planned.row.title, settings)
    if cell.test_overrides:
        planned.before = planned.runs
        more = {**settings, **changed(cfg, cell.test_overrides)}
        folder = work_dir / run_name(path, more)
        planned.runs = [
            replace(run, folder=folder / run.folder.name, settings=more, weights_of=run.folder)
            for run in planned.before
        ]
    final = deepcopy(cfg)
    final.merge_from_dict({**settings, **applicable(cfg, overrides or {})})
    if missing := list(missing_files(final)):
        hint = _MAKE_DATA.get(data, _MAKE_DATA[None])
        problems.append(f"missing: {', '.join(missing)}; {hint}")


def labels_of(cell: Cell, cfg: Config, command: str | None) -> str | list[str]:
    """``model.neg_labels`` of a row with a bank: the bank, or its first ``num`` labels.

    Raises:
        FileNotFoundError: there is no bank; the sentence has the command that makes it.
        ValueError: it cannot be read, is of other ID labels or has too few labels.
    """
    if not Path(find_bank(cell.bank)).is_file():
        hint = f"; make it with: {command}" if command else ""
        raise FileNotFoundError(f"the bank {cell.bank!r} does not exist{hint}")
    names = read_names(cfg.model.class_names, "model.class_names")
    bank = NegativeLabelBank.load(cell.bank, names)
    if cell.num in (None, len(bank)):
        return cell.bank
    try:
        return list(bank.top(cell.num).neg_labels)
    except ValueError as error:
        raise ValueError(f"{cell.bank}: {error}") from error


def changed(cfg: Config, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from the config's, so that equal runs are one run."""
    found = {}
    for key, value in settings.items():
        node = cfg._cfg_dict.to_dict()
        for part in key.split("."):
            node = node.get(part, found) if isinstance(node, dict) else found
        if node is found or node != value:
            found[key] = value
    return found


def run_name(config: Path, settings: Mapping[str, Any]) -> str:
    """A folder's name: the config, and what is changed."""
    parts = [config.stem]
    for key, value in settings.items():
        text = str(value).replace(os.sep, "-")
        if isinstance(value, list | dict) or len(text) > 40:
            text = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]
        parts.append(f"{key.removeprefix('model.')}={text}")
    return ",".join(parts)


def unknown_setting(cfg: Config, key: str, settings: Mapping[str, Any]) -> str | None:
    """Why a setting cannot be one of the config: ``None`` if it can.

    It can where the config has it, or where its section's type takes an argument of this name.
    """
    if key in SET_ELSEWHERE:
        return f"is set by {SET_ELSEWHERE[key]}"
    parts = key.split(".")
    node: Any = cfg._cfg_dict
    for part in parts[:-1]:
        found = node.get(part) if isinstance(node, Mapping) else None
        if not isinstance(found, Mapping):
            near = get_close_matches(part, list(node), 1)
            return f"is no setting of the config: there is no section {part!r}" + _hint(near)
        node = found
    section = ".".join(parts[:-1])
    known = {*node, *_arguments(settings.get(f"{section}.type", node.get("type")))}
    if parts[-1] in known:
        return None
    return f"is no setting of {section or 'the config'}" + _hint(
        get_close_matches(parts[-1], sorted(known), 1)
    )


def _hint(near: Sequence[str]) -> str:
    return f"; did you mean {near[0]!r}?" if near else ""


def _arguments(kind: object) -> set[str]:
    """Names of the arguments of a registered type, its parents' included."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        found = [registry.get(kind) for registry in (MODELS, TASK_UTILS, METRICS) if kind]
    return {
        name
        for cls in found
        if inspect.isclass(cls)
        for parent in cls.__mro__
        if "__init__" in vars(parent) and parent is not object
        for name in inspect.signature(parent.__init__).parameters
    }


def missing_files(cfg: Config) -> Iterator[str]:
    """Annotation files, image folders and weights that a config names and that are not there."""
    seen = set()
    keys = ("train_dataloader", "val_dataloader", "test_dataloader", "test_cfg")
    paths = [cfg.model.get("base_checkpoint")]
    for node in walk([cfg.get(key) for key in keys]):
        if file := annotation_file(node):
            images = (node.get("data_prefix") or {}).get("img", "")
            paths += [str(file), str(Path(node.get("data_root") or "") / images)]
    for path in paths:
        if path and path not in seen and not Path(path).exists():
            yield path
        seen.add(path)
