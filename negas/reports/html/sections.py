"""Sections of the HTML report: headline, facts, tables with controls, open set, label banks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from operator import itemgetter

import numpy as np

from negas.evaluation.cuts import tau_of
from negas.evaluation.objects.open_set_rows import open_set_row
from negas.evaluation.provenance import MAPS, leaks_of
from negas.evaluation.recorded import MODEL_BANK
from negas.evaluation.unknown import unknown_boxes_of
from negas.files import file_sha256
from negas.records import ID, SET_TITLES
from negas.text import counted

from ..columns import (
    BY_RULE,
    COLUMNS,
    CONTROLS,
    FPR95,
    LEAKS,
    NO_LEAKS,
    OF_SET,
    OPEN_SET,
    OPEN_SET_NOTE,
    PERCENT,
    ROTATED,
    WITH_WORDS_NOTE,
    Block,
    blocks_of,
    fpr95_of,
    score_title,
)
from ..scores import open_set_rows
from ..table import Column, Row, Section, Stat, Table
from .page import BankWords, TableGroup, Tile
from .run import ReportRun

TABLE_NOTES = [
    f"{PERCENT} {FPR95} TPR: share of ID boxes that the threshold (not in percent) does keep.",
    f"Controls of scores with negatives, beside them. {ROTATED} {LEAKS} {NO_LEAKS}",
]
_METRICS = [COLUMNS[key] for key in (*OF_SET, "tpr", "threshold")]
_CONTROLS = [
    Column(f"{control}/{key}", f"{title} {COLUMNS[key].title}")
    for control, title in CONTROLS.items()
    for key in BY_RULE
] + [COLUMNS["leaks"]]


def table_groups(run: ReportRun) -> list[TableGroup]:
    """One group per preset and cut, that of the headline first; in it one table per OOD set."""
    blocks = blocks_of(run.results["rows"])
    blocks.sort(key=lambda block: block != run.block)  # stable: presets stay as tested
    return [
        TableGroup(block.title, [_table(run, name, block) for name in run.run.ood_sets])
        for block in blocks
    ]


def _table(run: ReportRun, ood_set: str, block: Block) -> Table:
    found = {
        (row["score"], row["bank"], row["control"]): row
        for row in run.results["rows"]
        if row["ood_set"] == ood_set and Block.of(row) == block
    }
    banks = run.results["banks"]
    sections = []
    for bank in dict.fromkeys([MODEL_BANK, *banks]):
        used = {bank, "none"} if bank == MODEL_BANK else {bank}
        rows = [
            Row(score_title(score), _values(found, score, its_bank, banks, ood_set))
            for score, its_bank, control in found
            if its_bank in used and control == "none"
        ]
        if rows:
            size = f", {counted(banks[bank]['size'], 'negative')}" if bank in banks else ""
            title = f"bank: {bank_name(run, bank)}{size}" if bank in banks else ""
            title = "; ".join(filter(None, ["no negatives" if bank == MODEL_BANK else "", title]))
            sections.append(Section(title, rows))
    first = next(iter(found.values()), {})
    counts = f"{first.get('num_id', 0)} ID boxes, {first.get('num_ood', 0)} OOD boxes"
    cut = first.get("cut", run.samples.cut.value)
    controls = _CONTROLS if banks else []
    return Table(f"{ood_set}: {counts}, cut {cut:.3f}", [*_METRICS, *controls], sections)


def _values(
    found: Mapping[tuple, dict], score: str, bank: str, banks: Mapping, ood_set: str
) -> dict[str, Stat]:
    row = found[score, bank, "none"]
    values = {column.key: Stat(number(row.get(column.key))) for column in _METRICS}
    for control in ("rotated", "no_leaks"):
        if turned := found.get((score, bank, control)):
            for key in BY_RULE:
                std = number(turned.get(f"{key}_std", 0.0))
                draws = int(turned.get("draws", 1))
                values[f"{control}/{key}"] = Stat(number(turned[key]), std, draws)
    if bank in banks:
        values["leaks"] = Stat(len(leaks_of(banks[bank]).get(ood_set, ())))
    return values


def bank_name(run: ReportRun, bank: str) -> str:
    """A bank with the file of its words."""
    info = run.results["run"]
    file = run.results["banks"][bank]["file"] or (
        info.get("neg_labels") if bank == MODEL_BANK else None
    )
    return f"{bank}, {file}" if file else bank


def percent(value: float | None) -> str:
    """``12.3%``, or ``-`` for a number that does not exist."""
    return "-" if math.isnan(number(value)) else f"{100 * value:.1f}%"


def number(value: float | None) -> float:
    """NaN for ``None``, as result files write it."""
    return float("nan") if value is None else float(value)


def headline(run: ReportRun) -> list[Tile]:
    """FPR95 (by the preset's rule) and AUROC of the main score per OOD set, mAP by its names."""
    rows = {
        (row["ood_set"], row["score"], row["bank"], row["control"]): row
        for row in run.results["rows"]
        if Block.of(row) == run.block
    }
    bank = MODEL_BANK if run.main.needs_negatives else "none"
    beside = {"rotated": (run.main.label, bank, "rotated")}
    if run.main.label != run.plain.label:
        beside[score_title(run.plain.label)] = (run.plain.label, "none", "none")
    tiles = []
    for name in run.run.ood_sets:
        row = rows.get((name, run.main.label, bank, "none"), {})
        others = {
            title: rows[(name, *key)] for title, key in beside.items() if (name, *key) in rows
        }
        for title, read in (("FPR95", fpr95_of), ("AUROC", itemgetter("auroc"))):
            notes = [run.main_name, *(f"{of} {percent(read(o))}" for of, o in others.items())]
            tiles.append(Tile(f"{name} {title}", percent(read(row) if row else None), notes))
    for key in MAPS:
        if (value := run.results["map"].get(key)) is not None:
            tiles.append(Tile(COLUMNS[key].title, percent(value), [f"mAP, {key}"]))
    return tiles


def facts(run: ReportRun) -> list[tuple[str, str]]:
    """What the numbers depend on, the first things one asks."""
    results, info = run.results, run.results["run"]
    sets = [
        f"{SET_TITLES.get(name, name)}: {counted(about['images'], 'image')}, "
        f"{counted(about['boxes'], 'box')}"
        for name, about in results["sets"].items()
    ]
    words = results["banks"].get(MODEL_BANK)
    bank = f"{words['size']} words: {', '.join(words['labels'])}" if words else "none"
    cut = run.samples.cut
    seeds, versions = results["seeds"], info["versions"] or {}
    hashes = [
        f"{SET_TITLES.get(n, n)}: {_text(s['ann_sha256'])}" for n, s in results["sets"].items()
    ]
    return [
        ("Protocol", run.block.title),
        (
            "Confidence cut",
            f"{cut.value:.4f} ({cut.rule}, source: {cut.source})",
        ),
        *_thresholds(run),
        ("Sets (recorded boxes)", "; ".join(sets)),
        ("NMS", _nms(info["nms"] or {})),
        ("Boxes per image, at most", _text(info["max_per_img"])),
        ("Several labels per box", _text(info["multi_label"])),
        ("Seed", f"run {_text(seeds['run'])}, rotations {_text(seeds['rotations'])}"),
        ("Label bank", f"{bank_name(run, MODEL_BANK)}; {bank}" if words else bank),
        ("Label bank SHA-256", _text(words["sha256"]) if words else "none"),
        ("Config", _text(info["config"])),
        ("Config SHA-256", _text(info["config_sha256"])),
        ("Checkpoint", _text(info["checkpoint"])),
        ("Checkpoint SHA-256", _text(info["checkpoint_sha256"])),
        ("Base weights SHA-256", _text(info["base_sha256"])),
        ("Annotations SHA-256", "; ".join(hashes)),
        *_other_annotations(run),
        ("Versions", _text(", ".join(f"{k} {v}" for k, v in versions.items() if v))),
    ]


def _other_annotations(run: ReportRun) -> list[tuple[str, str]]:
    """Files of ``--ann`` that are not what the test read: numbers from them may differ."""
    tested = {name: about["ann_sha256"] for name, about in run.results["sets"].items()}
    other = [
        f"{SET_TITLES.get(name, name)}: {file}"
        for name, file in run.run.annotations.items()
        if tested.get(name) and file_sha256(file) != tested[name]
    ]
    return [("Annotations unlike those of the test", "; ".join(other))] if other else []


def _thresholds(run: ReportRun) -> list[tuple[str, str]]:
    recall = percent(np.mean(run.values["id"] >= run.tau))
    lines = [
        ("Main score", run.main_name),
        (
            "Threshold (tau)",
            f"{run.tau:.4f}: keeps {recall} of the ID test boxes (TPR); a box is called known if "
            "its score is at least this",
        ),
    ]
    if (tau := run.validation_tau()) is not None:
        kept = {n: percent(np.mean(v >= tau)) for n, v in run.values.items() if len(v)}
        shares = ", ".join(
            f"{share} of {SET_TITLES.get(name, name)}" for name, share in kept.items()
        )
        text = f"{tau:.4f}; with it these are called known: {shares}"
        lines.append(("Threshold from ID validation", text))
    return lines


def _nms(nms: Mapping) -> str:
    kind, overlap, over_all = (nms.get(k) for k in ("type", "iou_threshold", "class_agnostic"))
    if kind in (None, "none"):
        return _text(kind)
    return f"{kind}, IoU {_text(overlap)}, {'over all classes' if over_all else 'per class'}"


def _text(value: object) -> str:
    return "not stored" if value in (None, "") else str(value)


def settings_rows(run: ReportRun) -> list[tuple[str, str]]:
    """Everything in the result file but rows, banks and what is a table of its own."""
    large = ("rows", "banks")
    shown = {k: v for k, v in run.results.items() if k not in large}
    if shown.get("unknown"):
        shown["unknown"] = {k: v for k, v in shown["unknown"].items() if k not in _DRAWN}
    return list(_flat(shown))


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, "-" if value is None else str(value)


def bank_words(run: ReportRun) -> list[BankWords]:
    """Every bank with its words; those that name an OOD class are marked."""
    banks = []
    for name, about in run.results["banks"].items():
        named = leaks_of(about)
        words = [
            (word, [s for s, found in named.items() if word in found]) for word in about["labels"]
        ]
        counts = ", ".join(f"{s}: {len(found)}" for s, found in named.items())
        title = f"{bank_name(run, name)} ({counted(about['size'], 'negative')})"
        banks.append(BankWords(title, words, f"Words that name a class of an OOD set - {counts}"))
    return banks


_DRAWN = ("rows", "curves", "seen_by_text_tower")
_OPEN_SET = [COLUMNS[key] for key in OPEN_SET]
OPEN_SET_NOTES = [
    "FPR95 and AUROC look at boxes only; here an annotated OOD object without any box counts, too. "
    "Objects of categories that are no ID label are unknown. In percent but A-OSE, nOSE, WI and "
    "counts.",
    f"{OPEN_SET_NOTE} A-OSE: boxes that call an unknown object known (nOSE: per object; unique: "
    "share of objects with such a box); U-Recall: unknown objects found by an unknown box; P_U: "
    "unknown boxes that find one.",
]


def open_set_table(run: ReportRun, name: str) -> Table:
    """The main score and max sigmoid on the ID test set joined with one OOD set.

    The numbers are those of ``negas score --open-set`` at the cut of the page.

    Args:
        run: the evaluation.
        name: OOD set.

    Returns:
        A table with one section; without annotations of either set none, and a note that says why.
    """
    for side, where in (("id", "ID test set: "), (name, "")):
        truth, reason = run.truth(side)
        if truth is None:
            return Table(f"ID and {name}", _OPEN_SET, [], [f"No table: {where}{reason}."])
    scored = {
        run.main.label: (run.main, run.values),
        run.plain.label: (run.plain, run.plain_values),
    }
    found, more = {}, unknown_boxes_of(run.run)
    for label, (score, values) in scored.items():
        at = (run.run, run.samples, score, MODEL_BANK, name, tau_of(values[ID]))
        found[label] = dict(open_set=open_set_row(*at))
        if more:
            found[label]["open_set_with_words"] = open_set_row(*at, unknown=more)
    counts = found[run.main.label]["open_set"]
    title = (
        f"ID and {name}: {counts['num_known']} known and {counts['num_unknown']} unknown objects, "
        f"{counts['num_predictions']} boxes, cut {run.samples.cut.value:.3f}"
    )
    rows = [row for label, each in found.items() for row in open_set_rows(score_title(label), each)]
    notes = [WITH_WORDS_NOTE] if more else []
    return Table(title, _OPEN_SET, [Section("each at its own tau", rows)], notes)
