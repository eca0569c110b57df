"""What a preparation found and wrote, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from negas.files import file_sha256
from negas.labels.leakage import LEAKS, Finding, audit_as_far_as_possible
from negas.text import counted, shown_text


@dataclass(frozen=True)
class Check:
    """A number beside the one that is known from the official or published set.

    Attributes:
        what: what is counted.
        got: our value.
        known: the known value.
        at_least: ``known`` is a lower bound.
    """

    what: str
    got: int | str
    known: int | str
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the value agrees with what is known."""
        return self.got >= self.known if self.at_least else self.got == self.known


@dataclass
class Prepared:
    """One output file.

    Attributes:
        path: the file.
        is_new: False if it held the same bytes already.
        counts: what was counted, by what people call it.
        checks: comparisons with known numbers.
        notes: sentences that a user should read.
        overlap: classes of an OOD set that name an ID class; ``None``: not looked for.
    """

    path: Path
    is_new: bool
    counts: dict[str, int | str]
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    overlap: list[Finding] | None = None


def find_overlap(ood_names: Sequence[str], id_names: Sequence[str]) -> tuple[list[Finding], str]:
    """OOD classes that name an ID class, in words: same word, synonym, kind of it or broader word.

    Returns:
        Findings (``label`` is the OOD class, ``ood_name`` the ID class), and a note that is empty
        unless the lexicon is missing, so that only spelling was compared.
    """
    findings, has_wordnet = audit_as_far_as_possible(ood_names, id_names)
    note = "WordNet is not there (data/wordnet): synonyms were not looked for."
    return findings, "" if has_wordnet else note


def print_prepared(results: Sequence[Prepared]) -> bool:
    """Print what was done.

    Returns:
        Whether all known numbers agree.
    """
    for result in results:
        print(f"{result.path}: {'written' if result.is_new else 'unchanged'}")
        counts = ", ".join(f"{name}: {value}" for name, value in result.counts.items())
        print(f"  {counts}")
        print(f"  sha256 {file_sha256(result.path)}")
        for check in result.checks:
            known = f"{'at least ' if check.at_least else ''}{check.known}"
            verdict = "as known" if check.holds else f"DIFFERS from the known {known}"
            if check.holds and check.at_least:
                verdict = f"fits the known lower bound {check.known}"
            print(f"  {check.what}: {check.got}, {verdict}")
        for note in result.notes:
            print(f"  note: {shown_text(note, 400)}")
        if result.overlap is not None:
            _print_overlap(result.overlap)
    if not any(result.is_new for result in results):
        print("nothing to do: all files are there with this content")
    return all(check.holds for result in results for check in result.checks)


def _print_overlap(overlap: Sequence[Finding]) -> None:
    leaks = [finding for finding in overlap if finding.kind in LEAKS]
    near = [finding for finding in overlap if finding.kind not in LEAKS]
    print(f"  overlap by class name: {counted(len(leaks), 'OOD class')} naming an ID class")
    for finding in leaks + near:
        mark = "" if finding.is_leak else " (listed only)"
        detail = f": {shown_text(finding.detail)}" if finding.detail else ""
        names = f"{shown_text(finding.label)} ~ {shown_text(finding.ood_name)}"
        print(f"    {names}, {finding.kind}{mark}{detail}")
