"""The leakage audit as a command: labels and OOD classes in, a table and a json out."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from negas.files import read_json
from negas.options import Options, option, overwrite_option
from negas.shipped import find_bank
from negas.text import plain_console, shown_text

from .bank import NegativeLabelBank
from .candidates import read_candidates
from .leakage import KINDS, LEAKS, USUAL_SENSES, Finding, audit
from .names import given_names, read_ood_names
from .nearness import Encode, Nearness, measure_nearness

if TYPE_CHECKING:
    from negas.embeddings.encoders import Encoder


@dataclass(frozen=True)
class AuditOptions(Options):
    """Which negative labels name an OOD test class?"""

    bank: str = option(help="label bank, or file of candidates", positional=True, metavar="BANK")
    ood: tuple[str, ...] = option(help="OOD test classes", metavar="NAMES")
    senses: int = option(
        USUAL_SENSES,
        help="look at the N most frequent WordNet meanings of a word; 0: all",
        metavar="N",
        ge=0,
    )
    encoder: str | None = option(
        None, help="CLIP-style model (directory or hub name): similarity too", metavar="MODEL"
    )
    template: str = option("a photo of a {}", help="text around names")
    quantile: float = option(
        0.95,
        help="report a label that is nearer to an OOD class than this share of the labels are to "
        "their nearest other label",
        ge=0,
        le=1,
    )
    threshold: float | None = option(
        None, help="a fixed cosine in place of the quantile", ge=-1, le=1
    )
    device: str = option("cpu", help="for the encoder")
    json_file: Path | None = option(
        None, help="write everything to this file", flag="--json", metavar="FILE", output=True
    )
    overwrite: bool = overwrite_option()
    fail_on: str | None = option(
        None,
        help=f"exit with 1 if a label leaks in this or a stronger way: {', '.join(KINDS)}",
        choices=KINDS,
        metavar="KIND",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fail_on == "similar" and not self.encoder:
            raise ValueError("--fail-on similar needs --encoder MODEL")


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

    def fails(self, kind: str) -> bool:
        """Whether a label leaks in this way or a stronger one."""
        strong_enough = KINDS[: KINDS.index(kind) + 1]
        return any(finding.kind in strong_enough for finding in self.findings)

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


def read_labels(path: str) -> tuple[str, ...]:
    """Negative labels of a bank, or of a file of candidates.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no labels.
    """
    path = find_bank(path)
    if Path(path).suffix == ".json" and Path(path).is_file() and _is_bank(path):
        return NegativeLabelBank.load(path).neg_labels
    return tuple(dict.fromkeys(read_candidates(path)))


def run_audit(options: AuditOptions) -> AuditReport:
    """Audit a file.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file that cannot be used.
    """
    labels = read_labels(options.bank)
    source = given_names(options.ood)
    classes = tuple(read_ood_names(source))
    findings = audit(labels, classes, senses=options.senses or None)
    nearness = None
    if options.encoder:
        encode = _encode(options)
        nearness = measure_nearness(labels, classes, encode, options.quantile, options.threshold)
        named = {(finding.label, finding.ood_name) for finding in findings}
        findings += [f for f in nearness.findings() if (f.label, f.ood_name) not in named]
    place = {label: i for i, label in enumerate(labels)}
    findings.sort(key=lambda f: place[f.label])
    settings = options.record() | {"ood": source}
    return AuditReport(labels, classes, tuple(findings), nearness, settings)


def _encode(options: AuditOptions) -> Encode:
    @functools.cache  # loaded when everything else is known to be fine
    def encoder() -> Encoder:
        from negas.embeddings.encoders import build_encoder

        return build_encoder(options.encoder, device=options.device)

    return lambda names: encoder().text(names, template=options.template, truncate=True)


def print_report(report: AuditReport, console=None) -> None:
    """Print the findings, strongest kind first, and the sentence to quote."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = console or plain_console(140)
    if report.findings:
        table = Table("label", "OOD class", "kind", "why", box=box.SIMPLE_HEAD)
        for finding in sorted(report.findings, key=lambda f: KINDS.index(f.kind)):
            cells = (finding.label, finding.ood_name, finding.kind, finding.detail)
            table.add_row(*(Text(shown_text(cell)) for cell in cells))
        console.print(table)
    if report.nearness is not None:
        near = report.nearness
        source = (
            "given"
            if near.quantile is None
            else f"{near.quantile:.0%} of the labels have no other label so near"
        )
        console.print(Text(f"similar: cosine of {near.threshold:.3f} or more ({source})"))
    console.print(Text(shown_text(report.sentence(), 1000)), soft_wrap=True)


def _is_bank(path: str) -> bool:
    try:
        data = read_json(path)
    except ValueError:
        return True  # the bank's loader says what is wrong
    return isinstance(data, dict) and "neg_labels" in data
