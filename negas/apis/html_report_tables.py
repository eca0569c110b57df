"""Tables of the HTML report: every score on every OOD set, with its controls."""

from __future__ import annotations

import math
from collections.abc import Mapping

from negas.visualization.html.page import TableGroup
from negas.visualization.tables import Column, Row, Section, Stat, Table

from .html_report_run import ReportRun
from .report_table import CONTROLS, CUTS, NO_LEAKS, PROTOCOLS, ROTATED, leaks_of, score_name

TABLE_NOTES = [
    "In percent but thresholds and counts; ID is the positive class. FPR95 (lower is better): "
    "share of OOD boxes called known at the threshold that keeps at least 95% of the ID boxes; "
    "closest: at the recall closest to 95%. TPR: share of ID boxes that the threshold does keep. "
    "Best of each block in bold.",
    f"Controls of scores with negatives, beside them. {ROTATED} {NO_LEAKS}",
]
_METRICS = [
    Column("fpr95", "FPR95", "lower"),
    Column("fpr95_closest", "FPR95 closest", "lower"),
    Column("auroc", "AUROC", "higher"),
    Column("tpr", "TPR"),
    Column("threshold", "threshold", percent=False, digits=3),
]
_CONTROLS = [
    Column("rotated/fpr95", f"{CONTROLS['rotated']} FPR95"),
    Column("rotated/auroc", f"{CONTROLS['rotated']} AUROC"),
    Column("no_leaks/fpr95", f"{CONTROLS['no_leaks']} FPR95"),
    Column("no_leaks/auroc", f"{CONTROLS['no_leaks']} AUROC"),
    Column("leaks", "leaks", percent=False),
]


def table_groups(run: ReportRun) -> list[TableGroup]:
    """One group per protocol and cut, that of the headline first; in it one table per OOD set."""
    rows = run.results["rows"]
    kinds = list(dict.fromkeys((row["cut_kind"], row["protocol"]) for row in rows))
    kinds.sort(key=lambda kind: kind[0] != "own")  # stable: protocols stay as tested
    return [
        TableGroup(
            f"{PROTOCOLS.get(protocol, protocol)}; {CUTS.get(cut_kind, f'preset {cut_kind}')}",
            [_table(run, name, protocol, cut_kind) for name in run.dump.ood_sets],
        )
        for cut_kind, protocol in kinds
    ]


def _table(run: ReportRun, ood_set: str, protocol: str, cut_kind: str) -> Table:
    found = {
        (row["score"], row["bank"], row["control"]): row
        for row in run.results["rows"]
        if (row["ood_set"], row["protocol"], row["cut_kind"]) == (ood_set, protocol, cut_kind)
    }
    banks = run.results["banks"]
    sections = []
    for bank in dict.fromkeys(["own", *banks]):
        used = {bank, "none"} if bank == "own" else {bank}
        rows = [
            Row(score_name(score), _values(found, score, its_bank, banks, ood_set))
            for score, its_bank, control in found
            if its_bank in used and control == "none"
        ]
        if rows:
            size = f", {banks[bank]['size']} negatives" if bank in banks else ""
            title = f"bank: {bank_name(run, bank)}{size}" if bank in banks else ""
            title = "; ".join(filter(None, ["no negatives" if bank == "own" else "", title]))
            sections.append(Section(title, rows))
    first = next(iter(found.values()), {})
    counts = f"{first.get('num_id', 0)} ID boxes, {first.get('num_ood', 0)} OOD boxes"
    cut = first.get("cut", run.samples.cut)
    controls = _CONTROLS if banks else []
    return Table(f"{ood_set}: {counts}, cut {cut:.3f}", [*_METRICS, *controls], sections)


def _values(
    found: Mapping[tuple, dict], score: str, bank: str, banks: Mapping, ood_set: str
) -> dict[str, Stat]:
    row = found[score, bank, "none"]
    values = {column.key: Stat(number(row.get(column.key))) for column in _METRICS}
    for control in ("rotated", "no_leaks"):
        if turned := found.get((score, bank, control)):
            for key in ("fpr95", "auroc"):
                std = number(turned.get(f"{key}_std", 0.0))
                draws = int(turned.get("draws", 1))
                values[f"{control}/{key}"] = Stat(number(turned[key]), std, draws)
    if bank in banks:
        values["leaks"] = Stat(len(leaks_of(banks[bank]).get(ood_set, ())))
    return values


def bank_name(run: ReportRun, bank: str) -> str:
    """A bank with the file of its words."""
    info = run.results["run"]
    file = run.results["banks"][bank]["file"] or (info.get("neg_labels") if bank == "own" else None)
    return f"{bank}, {file}" if file else bank


def percent(value: float | None) -> str:
    """``12.3%``, or ``-`` for a number that does not exist."""
    return "-" if math.isnan(number(value)) else f"{100 * value:.1f}%"


def number(value: float | None) -> float:
    """NaN for ``None``, as result files write it."""
    return float("nan") if value is None else float(value)
