"""Tables of re-scored runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from negas.evaluation.provenance import MAPS, leaks_of
from negas.evaluation.recorded import MODEL_BANK, RESERVED_BANKS, Recorded
from negas.evaluation.result_files import SCORES_FILE
from negas.evaluation.run import MAIN_SCORES
from negas.files import write_json, write_text

from . import columns
from .columns import COLUMNS, CONTROLS, OF_SET, OPEN_SET, Block, score_title
from .few import boxes_of, few_note, interval_values
from .headline import headline
from .long_rows import long_rows, paired_rows, write_long
from .methods import same_boxes
from .objects import object_values, oscr_table, state_tables, with_intervals
from .owod import owod_table
from .table import Column, Row, Section, Stat, Table, headline_first, to_markdown
from .unknown import unknown_table

_CUT = ("cut", "cut_rule", "cut_source")  # two rules may give one number


def score_tables(report: dict) -> list[Table]:
    """One table per run, preset and cut; open-set and paired tables where there are any.

    The headline is the last one.
    """
    tables = []
    for run in report["runs"]:
        for i, rows in enumerate(_grouped(run["rows"], ("preset", *_CUT))):
            tables.append(main := _main(run, rows))
            sets = list(dict.fromkeys(row["ood_set"] for row in rows))
            if i == 0:  # these look at all boxes, so they are the same for all presets and cuts
                title = f"{run['name']}: objects at equal recall of known ones"
                found = [oscr_table(title, main.sections, sets)]
                found.append(unknown_table(run["name"], run.get("unknown") or {}))
                tables += [table for table in found if table]
            title = f"{run['name']}: objects at the cut {rows[0]['cut']:.4f}"
            tables += state_tables(title, main.sections, sets)
            if any("open_set" in row for row in rows):
                tables.append(_open_set(run, rows))
            if any("owod" in row for row in rows):
                labelled = [(_label([row]), row) for row in rows]
                tables.append(owod_table(f"{run['name']}: ", [[labelled]]))
    for runs in _grouped(report["paired"], ("run", "other")):
        for rows in _grouped(runs, ("preset", *_CUT)):
            cuts = f"; cuts {rows[0]['cut']:.4f} and {rows[0]['other_cut']:.4f}."
            tables.append(_paired(rows, f"preset {rows[0]['preset']}", ("fpr95", "auroc"), cuts))
        rows = [row for row in rows if "oscr" in row]  # these are the same for all presets
        if rows:
            title = "objects at equal recall of known ones"
            tables.append(_paired(rows, title, ("oscr", "taken_at_60"), ", all recorded boxes."))
    if found := _headline(report):
        tables.append(found)
    return tables


def _headline(report: dict) -> Table | None:
    """The first preset's numbers of the scores that were asked for, else of the main ones."""
    asked = report.get("settings", {}).get("scores")
    rows, states, sets, fits, title = [], [], [], [], ""
    for run in report["runs"]:
        main = (*MAIN_SCORES, (run.get("run") or {}).get("score"))
        of_bank = [row for row in run["rows"] if row["bank"] in RESERVED_BANKS]
        of_main = [row for row in of_bank if row["score"] in main]
        of_run = of_bank if asked else of_main or of_bank
        groups = _grouped(of_run, ("preset", *_CUT))
        called = run["name"] if len(report["runs"]) > 1 else ""
        maps = {key: _stat(value) for key, value in run["map"].items() if key in MAPS}
        for row in _main_rows(groups[0], called) if groups else ():
            rows.append(row if row.control else replace(row, values=maps | row.values))
        with_states = [group for group in groups if any("objects" in row for row in group)]
        states += _main_rows(with_states[0], called) if with_states else []
        sets += [row["ood_set"] for row in of_run]
        fits += of_run
        title = title or (Block.of(groups[0][0]).title if groups else "")
    if not rows:
        return None
    name = report["runs"][0]["name"] if len(report["runs"]) == 1 else f"{len(report['runs'])} runs"
    table = headline(f"{name}; {title}", rows, states, list(dict.fromkeys(sets)))
    return replace(table, notes=[*table.notes, *columns.fit_notes(fits)])


def run_tables(run: Recorded) -> list[Table]:
    """One table per preset that a test was run with: its scores with the model's bank, controls."""
    banks = run.results["banks"]
    described = dict(
        name=run.name,
        rows=[row for row in run.tested_rows if row["bank"] in RESERVED_BANKS],
        map=run.results["map"],
        leaks={MODEL_BANK: leaks_of(banks[MODEL_BANK])} if MODEL_BANK in banks else {},
        unknown=run.results.get("unknown"),
        run=run.info,
    )
    return score_tables(dict(runs=[described], paired=[]))


def _main(run: dict, rows: list[dict]) -> Table:
    sets = list(dict.fromkeys(row["ood_set"] for row in rows))
    shown = []
    for name in sets:
        shown += [columns.per_set(name, key) for key in OF_SET]
    shown += [COLUMNS["tpr"], columns.counts(sets)]
    first = rows[0]
    made = _main_rows(rows)
    section = Section("scores", made)
    # a set without samples has no intervals; the others keep theirs
    shown = with_intervals(shown, [section], [column.key for column in shown])
    notes = [columns.PERCENT, columns.FPR95, *few_note(boxes_of(made, sets))]
    if maps := _maps(run):
        notes.append(maps)
    drawn = max((row.get("draws", 0) for row in rows), default=0)
    if drawn:
        notes.append(columns.ROTATED.replace("several", str(drawn)))
    if any(row["control"] == "no_leaks" for row in rows):
        notes.append(columns.NO_LEAKS)
    notes += columns.fit_notes(rows)
    if intervals := [row["interval"] for row in rows if row["interval"]]:
        level, draws = intervals[0]["level"], intervals[0]["num_draws"]
        notes.append(f"Intervals: {100 * level:.0f}%, {draws} draws of whole images.")
    if first["pair_floor"] is not None:
        notes.append(f"A box counts once for each label over {first['pair_floor']}.")
    used = dict.fromkeys(row["bank"] for row in rows)
    for bank, named in run["leaks"].items():
        if bank in used:
            found = ", ".join(f"{name} {len(words)}" for name, words in named.items())
            notes.append(f"Negatives of the bank {bank} that name an OOD class: {found}.")
    return Table(
        title=f"{run['name']}; {Block.of(first).title}; "
        f"cut {first['cut']:.4f} ({first['cut_source']})",
        columns=shown,
        sections=[section],
        notes=notes,
    )


def _main_rows(rows: Sequence[dict], run: str = "") -> list[Row]:
    """A row for each score and bank, its controls below it; called by the run's name, if given."""
    made = [
        _control(same) if same[0]["control"] != "none" else Row(_label(same), _values(same))
        for score in _grouped(rows, ("score", "bank"))
        for same in _grouped(score, ("control",))
    ]
    return [replace(row, label=f"{run}: {row.label}") for row in made] if run else made


def _maps(run: dict) -> str:
    """One line with mAP (ID) under its names."""
    found = {key: value for key in MAPS if (value := run["map"].get(key)) is not None}
    text = ", ".join(f"{COLUMNS[key].title} {100 * value:.1f}" for key, value in found.items())
    computed = [COLUMNS[key].title for key in run.get("map_from_records", ())]
    if computed:
        text += f" ({', '.join(computed)} from the records, one label per box)"
    return f"{text}." if text else ""


def _control(rows: Sequence[dict]) -> Row:
    label = f"{_label(rows)}, {CONTROLS[rows[0]['control']]}"
    return Row(label, same_boxes(_values(rows)), control=True)


def _values(rows: Sequence[dict]) -> dict[str, Stat]:
    """Numbers of one score on all OOD sets."""
    values = dict(tpr=_stat(rows[0]["tpr"]), num_id=Stat(rows[0]["num_id"]))
    for row in rows:
        name = row["ood_set"]
        for key in (*OF_SET, "num_ood"):
            std = row.get(f"{key}_std")
            values[f"{name}/{key}"] = _stat(row[key], std, row.get("draws", 1))
        more = object_values(row) | interval_values(row)
        values |= {key: Stat(number) for key, number in more.items()}
    return values


def _open_set(run: dict, rows: list[dict]) -> Table:
    sections = []
    for same in _grouped([row for row in rows if "open_set" in row], ("ood_set",)):
        made = [row for each in same for row in open_set_rows(_label([each]), each)]
        sections.append(Section(f"ID + {same[0]['ood_set']}", made))
    title = f"{run['name']}: open set, preset {rows[0]['preset']}, cut {rows[0]['cut']:.4f}"
    notes = [columns.OPEN_SET_NOTE]
    if any("open_set_with_words" in row for row in rows):
        notes.append(columns.WITH_WORDS_NOTE)
    return Table(title, [COLUMNS[key] for key in OPEN_SET], sections, notes)


def open_set_rows(label: str, row: Mapping[str, Mapping]) -> list[Row]:
    """Rows of one score: ``open_set`` and, where there is any, ``open_set_with_words``."""
    rows = [Row(label, open_set_values(row["open_set"]))]
    if more := row.get("open_set_with_words"):
        rows.append(Row(f"{label} {columns.WITH_WORDS}", open_set_values(more)))
    return rows


def open_set_values(numbers: Mapping[str, float | None]) -> dict[str, Stat]:
    """Cells of the columns :data:`~.columns.OPEN_SET`, from an ``open_set_row``."""
    return {key: _stat(numbers[key]) for key in OPEN_SET}


def _paired(rows: list[dict], title: str, keys: tuple[str, str], end: str) -> Table:
    shown = []
    for key in keys:
        shown += [Column(key, f"{COLUMNS[key].title} difference"), Column.interval(key)]
    sections = []
    for same in _grouped(rows, ("ood_set",)):
        made = []
        for row in same:
            values = {}
            for key in keys:
                values[key] = _stat(row[key]["value"])
                values |= {f"{key}_{end}": _stat(row[key][end]) for end in ("low", "high")}
            made.append(Row(_label([row]), values))
        sections.append(Section(same[0]["ood_set"], made))
    first = rows[0]
    signs = " and ".join(
        f"{COLUMNS[key].title} {'below' if COLUMNS[key].better == 'lower' else 'above'} 0"
        for key in keys
    )
    notes = [
        f"In points of percent. {signs}: the first run is better; an interval that holds 0 is no "
        "finding.",
        f"{100 * first['level']:.0f}% intervals, {first['num_draws']} draws of images, the same "
        f"ones for both runs{end}",
    ]
    return Table(f"{first['run']} minus {first['other']}: {title}", shown, sections, notes)


def _grouped(rows: Sequence[dict], keys: tuple[str, ...]) -> list[list[dict]]:
    """Rows with equal values of the keys, in order of appearance."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(groups.values())


def _label(rows: Sequence[dict]) -> str:
    bank = rows[0]["bank"]
    return score_title(rows[0]["score"]) + (
        "" if bank in ("none", MODEL_BANK) else f", bank {bank}"
    )


def _stat(value: float | None, std: float | None = None, draws: int = 1) -> Stat:
    return Stat(float("nan") if value is None else float(value), std or 0.0, draws)


def write_scores(out: str | Path, report: dict) -> list[Path]:
    """Write ``ood_scores.json`` and its tables, ``ood_scores.md``; returns the paths."""
    folder = Path(out)
    write_json(folder / SCORES_FILE, report)
    tables = headline_first(score_tables(report))
    text = "\n".join(["# OOD scores", "", *[to_markdown(table) for table in tables]])
    write_text(folder / "ood_scores.md", text)
    return [folder / SCORES_FILE, folder / "ood_scores.md"]


def write_score_rows(path: str | Path, report: dict) -> None:
    """Write all numbers of a report in rows of their own, see :mod:`.long_rows`."""
    rows = [
        row
        for run in report["runs"]
        for row in long_rows(
            *(run["name"], str(run["path"]), run["seeds"].get("run"), run["rows"], run["map"]),
            run.get("unknown"),
        )
    ]
    write_long(path, [*rows, *paired_rows(report["paired"])])
