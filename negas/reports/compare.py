"""Results side by side: test runs, re-scored runs, and published rows marked as such."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from negas.evaluation.provenance import PUBLISHED_MAPS, complete
from negas.evaluation.recorded import MODEL_BANK
from negas.evaluation.rescore import KIND
from negas.evaluation.result_files import (
    RESULTS_FILE,
    SCORES_FILE,
    check_scores,
    find_results,
    same_labels,
    unfinished,
)
from negas.files import file_sha256, read_json, write_json, write_text
from negas.metrics import PRESETS
from negas.metrics.objects import OSCR_METRICS
from negas.records import VALIDATION_SETS

from . import columns
from .columns import BY_RULE, COLUMNS, Block, by_rule, preset_title, score_title
from .few import boxes_of, few_note, interval_values
from .headline import headline
from .long_rows import long_rows, published_rows, write_long
from .methods import OSCR_TITLE, load_tested
from .objects import object_values, oscr_table, state_tables, with_intervals
from .table import Column, Row, Section, Stat, Table, to_markdown
from .unknown import unknown_comparison


def describe_results(paths: Sequence[str | Path]) -> list[dict]:
    """What the numbers of results depend on, and all their rows.

    Args:
        paths: as :func:`~.compare.compare` takes them.

    Returns:
        One description with the sections of :data:`negas.evaluation.provenance.KEYS` per run; a
        file of ``negas score`` has one for each of its runs.
    """
    described = []
    for path in paths:
        file = result_file(Path(path))
        data = read_json(file)
        for each in data["runs"] if data.get("kind") == KIND else [data]:
            described.append(complete(each) | dict(file=str(file), file_sha256=file_sha256(file)))
    return described


def write_comparison(
    out: str | Path, table: Table, paths: Sequence[str | Path], objects: Sequence[Table] = ()
) -> None:
    """Write the tables: Markdown, or with a name in ``.json`` also :func:`describe_results`."""
    if Path(out).suffix == ".json":
        data = dict(kind="negas comparison", table=asdict(table))
        data |= dict(objects=[asdict(each) for each in objects], results=describe_results(paths))
        write_json(out, data)
    else:
        write_text(out, "\n".join(to_markdown(each) for each in (table, *objects)))


def write_compared_rows(
    out: str | Path,
    paths: Sequence[str | Path],
    published: Sequence[Mapping] = (),
    names: Sequence[str] | None = None,
    scores: Sequence[str] | None = None,
) -> None:
    """Write all numbers of results in rows of their own, see :mod:`.long_rows`.

    Controls and further banks are among them; the arguments are those of :func:`compare`, but
    without ``scores`` all are written.
    """
    rows: list[dict] = []
    for i, path in enumerate(paths):
        file = result_file(Path(path))
        data = read_json(file)
        for each in data["runs"] if data.get("kind") == KIND else [data]:
            name = names[i] if names else each.get("name") or load_tested(file.parent).name
            kept = [row for row in each["rows"] if not scores or row["score"] in scores]
            about = (name, str(file), (each.get("seeds") or {}).get("run"))
            rows += long_rows(*about, kept, each["map"], each.get("unknown"))
    write_long(out, [*rows, *published_rows(published)])


def result_file(path: Path) -> Path:
    """The result file of a folder, or the file itself.

    Raises:
        FileNotFoundError: there is none, or the folder holds both kinds.
    """
    file = path
    if path.is_dir():
        kinds = (find_results(path), path / SCORES_FILE)
        files = [each for each in kinds if each and each.is_file()]
        if len(files) != 1:
            found = "both" if files else "none of them"
            raise FileNotFoundError(
                f"{path}: expected {RESULTS_FILE} or {SCORES_FILE} in this folder, found {found}; "
                "give the work dir of negas test, the --out of negas score, or a file"
                + ("" if files else unfinished(path))
            )
        file = files[0]
    if not file.is_file():
        raise FileNotFoundError(f"{path}: no such result; give a folder or file of results")
    return file


PUBLISHED = "published, not run here"


@dataclass(frozen=True)
class Entry:
    """One row of the comparison.

    Attributes:
        section: rows of one section are of one protocol and compete for the bold print.
        label: what stands in front.
        values: fractions by ``<set>/fpr95``, ``<set>/auroc``, ``<set>/num_ood``, those of
            :func:`~.objects.object_values`, keys of
            :data:`~negas.evaluation.provenance.PUBLISHED_MAPS`, ``cut``, ``num_id``.
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
    name: str
    unknown: dict


def compare(
    paths: Sequence[str | Path],
    published: Sequence[Mapping] = (),
    names: Sequence[str] | None = None,
    scores: Sequence[str] | None = None,
) -> Table:
    """One table of several results.

    Args:
        paths: work dirs of ``negas test``, output folders of ``negas score``, or their
            json files.
        published: rows of ``negas.experiments.tables.published_rows``.
        names: what to call the results, one per path.
        scores: labels of the scores to show; ``None``: max sigmoid and NegS.

    Raises:
        FileNotFoundError: a result does not exist.
        ValueError: a file cannot be read, results on other classes or images, none of the scores.
    """
    entries = _entries(paths, names, scores)
    entries += [published_entry(row) for row in published]
    sections = _sections(entries)
    notes = [
        "In percent; ID is the positive class. FPR95 (lower is better) by the rule of the section. "
        "Best of each section in bold."
    ]
    if published:
        notes.append(
            "Published rows were not run here: other detectors, cuts, NMS and AP definitions."
        )
    notes += [f"{preset}: {preset_title(preset)}." for preset in _presets(sections)]
    notes += [f"{entry.label}: {entry.note}." for entry in entries if entry.note]
    made = [Section(title, rows) for title, rows in sections.items()]
    shown = _columns(entries)
    rows = [row for section in made for row in section.rows]
    if few := few_note(boxes_of(rows, _sets(entries))):
        shown = with_intervals(shown, made, [column.key for column in shown])
    return Table("Comparison", shown, made, notes + few)


def compare_objects(
    paths: Sequence[str | Path],
    names: Sequence[str] | None = None,
    scores: Sequence[str] | None = None,
) -> list[Table]:
    """The same results by objects: OSCR, unknown ones found by a vocabulary, and states.

    States only where the preset ``objects`` was asked for.

    Arguments and errors are those of :func:`compare`; no table where there are no annotations.
    """
    results = _results(paths, names, scores)
    entries = [entry for result in results for entry in result.entries]
    sets = _sets(entries)
    once: dict[tuple, Entry] = {}
    for entry in entries:  # OSCR is the same for all presets and cuts of a result
        numbers = [entry.values.get(f"{name}/{key}") for name in sets for key in OSCR_METRICS]
        once.setdefault((entry.label, str(numbers)), replace(entry, section=""))
    oscr = [Section(title, rows) for title, rows in _sections(once.values()).items()]
    found = [oscr_table(OSCR_TITLE, oscr, sets)]
    found.append(unknown_comparison([(result.name, [result.unknown]) for result in results]))
    at_cut = [  # of one preset
        Section(title.removeprefix("objects; "), rows)
        for title, rows in _sections(entries).items()
        if title.startswith("objects; ")
    ]
    return [table for table in found if table] + state_tables("Objects at the cut", at_cut, sets)


def compare_headline(
    paths: Sequence[str | Path],
    published: Sequence[Mapping] = (),
    names: Sequence[str] | None = None,
    scores: Sequence[str] | None = None,
) -> Table | None:
    """The first preset's rows in short, published ones below; arguments as of :func:`compare`."""
    entries = _entries(paths, names, scores)
    made = _sections([*entries, *map(published_entry, published)])
    presets = _presets(made)
    if not presets:
        return None
    rows, states = (_own_cuts(made, preset) for preset in (presets[0], "objects"))
    title = f"{presets[0]}: {preset_title(presets[0])}"
    return headline(title, [*rows, *made.get(PUBLISHED, [])], states, _sets(entries))


def _entries(
    paths: Sequence[str | Path], names: Sequence[str] | None, scores: Sequence[str] | None
) -> list[Entry]:
    """Rows of all results; see :func:`compare`."""
    return [entry for result in _results(paths, names, scores) for entry in result.entries]


def _results(
    paths: Sequence[str | Path], names: Sequence[str] | None, scores: Sequence[str] | None
) -> list[Result]:
    """All results, which one table can hold; at least one has rows."""
    if names is not None and len(names) != len(paths):
        raise ValueError(f"--names: expected {len(paths)} names, one per result, got {len(names)}")
    wanted = list(scores) if scores else ["max_sigmoid", "negs"]
    results = [
        result
        for i, path in enumerate(paths)
        for result in _read(Path(path), names[i] if names else None, wanted)
    ]
    _check(results)
    if not any(result.entries for result in results):
        raise ValueError(f"--scores: none of the results has {', '.join(wanted)}")
    return results


def _sections(entries: Iterable[Entry]) -> dict[str, list[Row]]:
    sections: dict[str, list[Row]] = {}
    for entry in entries:
        values = {key: Stat(value) for key, value in entry.values.items()}
        label = f"{entry.label} [published]" if entry.section == PUBLISHED else entry.label
        row = Row(label, values, control=entry.section == PUBLISHED)
        sections.setdefault(entry.section, []).append(row)
    return sections


def _own_cuts(sections: Mapping[str, list[Row]], preset: str) -> list[Row]:
    """Rows of a preset, each at its result's own cut; where there is none, of the first section."""
    found = {
        title.removeprefix(f"{preset}; cut: "): rows
        for title, rows in sections.items()
        if title.startswith(f"{preset}; ")
    }
    own = {cut: rows for cut, rows in found.items() if not cut[:1].isdigit()}
    return [row for rows in own.values() for row in rows] or next(iter(found.values()), [])


def _presets(sections: Iterable[str]) -> list[str]:
    """Presets of the sections, once each."""
    heads = [title.partition(";")[0] for title in sections]
    return [name for name in dict.fromkeys(heads) if name in PRESETS]


def published_entry(row: Mapping) -> Entry:
    """The entry of a published row, as ``negas.experiments.tables.published_rows`` gives it."""
    values = {"cut" if key == "score_thr" else key: x for key, x in row["values"].items()}
    note = "; ".join(text for text in (row["source"], row["note"]) if text)
    return Entry(PUBLISHED, row["title"], values, note)


def _read(path: Path, name: str | None, scores: Sequence[str]) -> list[Result]:
    file = result_file(path)
    if file.name != RESULTS_FILE:
        data = read_json(file, "run negas score again")
        if not isinstance(data, dict) or data.get("kind") != KIND:
            raise ValueError(
                f"{file}: neither results of negas test nor of negas score; give one of these"
            )
        check_scores(file, data)
        return _of_scores(file, data, name, scores)
    run = load_tested(file.parent)
    rows = [row for row in run.tested_rows if row["bank"] in (MODEL_BANK, "none")]
    entries = _by_block(rows, name or run.name, run.results["map"], scores)
    about = (run.info.get("class_names"), _sizes(run.results["sets"]))
    unknown = run.results.get("unknown") or {}
    return [Result(str(file), entries, *about, name or run.name, unknown)]


def _of_scores(file: Path, data: dict, name: str | None, scores: Sequence[str]) -> list[Result]:
    """Rows of ``negas score``; several runs keep their own names."""
    results, many = [], len(data["runs"]) > 1
    for run in data["runs"]:
        label = name if name and not many else run["name"]
        label = f"{name}/{label}" if name and many else label
        entries = _by_block(run["rows"], label, run["map"], scores)
        where = f"{file} ({run['name']})" if many else str(file)
        about = (run["id_labels"], _sizes(run["sets"]), label, run.get("unknown") or {})
        results.append(Result(where, entries, *about))
    return results


def _sizes(sets: dict) -> dict[str, int]:
    return {name: about["images"] for name, about in sets.items() if name not in VALIDATION_SETS}


def _by_block(rows: Sequence[dict], label: str, maps: dict, scores: Sequence[str]) -> list[Entry]:
    """Entries of one run, a section for each block of rows and source of its cut; no controls."""
    found: dict[tuple, dict[str, float]] = {}
    for row in rows:
        if row["control"] != "none" or row["score"] not in scores:
            continue
        block = Block.of(row)
        cut = row["cut_source"] if block.fixed_cut is None else f"{block.fixed_cut:.4g}"
        where = (f"{row['preset']}; cut: {cut}", row["bank"], row["score"], row["cut"])
        values = found.setdefault(where, {})
        values |= dict(cut=row["cut"], num_id=row["num_id"])
        values |= {key: maps[key] for key in PUBLISHED_MAPS if maps.get(key) is not None}
        for key, value in by_rule(row).items():
            values[f"{row['ood_set']}/{key}"] = math.nan if value is None else value
        values[f"{row['ood_set']}/num_ood"] = row["num_ood"]
        values |= object_values(row) | interval_values(row, rule=True)
    return [
        Entry(
            section,
            (label if bank in (MODEL_BANK, "none") else f"{label}, bank {bank}")
            + f" [{score_title(score)}]",
            values,
        )
        for (section, bank, score, _), values in found.items()
    ]


def _columns(entries: Sequence[Entry]) -> list[Column]:
    keys = list(dict.fromkeys(key for entry in entries for key in entry.values))
    sets = _sets(entries)
    return [
        *(columns.per_set(name, key) for name in sets for key in BY_RULE),
        *(COLUMNS[key] for key in PUBLISHED_MAPS if key in keys),
        replace(COLUMNS["cut"], digits=4),
        columns.counts(sets),
    ]


def _sets(entries: Sequence[Entry]) -> list[str]:
    """OOD sets of the rows, in order of appearance."""
    keys = [key.rpartition("/") for entry in entries for key in entry.values]
    return list(dict.fromkeys(name for name, _, key in keys if name and key in BY_RULE))


def _check(results: Sequence[Result]) -> None:
    """Refuse results on other classes or other images.

    Raises:
        ValueError: naming the two files and what differs.
    """
    first, *others = results
    for other in others:
        where = f"{other.where} and {first.where}"
        same_labels(where, "ID labels", other.id_labels, first.id_labels)
        for name in first.images.keys() & other.images.keys():
            mine, theirs = first.images[name], other.images[name]
            if mine != theirs:
                raise ValueError(
                    f"{where}: the set {name!r} has {theirs} and {mine} "
                    "images, so one table cannot hold both"
                )
