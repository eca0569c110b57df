"""Leakage audit: which negative labels name a class of the OOD test set, and how closely.

A negative that names a test class makes the test easier than the world is, as if one had trained on
the answer. Six ways of naming are found with words alone, in the order of their strength; the first
four count as a leak, the other two are listed:

========== =====================================================================================
exact      the same name; case, spaces and underscores do not matter
inflection the same word in another form: plural, hyphens, "hotdog" (:mod:`negas.labels.names`)
synonym    both words share a WordNet meaning ("sofa", "couch")
hyponym    the label is a kind of the class ("park bench", "bench")
compound   WordNet lacks the label, and its last words name the class or a kind of it: "plastic
           fork" for "fork", but also "jet ski" for "ski"
hypernym   the class is a kind of the label ("vehicle", "truck")
========== =====================================================================================

The last kind, ``similar`` (text embeddings closer than a threshold), is in
:mod:`negas.labels.leakage`.

Leakage that words do not show: labels whose text embedding is near that of an OOD class.

A cosine of 0.85 says little by itself: CLIP's texts are all alike, another encoder's are not. The
threshold is therefore read off the bank: how near are its labels to each other, which are meant to
be different things?

Shapes: M labels, N OOD classes, D text channels.

The leakage audit as a command: labels and OOD classes in, a table and a json out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from negas.files import read_json, write_json

from .bank import NegativeLabelBank
from .candidates import FileCandidates
from .names import name_forms, read_ood_names
from .wordnet import WordNet, word_key

if TYPE_CHECKING:  # a lexicon look-up needs no arrays: functions that do import it
    import numpy as np

KINDS = ("exact", "inflection", "synonym", "hyponym", "compound", "hypernym", "similar")
WORD_KINDS = KINDS[:-1]  # what :func:`audit` finds
LEAKS = KINDS[:4]  # what counts as naming a class
USUAL_SENSES = 2


@dataclass(frozen=True)
class Finding:
    """A label and the OOD class it names.

    Attributes:
        label: the negative label.
        ood_name: the class, by its first name.
        kind: one of :data:`KINDS`, the strongest that holds for the pair.
        detail: why, for people: the other name that matched, or the WordNet meaning.
    """

    label: str
    ood_name: str
    kind: str
    detail: str = ""

    @property
    def is_leak(self) -> bool:
        """Whether it counts; a compound, a broader word or a similar one does not."""
        return self.kind in LEAKS


@functools.cache
def default_wordnet() -> WordNet:
    """The lexicon of ``data/wordnet/``, read once."""
    return WordNet.load()


def audit(
    labels: Sequence[str],
    ood_names: Sequence[str | Sequence[str]],
    by: Iterable[str] = WORD_KINDS,
    wordnet: WordNet | None = None,
    senses: int | None = USUAL_SENSES,
) -> list[Finding]:
    """Find the labels that name an OOD class, by words alone.

    CHOICE: WordNet lists rare meanings too (a "dog" is a hot dog, a "poster" a horse), so
    only the ``senses`` most frequent meanings of both words are compared; if one of the two words
    has a single meaning, all meanings of the other count ("computer mouse" and "mouse"). Of the
    last words of a compound the most frequent meaning counts alone.

    Args:
        labels: the M negative labels.
        ood_names: the OOD classes; a class may be a list of its names, which is shown by the first.
        by: which of :data:`WORD_KINDS` to look for.
        wordnet: the lexicon; by default the shipped one, read only if ``by`` needs it.
        senses: most frequent meanings of a word to look at; None: all.

    Returns:
        One finding per pair, in the order of the labels, then of the classes.

    Raises:
        ValueError: an unknown kind, or ``senses`` below 1.
        FileNotFoundError: ``by`` needs the shipped lexicon and it is not there.
    """
    wanted = _checked_kinds(by)
    if senses is not None and senses < 1:
        raise ValueError(f"senses must be at least 1, or None for all meanings; got {senses}.")
    classes = [(entry,) if isinstance(entry, str) else tuple(entry) for entry in ood_names]
    meanings = None
    if wanted - {"exact", "inflection"}:
        lexicon = default_wordnet() if wordnet is None else wordnet
        meanings = [[_Meanings(lexicon, n, senses) for n in names] for names in classes]
    spelled = [[(word_key(n), name_forms(n)) for n in names] for names in classes]
    found = []
    for label in tqdm(labels, desc="audit", delay=2, leave=False, disable=None):
        key, forms = word_key(label), name_forms(label)
        mine = _Meanings(lexicon, label, senses) if meanings else None
        for index, names in enumerate(classes):
            kind, detail = _spelling(key, forms, names, spelled[index])
            if not kind and mine:
                kind, detail = _strongest(mine.relation(other) for other in meanings[index])
            if kind in wanted:
                found.append(Finding(label, names[0], kind, detail))
    return found


def leaking(
    bank: NegativeLabelBank | Sequence[str],
    ood_names: Sequence[str | Sequence[str]],
    by: Iterable[str] = LEAKS,
    wordnet: WordNet | None = None,
) -> list[str]:
    """The labels that name an OOD class, in their order.

    Args:
        bank: a bank or its negative labels.
        ood_names: as in :func:`audit`.
        by: which kinds count; ``("exact", "inflection")`` needs no WordNet.
        wordnet: as in :func:`audit`.

    Raises:
        ValueError: an unknown kind.
        FileNotFoundError: ``by`` needs the shipped lexicon and it is not there.
    """
    labels = bank.neg_labels if isinstance(bank, NegativeLabelBank) else bank
    findings = audit(labels, ood_names, by=by, wordnet=wordnet)
    return list(dict.fromkeys(finding.label for finding in findings))


def leakage(labels: Sequence[str], ood_names: Sequence[str | Sequence[str]]) -> dict:
    """The leaks of a bank as result files hold them.

    Returns:
        ``leaks`` (labels, in their order), ``kinds`` (label -> its strongest kind, of all that
        :func:`audit` finds, also those that do not count) and ``wordnet``: False if the lexicon is
        not there (the package was installed without the repository), so that only exact names
        and inflections were found.
    """
    try:
        findings, has_wordnet = audit(labels, ood_names, wordnet=default_wordnet()), True
    except FileNotFoundError:
        findings, has_wordnet = audit(labels, ood_names, by=("exact", "inflection")), False
    kinds: dict[str, str] = {}
    for finding in sorted(findings, key=lambda f: KINDS.index(f.kind)):
        kinds.setdefault(finding.label, finding.kind)
    kinds = {label: kinds[label] for label in labels if label in kinds}
    leaks = [label for label, kind in kinds.items() if kind in LEAKS]
    return dict(leaks=leaks, kinds=kinds, wordnet=has_wordnet)


class _Meanings:
    """A name's usual and all WordNet meanings, and what lies above them."""

    def __init__(self, wordnet: WordNet, name: str, senses: int | None) -> None:
        self._wordnet = wordnet
        words = name.replace("_", " ").split()
        # The name itself, or the longest end of it that WordNet knows.
        ends = (" ".join(words[start:]) for start in range(len(words)))
        self.word = next((end for end in ends if wordnet.synsets(end)), name)
        self.is_head = word_key(self.word) != word_key(name)
        self._usual = wordnet.synsets(self.word, senses=1 if self.is_head else senses)
        self._all = self._usual if self.is_head else wordnet.synsets(self.word)

    @property
    def is_plain(self) -> bool:
        """Whether the word has one meaning only."""
        return not self.is_head and len(self._all) == 1

    @functools.cached_property
    def ids(self) -> dict[bool, frozenset[str]]:
        """Ids of its usual meanings, and (key True) of all."""
        return {
            rare: frozenset(synset.id for synset in synsets)
            for rare, synsets in ((False, self._usual), (True, self._all))
        }

    @functools.cached_property
    def above(self) -> dict[bool, frozenset[str]]:
        """Ids of everything more general."""
        return {rare: self._closure(ids) for rare, ids in self.ids.items()}

    def _closure(self, ids: frozenset[str]) -> frozenset[str]:
        reached: set[str] = set()
        front = set(ids)
        while front:
            synsets = (self._wordnet.by_id[id_] for id_ in front)
            front = {up for s in synsets for up in s.hypernyms + s.instance_of} - reached
            reached |= front
        return frozenset(reached - ids)

    def relation(self, other: _Meanings) -> tuple[str, str]:
        """What this name is to the other: a kind and why, or two empty texts."""
        mine, theirs = other.is_plain, self.is_plain  # a plain word vouches for the other's meaning
        same = self.ids[mine] & other.ids[theirs]
        under = self.above[mine] & other.ids[theirs]
        over = self.ids[mine] & other.above[theirs]
        if self.is_head and other.is_head:
            kind, shared = "", same  # two kinds of sign may have nothing else in common
        elif self.is_head:
            kind, shared = "compound", same | under
        elif other.is_head:
            kind, shared = "hypernym", same | over  # "sign" for a "stop sign" that WordNet lacks
        elif same or under:
            kind, shared = ("synonym", same) if same else ("hyponym", under)
        else:
            kind, shared = "hypernym", over
        if not kind or not shared:
            return "", ""
        synset = self._wordnet.by_id[min(shared)]
        head = f"ends in '{self.word}': " if self.is_head else ""
        return kind, f"{head}{', '.join(synset.lemmas[:3])} ({synset.file})"


def _checked_kinds(by: Iterable[str]) -> set[str]:
    wanted = {by} if isinstance(by, str) else set(by)
    unknown = sorted(wanted - set(WORD_KINDS))
    if unknown:
        raise ValueError(
            f"unknown kinds of leakage {unknown}; use some of {', '.join(WORD_KINDS)} "
            f"(similarity of embeddings has its own function)."
        )
    return wanted


def _spelling(
    key: str,
    forms: frozenset[str],
    names: Sequence[str],
    spelled: Sequence[tuple[str, frozenset[str]]],
) -> tuple[str, str]:
    if key == spelled[0][0]:
        return "exact", ""
    if forms & spelled[0][1]:
        return "inflection", ""
    for name, (_, other) in zip(names[1:], spelled[1:], strict=True):
        if forms & other:
            return "synonym", f"'{name}' is given as another name"
    return "", ""


def _strongest(relations: Iterable[tuple[str, str]]) -> tuple[str, str]:
    found = [relation for relation in relations if relation[0]]
    return min(found, key=lambda pair: KINDS.index(pair[0]), default=("", ""))


Encode = Callable[[list[str]], object]  # names -> [n, D] embeddings: a tensor or an array


@dataclass(frozen=True)
class Nearness:
    """How near the labels come to the OOD classes.

    Attributes:
        labels: the M labels.
        nearest: of each label, the OOD class with the largest cosine.
        cosines: that cosine, in [-1, 1].
        baseline: of each label, the largest cosine to another label of the bank.
        threshold: labels at or over it are reported.
        quantile: of the baseline, where the threshold was taken; None if it was given.
    """

    labels: tuple[str, ...]
    nearest: tuple[str, ...]
    cosines: tuple[float, ...]
    baseline: tuple[float, ...]
    threshold: float
    quantile: float | None

    def share_below(self, cosine: float) -> float:
        """Share of labels whose nearest other label is less near than ``cosine``, in [0, 1]."""
        import numpy as np

        return float(np.mean(np.asarray(self.baseline) < cosine))

    def findings(self) -> list[Finding]:
        """The labels at or over the threshold, with their nearest class."""
        rows = zip(self.labels, self.nearest, self.cosines, strict=True)
        return [
            Finding(
                label,
                name,
                "similar",
                f"cosine {cosine:.3f}; {self.share_below(cosine):.0%} of the labels have no other "
                f"label so near",
            )
            for label, name, cosine in rows
            if cosine >= self.threshold
        ]


def measure_nearness(
    labels: Sequence[str],
    ood_names: Sequence[str | Sequence[str]],
    encode: Encode,
    quantile: float = 0.95,
    threshold: float | None = None,
) -> Nearness:
    """Compare text embeddings of labels and OOD classes (of a class, its first name).

    CHOICE: by default a label is reported if it is nearer to an OOD class than ``quantile`` of the
    labels are to their nearest other label.

    Args:
        labels: the M negative labels, at least two unless ``threshold`` is given.
        ood_names: the N OOD classes, at least one.
        encode: names to embeddings of any length; called once for labels and once for classes.
        quantile: of the baseline, in [0, 1].
        threshold: a cosine in [-1, 1] in place of the quantile.

    Raises:
        ValueError: a number out of range, nothing to compare, or embeddings that are not finite.
    """
    import numpy as np

    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must be in [0, 1], got {quantile}.")
    if threshold is not None and not -1 <= threshold <= 1:
        raise ValueError(f"threshold must be a cosine in [-1, 1], got {threshold}.")
    if len(labels) < (2 if threshold is None else 1) or not len(ood_names):
        raise ValueError(
            f"got {len(labels)} labels and {len(ood_names)} OOD classes; similarity needs two "
            f"labels to compare with each other (or a threshold), and a class."
        )
    names = [entry if isinstance(entry, str) else entry[0] for entry in ood_names]
    feats, class_feats = _unit(encode(list(labels))), _unit(encode(names))
    if feats.shape[1] != class_feats.shape[1]:
        raise ValueError("the encoder gave embeddings of different widths for labels and classes.")
    # 70,000 labels do not fit against each other at once
    to_classes, baseline = [], []
    for start in range(0, len(feats), 2048):
        block = feats[start : start + 2048]
        to_classes.append(block @ class_feats.T)
        among = block @ feats.T
        among[np.arange(len(block)), np.arange(start, start + len(block))] = -1.0
        baseline.append(among.max(1))
    cosines, baseline = np.clip(np.concatenate(to_classes), -1, 1), np.concatenate(baseline)
    best = cosines.argmax(1)
    limit = float(np.quantile(baseline, quantile)) if threshold is None else threshold
    return Nearness(
        labels=tuple(labels),
        nearest=tuple(names[i] for i in best),
        cosines=tuple(cosines.max(1).tolist()),
        baseline=tuple(np.clip(baseline, -1, 1).tolist()),
        threshold=limit,
        quantile=quantile if threshold is None else None,
    )


def _unit(feats: object) -> np.ndarray:
    import numpy as np

    array = np.asarray(feats, dtype=np.float64)
    norms = np.linalg.norm(array, axis=-1, keepdims=True)
    if not np.isfinite(array).all() or not (norms > 0).all():
        raise ValueError("the encoder gave embeddings with NaN, infinity or only zeros.")
    return array / norms


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
        write_json(path, self.to_dict())


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
        senses: see :func:`negas.labels.leakage.audit`.
        encode: names to text embeddings, for similarity.
        quantile: see :func:`negas.labels.leakage.measure_nearness`.
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
        data = read_json(path)
    except ValueError:
        return True  # the bank's loader says what is wrong
    return isinstance(data, dict) and "neg_labels" in data
