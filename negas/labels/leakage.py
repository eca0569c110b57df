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
:mod:`negas.labels.nearness`; the command that shows both is in :mod:`negas.labels.audit`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass

from tqdm import tqdm

from .bank import NegativeLabelBank
from .names import name_forms, name_key, name_words
from .wordnet import THINGS, WordNet

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
    as_things: bool = False,
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
        as_things: read the labels as words for things: of a label that shares no word with the
            class only its most frequent meaning counts, and its most frequent one that is an
            artifact, food, animal or plant. A "lion" is no person then, a "wheel" no bicycle. A
            "tiger" is one all the same: its first meaning in WordNet is a fierce person.

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
    spelled = [[(name_key(n), name_forms(n)) for n in names] for names in classes]
    words_of = [_word_forms(names) for names in classes]
    found = []
    for label in tqdm(labels, desc="audit", delay=2, leave=False, disable=None):
        key, forms = name_key(label), name_forms(label)
        mine = _Meanings(lexicon, label, senses) if meanings else None
        thing = mine.as_thing() if mine and as_things else mine
        words = _word_forms([label])
        for index, names in enumerate(classes):
            kind, detail = _spelling(key, forms, names, spelled[index])
            if not kind and mine:
                read = mine if words & words_of[index] else thing
                kind, detail = _strongest(map(read.relation, meanings[index]))
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
    findings, has_wordnet = audit_as_far_as_possible(labels, ood_names)
    strongest = strongest_findings(findings)
    kinds = {label: strongest[label].kind for label in labels if label in strongest}
    leaks = [label for label, kind in kinds.items() if kind in LEAKS]
    return dict(leaks=leaks, kinds=kinds, wordnet=has_wordnet)


def audit_as_far_as_possible(
    labels: Sequence[str], names: Sequence[str | Sequence[str]], as_things: bool = False
) -> tuple[list[Finding], bool]:
    """What :func:`audit` finds, and whether the lexicon was there.

    Without it (the package was installed without the repository) only exact names and inflections
    are found.
    """
    try:
        return audit(labels, names, wordnet=default_wordnet(), as_things=as_things), True
    except FileNotFoundError:
        return audit(labels, names, by=("exact", "inflection")), False


def strongest_findings(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Per label that was found, the finding of the strongest kind; of equal ones the first."""
    strongest: dict[str, Finding] = {}
    for finding in sorted(findings, key=lambda f: KINDS.index(f.kind)):
        strongest.setdefault(finding.label, finding)
    return strongest


class _Meanings:
    """A name's usual and all WordNet meanings, and what lies above them."""

    def __init__(self, wordnet: WordNet, name: str, senses: int | None) -> None:
        self._wordnet = wordnet
        words = name.replace("_", " ").split()
        # The name itself, or the longest end of it that WordNet knows.
        ends = (" ".join(words[start:]) for start in range(len(words)))
        self.word = next((end for end in ends if wordnet.synsets(end)), name)
        self.is_head = name_key(self.word) != name_key(name)
        self._usual = wordnet.synsets(self.word, senses=1 if self.is_head else senses)
        self._all = self._usual if self.is_head else wordnet.synsets(self.word)
        self.is_plain = not self.is_head and len(self._all) == 1  # whether it has one meaning only

    def as_thing(self) -> _Meanings:
        """The same with two meanings at most: the first, and the first that is a thing."""
        thing = copy(self)
        things = [synset for synset in self._all if synset.file in THINGS]
        thing._usual = thing._all = [*self._all[:1], *things[:1]]
        return thing

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
        return {rare: frozenset(self._wordnet.above(ids)) for rare, ids in self.ids.items()}

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
            f"(similarity of embeddings: negas.labels.nearness)."
        )
    return wanted


def _word_forms(names: Iterable[str]) -> frozenset[str]:
    """Forms of the single words of names."""
    words = (word for name in names for word in name_words(name))
    return frozenset().union(*map(name_forms, words))


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
