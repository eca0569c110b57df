"""Headline, settings and label banks of the HTML report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from negas.files import file_sha256
from negas.visualization.boxes import TITLES
from negas.visualization.html.page import BankWords, Tile

from .html_report_run import ReportRun
from .html_report_tables import bank_name, percent
from .report_table import MAP_NAMES, PROTOCOLS, leaks_of, score_name


def headline(run: ReportRun) -> list[Tile]:
    """FPR95 and AUROC of the main score per OOD set, mAP under its names, the cut."""
    rows = {
        (row["ood_set"], row["score"], row["bank"], row["control"]): row
        for row in run.results["rows"]
        if (row["protocol"], row["cut_kind"]) == (run.protocol, "own")
    }
    bank = "own" if run.main.needs_negatives else "none"
    beside = {"rotated": (run.main.label, bank, "rotated")}
    if run.main.label != run.plain.label:
        beside[score_name(run.plain.label)] = (run.plain.label, "none", "none")
    tiles = []
    for name in run.dump.ood_sets:
        row = rows.get((name, run.main.label, bank, "none"), {})
        others = {
            title: rows[(name, *key)] for title, key in beside.items() if (name, *key) in rows
        }
        for key, title in (("fpr95", "FPR95"), ("auroc", "AUROC")):
            notes = [run.main_name, *(f"{of} {percent(o[key])}" for of, o in others.items())]
            tiles.append(Tile(f"{name} {title}", percent(row.get(key)), notes))
    for key, title in MAP_NAMES.items():
        if (value := run.results["map"].get(key)) is not None:
            tiles.append(Tile(title, percent(value), [f"mAP, {key}"]))
    return tiles


def facts(run: ReportRun) -> list[tuple[str, str]]:
    """What the numbers depend on, the first things one asks."""
    results, info = run.results, run.results["run"]
    sets = [
        f"{TITLES.get(name, name)}: {about['images']} images, {about['boxes']} boxes"
        for name, about in results["sets"].items()
    ]
    own = results["banks"].get("own")
    bank = f"{own['size']} words: {', '.join(own['labels'])}" if own else "none"
    seeds, versions = results["seeds"], info["versions"] or {}
    hashes = [f"{TITLES.get(n, n)}: {_text(s['ann_sha256'])}" for n, s in results["sets"].items()]
    return [
        ("Protocol", PROTOCOLS.get(run.protocol, run.protocol)),
        (
            "Confidence cut",
            f"{run.samples.cut:.4f} ({run.samples.cut_rule}, source: {run.samples.cut_source})",
        ),
        *_thresholds(run),
        ("Sets (all boxes kept)", "; ".join(sets)),
        ("NMS", _nms(info["nms"] or {})),
        ("Boxes per image, at most", _text(info["max_per_img"])),
        ("Several labels per box", _text(info["multi_label"])),
        ("Seed", f"run {_text(seeds['run'])}, rotations {_text(seeds['rotations'])}"),
        ("Label bank", f"{bank_name(run, 'own')}; {bank}" if own else bank),
        ("Label bank SHA-256", _text(own["sha256"]) if own else "none"),
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
        f"{TITLES.get(name, name)}: {file}"
        for name, file in run.dump.annotations.items()
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
        shares = ", ".join(f"{share} of {TITLES.get(name, name)}" for name, share in kept.items())
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
    return list(_flat({k: v for k, v in run.results.items() if k not in large}))


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
        title = f"{bank_name(run, name)} ({about['size']} negatives)"
        banks.append(BankWords(title, words, f"Words that name a class of an OOD set - {counts}"))
    return banks
