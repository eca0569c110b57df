"""Results side by side: test runs, re-scored dumps, and published rows marked as such.

Result files of a comparison: finding, reading, and saying what their numbers depend on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from negas.evaluation.provenance import complete, write_results
from negas.evaluation.rescore import KIND
from negas.evaluation.run import RESULTS_FILE, check_scores, read_json, run_name
from negas.files import file_sha256, write_atomically

from .methods import MAP_NAMES, load_run, score_name
from .table import Column, Row, Section, Stat, Table, to_markdown

SCORES_FILE = "ood_scores.json"


def describe_results(paths: Sequence[str | Path]) -> list[dict]:
    """What the numbers of results depend on, and all their rows.

    Args:
        paths: as :func:`~.compare.compare` takes them.

    Returns:
        One description with the sections of :data:`negas.evaluation.provenance.KEYS` per run; a
        file of ``tools/score.py`` has one for each of its dumps.
    """
    described = []
    for path in paths:
        file = result_file(Path(path))
        data = read_json(file)
        for each in data["dumps"] if data.get("kind") == KIND else [data]:
            described.append(complete(each) | dict(file=str(file), file_sha256=file_sha256(file)))
    return described


def write_comparison(out: str | Path, table: Table, paths: Sequence[str | Path]) -> None:
    """Write the table: Markdown, or with a name in ``.json`` also :func:`describe_results`."""
    if Path(out).suffix == ".json":
        data = dict(kind="negas comparison", table=asdict(table), results=describe_results(paths))
        write_results(Path(out), data)
    else:
        write_atomically(out, to_markdown(table))


def result_file(path: Path) -> Path:
    """The result file of a folder, or the file itself.

    Raises:
        FileNotFoundError: there is none, or the folder holds both kinds.
    """
    file = path
    if path.is_dir():
        files = [path / each for each in (RESULTS_FILE, SCORES_FILE) if (path / each).is_file()]
        if len(files) != 1:
            found = "both" if files else "none of them"
            raise FileNotFoundError(
                f"{path}: expected {RESULTS_FILE} or {SCORES_FILE} in this folder, found {found}; "
                "give the work dir of tools/test.py, the --out of tools/score.py, or a file"
            )
        file = files[0]
    if not file.is_file():
        raise FileNotFoundError(f"{path}: no such result; give a folder or file of results")
    return file


PUBLISHED = "published, not run here"
MAPS = MAP_NAMES | {  # published tables mix definitions, so each has a column of its own
    "voc07_style_ap": "ID AP (VOC07 style)",
    "unstated_ap": "ID AP (unstated)",
}


@dataclass(frozen=True)
class Entry:
    """One row of the comparison.

    Attributes:
        section: rows of one section are of one protocol and compete for the bold print.
        label: what stands in front.
        values: fractions by ``<set>/fpr95``, ``<set>/auroc``, ``<set>/num_ood``, keys of
            :data:`MAPS`, ``cut``, ``num_id``.
        note: for below the table.
    """

    section: str
    label: str
    values: dict[str, float]
    note: str = ""


@dataclass(frozen=True)
class Result:
    """One run of a result file: its rows, and what must agree for one table to hold two of them."""

    where: str
    entries: list[Entry]
    id_labels: list[str] | None
    images: dict[str, int]


def compare(
    paths: Sequence[str | Path],
    published: Sequence[Mapping] = (),
    names: Sequence[str] | None = None,
    scores: Sequence[str] | None = None,
) -> Table:
    """One table of several results.

    Args:
        paths: work dirs of ``tools/test.py``, output folders of ``tools/score.py``, or their
            json files.
        published: rows of ``negas.experiments.tables.published_rows``.
        names: what to call the results, one per path.
        scores: labels of the scores to show; ``None``: max sigmoid and NegS.

    Raises:
        FileNotFoundError: a result does not exist.
        ValueError: a file cannot be read, results on other classes or images, none of the scores.
    """
    if names is not None and len(names) != len(paths):
        raise ValueError(f"--names: expected {len(paths)} names, one per result, got {len(names)}")
    wanted = list(scores) if scores else ["max_sigmoid", "negs"]
    results = [
        result
        for i, path in enumerate(paths)
        for result in _read(Path(path), names[i] if names else None, wanted)
    ]
    _check(results)
    entries = [entry for result in results for entry in result.entries]
    if not entries:
        raise ValueError(f"--scores: none of the results has {', '.join(wanted)}")
    entries += [published_entry(row) for row in published]
    sections: dict[str, list[Row]] = {}
    for entry in entries:
        values = {key: Stat(value) for key, value in entry.values.items()}
        label = f"{entry.label} [published]" if entry.section == PUBLISHED else entry.label
        row = Row(label, values, control=entry.section == PUBLISHED)
        sections.setdefault(entry.section, []).append(row)
    notes = [
        "In percent; ID is the positive class. FPR95 (lower is better) by the rule of the section. "
        "Best of each section in bold."
    ]
    if published:
        notes.append(
            "Published rows were not run here: other detectors, cuts, NMS and AP definitions."
        )
    notes += [f"{entry.label}: {entry.note}." for entry in entries if entry.note]
    return Table(
        title="Comparison",
        columns=_columns(entries),
        sections=[Section(title, rows) for title, rows in sections.items()],
        notes=notes,
    )


def published_entry(row: Mapping) -> Entry:
    """The entry of a published row, as ``negas.experiments.tables.published_rows`` gives it."""
    values = {"cut" if key == "score_thr" else key: x for key, x in row["values"].items()}
    note = "; ".join(text for text in (row["source"], row["note"]) if text)
    return Entry(PUBLISHED, row["title"], values, note)


def _read(path: Path, name: str | None, scores: Sequence[str]) -> list[Result]:
    file = result_file(path)
    data = read_json(file)
    if isinstance(data, dict) and data.get("kind") == KIND:
        check_scores(file, data)
        return _of_scores(file, data, name, scores)
    if file.name != RESULTS_FILE:
        raise ValueError(
            f"{file}: neither results of tools/test.py nor of tools/score.py; give one of these"
        )
    run = load_run(file.parent)
    rows = [row for row in run.results["rows"] if row["bank"] in ("own", "none")]
    rows = [_with_preset(row, run.results) for row in rows]
    entries = _by_preset(rows, name or run_name(run.path), run.results["map"], scores)
    return [Result(str(file), entries, run.info.get("class_names"), _sizes(run.results["sets"]))]


def _of_scores(file: Path, data: dict, name: str | None, scores: Sequence[str]) -> list[Result]:
    """Rows of ``tools/score.py``; several dumps keep their own names."""
    results = []
    for dump in data["dumps"]:
        label = name if name and len(data["dumps"]) == 1 else dump["name"]
        label = f"{name}/{label}" if name and len(data["dumps"]) > 1 else label
        entries = _by_preset(dump["rows"], label, dump["map"], scores)
        where = f"{file} ({dump['name']})" if len(data["dumps"]) > 1 else str(file)
        results.append(Result(where, entries, dump["id_labels"], _sizes(dump["sets"])))
    return results


def _sizes(sets: dict) -> dict[str, int]:
    return {name: about["images"] for name, about in sets.items() if name != "cut"}


def _with_preset(row: dict, results: dict) -> dict:
    """A row of a test; older ones do not name their preset."""
    shared = row["cut_kind"] == "shared"
    preset = "matched" if row["protocol"] == "matched" else "fixed" if shared else "own"
    source = "fixed" if shared else results.get("cut_source")
    return dict(preset=preset, rule="at_least", pair_floor=None, cut_source=source) | row


def _by_preset(rows: Sequence[dict], label: str, maps: dict, scores: Sequence[str]) -> list[Entry]:
    """Entries of one run, a section for each preset and source of its cut; without controls.

    Numbers at different fixed cuts do not compete: each has a section of its own.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if row.get("control", "none") == "none":
            fixed = row["cut_source"] == "fixed"
            cut = f"{row['cut']:.4g} (fixed)" if fixed else row["cut_source"]
            key = (row["preset"], row["protocol"], row["rule"], cut, row["bank"])
            groups.setdefault(key, []).append(row)
    entries = []
    for (preset, protocol, rule, cut, bank), same in groups.items():
        closest = rule == "closest"
        unit = "" if same[0]["pair_floor"] is None else ", once per label"
        if closest:
            same = [row | dict(fpr95=row["fpr95_closest"]) for row in same]
        section = f"preset {preset}, samples: {protocol}{unit}; cut: {cut}; FPR95 at recall " + (
            "closest to 95%" if closest else "of at least 95%"
        )
        shown = label if bank in ("own", "none") else f"{label}, bank {bank}"
        entries += _entries(same, section, shown, maps, scores)
    return entries


def _entries(
    rows: Sequence[dict], section: str, name: str, maps: dict, scores: Sequence[str]
) -> list[Entry]:
    found: dict[tuple, dict[str, float]] = {}
    for row in rows:
        if row["score"] not in scores:
            continue
        values = found.setdefault((row["score"], row["cut"]), {})
        values |= dict(cut=row["cut"], num_id=row["num_id"])
        values |= {key: maps[key] for key in MAPS if maps.get(key) is not None}
        for key in ("fpr95", "auroc", "num_ood"):
            values[f"{row['ood_set']}/{key}"] = math.nan if row[key] is None else row[key]
    return [
        Entry(section, f"{name} [{score_name(score)}]", values)
        for (score, _), values in found.items()
    ]


def _columns(entries: Sequence[Entry]) -> list[Column]:
    keys = list(dict.fromkeys(key for entry in entries for key in entry.values))
    sets = list(dict.fromkeys(key.split("/")[0] for key in keys if "/" in key))
    columns = []
    for name in sets:
        columns.append(Column(f"{name}/fpr95", f"{name} FPR95", "lower"))
        columns.append(Column(f"{name}/auroc", f"{name} AUROC", "higher"))
    columns += [Column(key, title, "higher") for key, title in MAPS.items() if key in keys]
    columns.append(Column("cut", "cut", percent=False, digits=4))
    counts = tuple(f"{name}/num_ood" for name in sets)
    title = "boxes " + "/".join(["ID", *sets])
    return [*columns, Column("num_id", title, percent=False, more=counts)]


def _check(results: Sequence[Result]) -> None:
    """Refuse results on other classes or other images.

    Raises:
        ValueError: naming the two files and what differs.
    """
    first, *others = results
    for other in others:
        if None not in (first.id_labels, other.id_labels) and first.id_labels != other.id_labels:
            raise ValueError(
                f"{other.where} and {first.where} have different ID labels, or the same in another "
                "order, so one table cannot hold both"
            )
        for name in first.images.keys() & other.images.keys():
            mine, theirs = first.images[name], other.images[name]
            if mine != theirs:
                raise ValueError(
                    f"{other.where} and {first.where}: the set {name!r} has {theirs} and {mine} "
                    "images, so one table cannot hold both"
                )
