"""The tables of a report: methods, NegA x NegS, scores on the same boxes, label banks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from negas.visualization.tables import Column, Row, Section, Stat, Table

from .report_runs import Method

SCORE_NAMES = {
    "max_sigmoid": "max sigmoid",
    "max_logit": "max logit",
    "msp": "MSP",
    "energy": "energy",
    "joint_energy": "JointEnergy",
    "mcm": "MCM",
    "neglabel": "NegLabel",
    "eoe": "EOE",
    "negs": "NegS",
    "negs_product": "NegS product",
}
PROTOCOLS = {
    "vos": "VOS protocol: every box over the cut is a sample",
    "matched": "matched protocol: boxes on annotated objects only",
}
CUTS = {
    "own": "confidence cut: each method's own",
    "shared": "one shared confidence cut",
}
MAP_NAMES = {  # three definitions that published tables mix
    "coco_ap": "ID AP",
    "coco_ap50": "ID AP50",
    "voc07_ap50": "ID AP50 (VOC07)",
}
CONTROLS = {"rotated": "rotated", "no_leaks": "without leaks"}
_NOTE = (
    "FPR95 (lower is better), AUROC, AP in percent; ID is the positive class. Best of each block "
    "in bold."
)
ROTATED = (
    "rotated: the bank's embeddings turned at random (same geometry, no meaning), mean of several "
    "draws; a gain that survives it is not semantic."
)
_LEAKS = "leaks: how many of the bank's negatives name a class of the OOD set, synonyms included."
NO_LEAKS = "without leaks: the same without these negatives; empty where there are none."


class Picker:
    """Numbers of methods for one protocol and one kind of cut."""

    def __init__(self, protocol: str, cut_kind: str, ood_sets: Sequence[str]) -> None:
        self.protocol, self.cut_kind, self.ood_sets = protocol, cut_kind, list(ood_sets)

    def values(self, method: Method, score: str, bank: str, control: str) -> dict[str, Stat] | None:
        """Numbers by column key, over the method's seeds; ``None`` if it was not scored so."""
        found: dict[str, list[float]] = {}
        for run in method.runs:
            for row in run.rows:
                wanted = (score, bank, control, self.protocol, self.cut_kind)
                keys = ("score", "bank", "control", "protocol", "cut_kind")
                if tuple(row[key] for key in keys) != wanted:
                    continue
                name = row["ood_set"]
                for key in ("fpr95", "auroc", "num_ood"):
                    found.setdefault(f"{name}/{key}", []).append(row[key])
                if name == self.ood_sets[0]:
                    found.setdefault("num_id", []).append(row["num_id"])
                    found.setdefault("cut", []).append(row["cut"])
                    for key in MAP_NAMES:
                        value = run.results["map"].get(key)
                        found.setdefault(key, []).append(math.nan if value is None else value)
        return {key: Stat.of(values) for key, values in found.items()} or None

    def rows(self, label: str, method: Method, score: str) -> list[Row]:
        """The row of a score; with negatives (the method's own bank) its controls, too.

        The controls are the number of negatives that name an OOD class, in the row itself, and
        below it the bank without these and the rotated bank, if the run has them.
        """
        if values := self.values(method, score, "none", "none"):
            return [Row(label, values)]
        values = self.values(method, score, "own", "none")
        if not values:
            return []
        named = leaks_of(method.runs[0].results["banks"]["own"])
        values |= {f"{name}/leaks": Stat(len(words)) for name, words in named.items()}
        rows = [Row(label, values)]
        if clean := self.values(method, score, "own", "no_leaks"):
            rows.append(Row(f"{label}, {CONTROLS['no_leaks']}", per_set(clean), control=True))
        if turned := self.values(method, score, "own", "rotated"):
            rows.append(Row(f"{label}, {CONTROLS['rotated']}", per_set(turned), control=True))
        return rows

    def columns(self) -> list[Column]:
        """FPR95 and AUROC of each OOD set, ID AP, counts."""
        columns = []
        for name in self.ood_sets:
            columns.append(Column(f"{name}/fpr95", f"{name} FPR95", "lower"))
            columns.append(Column(f"{name}/auroc", f"{name} AUROC", "higher"))
        columns += [Column(key, title, "higher") for key, title in MAP_NAMES.items()]
        columns.append(Column("cut", "cut", percent=False, digits=3))
        counts = tuple(f"{name}/num_ood" for name in self.ood_sets)
        title = "boxes " + "/".join(["ID", *self.ood_sets])
        columns.append(Column("num_id", title, percent=False, more=counts))
        leaks, *others = (f"{name}/leaks" for name in self.ood_sets)
        title = "leaks " + "/".join(self.ood_sets)
        columns.append(Column(leaks, title, percent=False, more=tuple(others)))
        return columns


def ood_sets_of(methods: Sequence[Method]) -> list[str]:
    """Names of the OOD sets, in the order of the test."""
    sets = methods[0].runs[0].results["sets"]
    return [name for name in sets if name not in ("id", "cut")]


def scores_of(method: Method) -> list[str]:
    """Names of the scores of a run, those without negatives first."""
    return list(dict.fromkeys(row["score"] for row in method.runs[0].rows))


def by_role(methods: Sequence[Method], role: str) -> Method | None:
    """The first method of a role; ablations come after the full method."""
    candidates = [method for method in methods if method.role == role]
    plain = [method for method in candidates if method.is_plain]
    return next(iter(plain + candidates), None)


def bank_label(method: Method, bank: str) -> str:
    """``llm`` for the own bank if its file is known, else the bank's name."""
    source = method.runs[0].info.get("neg_labels")
    if bank == "own" and source:
        return source.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".json") + " (own)"
    return bank


def seeds_note(methods: Sequence[Method]) -> str:
    """How many runs stand behind each number."""
    counts = {len(method.runs) for method in methods}
    if counts == {1}:
        return "One run per method: differences of a few points may be chance."
    parts = [f"{method.name}: {len(method.runs)}" for method in methods]
    return "Mean ± standard deviation over seeds. Runs: " + ", ".join(parts) + "."


def main_table(methods: Sequence[Method], protocol: str, cut_kind: str) -> Table:
    """Methods, the NegA x NegS square, and other scores on the same boxes."""
    pick = Picker(protocol, cut_kind, ood_sets_of(methods))
    coop, negas = by_role(methods, "coop"), by_role(methods, "negas")
    shown = {"stock": ("max_sigmoid", "negs"), "coop": ("max_sigmoid",), "negas": ("negs",)}
    cells = [(_with(m.name, s), m, s) for m in methods for s in shown[m.role]]
    sections = [("methods", [row for cell in cells for row in pick.rows(*cell)])]
    if coop and negas:
        square = [
            (f"NegA {nega}, NegS {negs}", method, score)
            for nega, method in (("no", coop), ("yes", negas))
            for negs, score in (("no", "max_sigmoid"), ("yes", "negs"))
        ]
        sections.append(("NegA x NegS", [row for cell in square for row in pick.rows(*cell)]))
    boxes = negas or coop or methods[-1]
    found = [row for s in scores_of(boxes) for row in pick.rows(score_name(s), boxes, s)]
    found = [Row(row.label, per_set(row.values), row.control) for row in found]
    sections.append((f"scores on the boxes of {boxes.name}", found))
    notes = [_NOTE, seeds_note(methods)]
    labels = [row.label for _, rows in sections for row in rows if row.control]
    if any(label.endswith("rotated") for label in labels):
        notes.append(ROTATED)
    if any(method.runs[0].results["banks"] for method in methods):
        notes.append(_LEAKS)
    if any(label.endswith("without leaks") for label in labels):
        notes.append(NO_LEAKS)
    return Table(
        title=f"{PROTOCOLS.get(protocol, protocol)}; {CUTS[cut_kind]}",
        columns=pick.columns(),
        sections=[Section(title, rows) for title, rows in sections if rows],
        notes=notes,
    )


def per_set(values: dict[str, Stat]) -> dict[str, Stat]:
    """Without what is the same for all scores of the same boxes."""
    return {k: v for k, v in values.items() if "/" in k and "num" not in k}


def score_name(label: str) -> str:
    """How tables call a score: ``MCM (logits=cosine)`` for ``mcm(logits=cosine)``."""
    name, bracket, options = label.partition("(")
    shown = SCORE_NAMES.get(name, name)
    return f"{shown} ({options}" if bracket else shown


def _with(name: str, score: str) -> str:
    return f"{name} [{score_name(score)}]"


def bank_table(methods: Sequence[Method], protocol: str, cut_kind: str) -> Table | None:
    """Scores with every label bank beside the rotated-bank control; ``None`` without banks."""
    method = by_role(methods, "negas") or by_role(methods, "coop") or methods[-1]
    banks = method.runs[0].results["banks"]
    if not banks:
        return None
    pick = Picker(protocol, cut_kind, ood_sets_of(methods))
    needs_bank = [
        s for s in scores_of(method) if any(r["bank"] != "none" for r in _rows(method, s))
    ]
    columns = []
    for name in pick.ood_sets:
        columns.append(Column(f"{name}/fpr95", f"{name} FPR95", "lower"))
        columns.append(Column(f"rotated/{name}/fpr95", "rotated"))
        columns.append(Column(f"{name}/auroc", f"{name} AUROC", "higher"))
        columns.append(Column(f"rotated/{name}/auroc", "rotated"))
    sections = []
    if reference := pick.rows(SCORE_NAMES["max_sigmoid"], method, "max_sigmoid"):
        sections.append(Section("no negatives", reference))
    for score in needs_bank:
        rows = []
        for bank in banks:
            values = pick.values(method, score, bank, "none")
            if values:
                turned = pick.values(method, score, bank, "rotated") or {}
                values |= {f"rotated/{key}": stat for key, stat in turned.items()}
                rows.append(Row(bank_label(method, bank), values))
        sections.append(Section(score_name(score), rows))
    return Table(
        title=f"Label banks on the boxes of {method.name}. {PROTOCOLS.get(protocol, protocol)}; "
        f"{CUTS[cut_kind]}",
        columns=columns,
        sections=sections,
        notes=[
            ROTATED,
            *overlap_notes(method),
        ],
    )


def _rows(method: Method, score: str) -> list[dict]:
    return [row for row in method.runs[0].rows if row["score"] == score]


def overlap_notes(method: Method) -> list[str]:
    """One line per bank: size, and how many negatives name a class of each OOD set."""
    notes = []
    for bank, about in method.runs[0].results["banks"].items():
        named = [
            f"{name} {len(words)}" + (f" ({_some(words)})" if words else "")
            for name, words in leaks_of(about).items()
        ]
        notes.append(
            f"{bank_label(method, bank)}: {about['size']} negatives; of these name an OOD class: "
            + ", ".join(named)
        )
    return notes


def leaks_of(bank: dict) -> dict[str, list[str]]:
    """OOD set -> negatives that name one of its classes; equal names only in older results."""
    if "leakage" not in bank:
        return bank["overlap"]
    return {name: found["leaks"] for name, found in bank["leakage"].items()}


def _some(words: Sequence[str], limit: int = 6) -> str:
    return ", ".join(words[:limit]) + (", ..." if len(words) > limit else "")
