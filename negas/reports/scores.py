"""Tables of re-scored dumps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from negas.evaluation.provenance import MAPS, write_results
from negas.files import write_atomically

from .methods import CONTROLS, MAP_NAMES, NO_LEAKS, ROTATED, per_set, score_name
from .table import Column, Row, Section, Stat, Table, to_markdown

_NOTE = (
    "FPR95 (lower is better) and AUROC in percent; ID is the positive class. FPR95 keeps at least "
    "95% of the ID samples; FPR95 closest takes the recall closest to 95%, the rule of VOS's code."
)
OPEN_SET_NOTE = (
    "Open set: ID images and OOD images together; a box is unknown below tau, the score that keeps "
    "95% of the ID samples. A-OSE and nOSE grow with the number of boxes: compare them at one cut."
)
OPEN_SET_COLUMNS = [
    Column("a_ose", "A-OSE", "lower", percent=False),
    Column("nose", "nOSE", "lower", percent=False, digits=3),
    Column("nose_unique", "nOSE unique", "lower"),
    Column("wi", "WI@0.8", "lower", percent=False, digits=3),
    Column("ap_known", "AP known", "higher"),
    Column("ap_unknown", "AP_U unknown", "higher"),
    Column("recall_unknown", "U-Recall", "higher"),
    Column("precision_unknown", "P_U unknown", "higher"),
    Column("num_unknown", "unknown objects", percent=False),
]
_SAMPLES = {
    "vos": "every box over the cut is a sample",
    "matched": "boxes on annotated objects are samples",
}


def score_tables(report: dict) -> list[Table]:
    """One table per dump, preset and cut; open-set and paired tables where there are any."""
    tables = []
    for dump in report["dumps"]:
        for rows in _grouped(dump["rows"], ("preset", "cut")):
            tables.append(_main(dump, rows))
            if any("open_set" in row for row in rows):
                tables.append(_open_set(dump, rows))
    for rows in _grouped(report["paired"], ("run", "other", "preset", "cut")):
        tables.append(_paired(rows))
    return tables


def _main(dump: dict, rows: list[dict]) -> Table:
    sets = list(dict.fromkeys(row["ood_set"] for row in rows))
    columns = []
    for name in sets:
        # a set without samples has no intervals; the others keep theirs
        has_interval = any(row["interval"] for row in rows if row["ood_set"] == name)
        columns.append(Column(f"{name}/fpr95", f"{name} FPR95", "lower"))
        if has_interval:
            columns.append(Column(f"{name}/fpr95_low", "interval", more=(f"{name}/fpr95_high",)))
        columns.append(Column(f"{name}/fpr95_closest", "FPR95 closest", "lower"))
        columns.append(Column(f"{name}/auroc", f"{name} AUROC", "higher"))
        if has_interval:
            columns.append(Column(f"{name}/auroc_low", "interval", more=(f"{name}/auroc_high",)))
    columns.append(Column("tpr", "TPR"))
    counts = tuple(f"{name}/num_ood" for name in sets)
    columns.append(Column("num_id", "boxes " + "/".join(["ID", *sets]), percent=False, more=counts))
    first = rows[0]
    made = [
        _control(same) if same[0]["control"] != "none" else Row(_label(same), _values(same))
        for score in _grouped(rows, ("score", "bank"))
        for same in _grouped(score, ("control",))
    ]
    notes = [_NOTE]
    if maps := _maps(dump):
        notes.append(maps)
    drawn = max((row.get("draws", 0) for row in rows), default=0)
    if drawn:
        notes.append(ROTATED.replace("several", str(drawn)))
    if any(row["control"] == "no_leaks" for row in rows):
        notes.append(NO_LEAKS)
    if intervals := [row["interval"] for row in rows if row["interval"]]:
        level, draws = intervals[0]["level"], intervals[0]["num_draws"]
        notes.append(f"Intervals: {100 * level:.0f}%, {draws} draws of whole images.")
    if first["pair_floor"] is not None:
        notes.append(f"A box counts once for each label over {first['pair_floor']}.")
    used = dict.fromkeys(row["bank"] for row in rows)
    for bank, named in dump["leaks"].items():
        if bank in used:
            found = ", ".join(f"{name} {len(words)}" for name, words in named.items())
            notes.append(f"Negatives of the bank {bank} that name an OOD class: {found}.")
    return Table(
        title=f"{dump['name']}: preset {first['preset']}, {_SAMPLES[first['protocol']]}, "
        f"cut {first['cut']:.4f} ({first['cut_source']})",
        columns=columns,
        sections=[Section("scores", made)],
        notes=notes,
    )


def _maps(dump: dict) -> str:
    """One line with mAP (ID) under its names."""
    found = {key: value for key in MAPS if (value := dump["map"].get(key)) is not None}
    text = ", ".join(f"{MAP_NAMES[key]} {100 * value:.1f}" for key, value in found.items())
    computed = [MAP_NAMES[key] for key in dump.get("map_from_records", ())]
    if computed:
        text += f" ({', '.join(computed)} from the records, one label per box)"
    return f"{text}." if text else ""


def _control(rows: Sequence[dict]) -> Row:
    label = f"{_label(rows)}, {CONTROLS[rows[0]['control']]}"
    return Row(label, per_set(_values(rows)), control=True)


def _values(rows: Sequence[dict]) -> dict[str, Stat]:
    """Numbers of one score on all OOD sets."""
    values = dict(tpr=_stat(rows[0]["tpr"]), num_id=Stat(rows[0]["num_id"]))
    for row in rows:
        name = row["ood_set"]
        for key in ("fpr95", "fpr95_closest", "auroc", "num_ood"):
            std = row.get(f"{key}_std")
            values[f"{name}/{key}"] = _stat(row[key], std, row.get("draws", 1))
        for key in ("fpr95", "auroc"):
            for end in ("low", "high") if row["interval"] else ():
                values[f"{name}/{key}_{end}"] = _stat(row["interval"][key][end])
    return values


def _open_set(dump: dict, rows: list[dict]) -> Table:
    sections = []
    for same in _grouped([row for row in rows if "open_set" in row], ("ood_set",)):
        made = [Row(_label([row]), open_set_values(row["open_set"])) for row in same]
        sections.append(Section(f"ID + {same[0]['ood_set']}", made))
    title = f"{dump['name']}: open set, preset {rows[0]['preset']}, cut {rows[0]['cut']:.4f}"
    return Table(title, OPEN_SET_COLUMNS, sections, [OPEN_SET_NOTE])


def open_set_values(numbers: Mapping[str, float | None]) -> dict[str, Stat]:
    """Cells of :data:`OPEN_SET_COLUMNS`, from what :func:`~.score_open_set.open_set_row` gives."""
    return {column.key: _stat(numbers[column.key]) for column in OPEN_SET_COLUMNS}


def _paired(rows: list[dict]) -> Table:
    columns = []
    for key, title in (("fpr95", "FPR95"), ("auroc", "AUROC")):
        columns.append(Column(key, f"{title} difference"))
        columns.append(Column(f"{key}_low", "interval", more=(f"{key}_high",)))
    sections = []
    for same in _grouped(rows, ("ood_set",)):
        made = []
        for row in same:
            values = {}
            for key in ("fpr95", "auroc"):
                values[key] = _stat(row[key]["value"])
                values |= {f"{key}_{end}": _stat(row[key][end]) for end in ("low", "high")}
            made.append(Row(_label([row]), values))
        sections.append(Section(same[0]["ood_set"], made))
    first = rows[0]
    notes = [
        "In points of percent. FPR95 below 0 and AUROC above 0: the first run is better; an "
        "interval that holds 0 is no finding.",
        f"{100 * first['level']:.0f}% intervals, {first['num_draws']} draws of images, the same "
        f"ones for both runs; cuts {first['cut']:.4f} and {first['other_cut']:.4f}.",
    ]
    title = f"{first['run']} minus {first['other']}: preset {first['preset']}"
    return Table(title, columns, sections, notes)


def _grouped(rows: Sequence[dict], keys: tuple[str, ...]) -> list[list[dict]]:
    """Rows with equal values of the keys, in order of appearance."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(groups.values())


def _label(rows: Sequence[dict]) -> str:
    bank = rows[0]["bank"]
    return score_name(rows[0]["score"]) + ("" if bank in ("none", "own") else f", bank {bank}")


def _stat(value: float | None, std: float | None = None, draws: int = 1) -> Stat:
    return Stat(float("nan") if value is None else float(value), std or 0.0, draws)


def write_scores(out: str | Path, report: dict) -> list[Path]:
    """Write ``ood_scores.json`` and its tables, ``ood_scores.md``; returns the paths."""
    folder = Path(out)
    write_results(folder / "ood_scores.json", report)
    text = "\n".join(["# OOD scores", "", *[to_markdown(table) for table in score_tables(report)]])
    write_atomically(folder / "ood_scores.md", text)
    return [folder / "ood_scores.json", folder / "ood_scores.md"]
