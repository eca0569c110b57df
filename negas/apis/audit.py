"""The leakage audit as a command: labels and OOD classes in, a table and a json out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from negas.files import write_atomically
from negas.labels.audit import KINDS, LEAKS, USUAL_SENSES, Finding, audit
from negas.labels.audit_similarity import Encode, Nearness, measure_nearness
from negas.labels.bank import NegativeLabelBank
from negas.labels.candidates import FileCandidates
from negas.labels.ood_names import read_ood_names

_FILES = (".json", ".txt")


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        labels: the M negative labels.
        classes: the OOD classes, each with its names.
        findings: all of them; a label may have several.
        nearness: of the text embeddings, if an encoder was given.
        settings: what was audited and how.
    """

    labels: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]
    findings: tuple[Finding, ...]
    nearness: Nearness | None
    settings: dict

    @property
    def leaks(self) -> list[str]:
        """Labels that name an OOD class, each once, in their order."""
        return list(dict.fromkeys(f.label for f in self.findings if f.is_leak))

    @property
    def counts(self) -> dict[str, int]:
        """How many labels have each kind as their strongest."""
        strongest: dict[str, int] = {}
        for finding in self.findings:
            rank = KINDS.index(finding.kind)
            strongest[finding.label] = min(rank, strongest.get(finding.label, rank))
        ranks = list(strongest.values())
        return {kind: ranks.count(rank) for rank, kind in enumerate(KINDS)}

    def sentence(self) -> str:
        """The outcome, to quote."""
        counts = self.counts
        share = len(self.leaks) / len(self.labels)
        parts = ", ".join(f"{counts[kind]} {kind}" for kind in LEAKS)
        others = [kind for kind in KINDS if kind not in LEAKS]
        if self.nearness is None:
            others.remove("similar")
        listed = ", ".join(f"{counts[kind]} {kind}" for kind in others)
        return (
            f"{len(self.leaks)} of {len(self.labels)} labels ({share:.1%}) name one of the "
            f"{len(self.classes)} OOD classes: {parts}. Listed, not counted: {listed}."
        )

    def to_dict(self) -> dict:
        """JSON form."""
        data = dict(
            sentence=self.sentence(),
            num_labels=len(self.labels),
            num_ood_classes=len(self.classes),
            num_leaks=len(self.leaks),
            leaks=self.leaks,
            counts=self.counts,
            findings=[asdict(finding) for finding in self.findings],
            settings=self.settings,
        )
        if self.nearness is not None:
            data["nearness"] = asdict(self.nearness)
        return data

    def save(self, path: Path) -> None:
        """Write the JSON form, whole or not at all."""
        write_atomically(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")


def read_labels(path: str) -> tuple[str, ...]:
    """Negative labels of a bank, or of a file of candidates.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no labels.
    """
    if Path(path).suffix == ".json" and Path(path).is_file() and _is_bank(path):
        return NegativeLabelBank.load(path).neg_labels
    return tuple(dict.fromkeys(FileCandidates(path).raw_names))


def given_names(given: Sequence[str]) -> str | list[str]:
    """What stands behind ``--ood``: the path of a file, or names with or without commas."""
    if len(given) == 1 and (Path(given[0]).suffix in _FILES or Path(given[0]).is_file()):
        return given[0]
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def make_report(
    bank: str,
    ood: Sequence[str],
    senses: int | None = USUAL_SENSES,
    encode: Encode | None = None,
    quantile: float = 0.95,
    threshold: float | None = None,
    settings: dict | None = None,
) -> AuditReport:
    """Audit a file.

    Args:
        bank: a bank or a file of candidates.
        ood: a file of OOD classes, or their names.
        senses: see :func:`negas.labels.audit.audit`.
        encode: names to text embeddings, for similarity.
        quantile: see :func:`negas.labels.audit_similarity.measure_nearness`.
        threshold: see there.
        settings: more to note, say the encoder.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file or a number that cannot be used.
    """
    labels = read_labels(bank)
    source = given_names(ood)
    classes = tuple(read_ood_names(source))
    findings = audit(labels, classes, senses=senses)
    nearness = None
    if encode is not None:
        nearness = measure_nearness(labels, classes, encode, quantile, threshold)
        named = {(finding.label, finding.ood_name) for finding in findings}
        findings += [f for f in nearness.findings() if (f.label, f.ood_name) not in named]
    place = {label: i for i, label in enumerate(labels)}
    findings.sort(key=lambda f: place[f.label])
    noted = dict(bank=str(bank), ood=source, senses=senses) | (settings or {})
    return AuditReport(labels, classes, tuple(findings), nearness, noted)


def print_report(report: AuditReport, console=None) -> None:
    """Print the findings, strongest kind first, and the sentence to quote."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=140)
    if report.findings:
        table = Table("label", "OOD class", "kind", "why", box=box.SIMPLE_HEAD)
        for finding in sorted(report.findings, key=lambda f: KINDS.index(f.kind)):
            style = "red" if finding.is_leak else ""
            cells = (finding.label, finding.ood_name, finding.kind, finding.detail)
            table.add_row(*(Text(cell, style=style) for cell in cells))
        console.print(table)
    if report.nearness is not None:
        near = report.nearness
        source = (
            "given"
            if near.quantile is None
            else f"{near.quantile:.0%} of the labels have no other label so near"
        )
        console.print(Text(f"similar: cosine of {near.threshold:.3f} or more ({source})"))
    console.print(Text(report.sentence()), soft_wrap=True)


def _is_bank(path: str) -> bool:
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return True  # the bank's loader says what is wrong
    return isinstance(data, dict) and "neg_labels" in data
