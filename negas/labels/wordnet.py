"""WordNet 3.0 without NLTK: meanings, what lies above and below them, plurals, proper nouns.

The lexicon (``data/wordnet/``) is made by ``tools/dev/build_wordnet_corpus.py``. Words are looked
up without regard to case, with spaces or underscores, in the singular or the plural.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from negas.shipped import HOME, RESTORE

from .names import name_key

FORMAT = "# negas lexicon 1"
DEFAULT = HOME / "data/wordnet/wordnet.txt.gz"
# Number -> name of the lexicographer files (lexnames(5WN)); verbs and adverbs are not needed.
LEXICOGRAPHER_FILES = {0: "adj.all", 1: "adj.pert", 44: "adj.ppl"} | dict(
    enumerate(
        """noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition
        noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive
        noun.object noun.person noun.phenomenon noun.plant noun.possession noun.process
        noun.quantity noun.relation noun.shape noun.state noun.substance noun.time""".split(),
        start=3,
    )
)
THINGS = ("noun.artifact", "noun.food", "noun.animal", "noun.plant")  # what can be looked at
# "Great Dane" and "Granny Smith" are written as names but stand for kinds of things.
_KINDS = {"noun.animal", "noun.plant", "noun.food"}
_SMALL_WORDS = {"a", "an", "and", "de", "der", "des", "for", "in", "la", "le", "of", "on", "the"}
_NAME = re.compile(r"[A-Z]['’]?[A-Za-z][\w.'’-]*|(?:[A-Z]\.)+|\d.*")
# Plural endings and what they stand for in the singular (morphy(7WN)).
_ENDINGS = (
    ("s", ""),
    ("ses", "s"),
    ("ves", "f"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)
_SHORTEST_STEM = 3  # "gas" is no plural of "Ga", gallium


class Synset(NamedTuple):
    """A set of words with one meaning.

    Attributes:
        id: ``n`` or ``a`` and WordNet 3.0's eight-digit offset.
        file: lexicographer file, say ``noun.artifact``: a coarse subject.
        lemmas: its words, case kept, spaces for underscores, the most usual one first.
        senses: per lemma, which of the lemma's meanings this is (1 = the most frequent one).
        hypernyms: ids of more general synsets.
        instance_of: ids of the synsets a named individual belongs to ("Paris" -> national capital).
    """

    id: str
    file: str
    lemmas: tuple[str, ...]
    senses: tuple[int, ...]
    hypernyms: tuple[str, ...] = ()
    instance_of: tuple[str, ...] = ()


class WordNet:
    """Look-up of nouns and adjectives.

    A word that is not in WordNet has no synsets and gives empty answers.
    """

    def __init__(self, synsets: Iterable[Synset], irregular: Mapping[str, tuple[str, ...]]) -> None:
        """Index synsets and irregular plurals (plural -> singulars)."""
        self.by_id = {synset.id: synset for synset in synsets}
        self._irregular = dict(irregular)
        self._ids: dict[str, list[tuple[int, str]]] = {}
        for synset in self.by_id.values():
            for lemma, sense in zip(synset.lemmas, synset.senses, strict=True):
                self._ids.setdefault(name_key(lemma), []).append((sense, synset.id))
        self._below: dict[str, list[str]] = {}
        for synset in self.by_id.values():
            for above in synset.hypernyms + synset.instance_of:
                self._below.setdefault(above, []).append(synset.id)
        self._squeezed: dict[str, list[str]] | None = None

    @classmethod
    def load(cls, path: str | os.PathLike = DEFAULT) -> WordNet:
        """Read the lexicon.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is cut short or no lexicon.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no WordNet lexicon; {RESTORE}")
        try:
            text = gzip.decompress(Path(path).read_bytes()).decode("utf-8")
            if not text.startswith(FORMAT + "\n"):
                raise ValueError("another format")
            synsets, irregular = text.partition("\n%synsets\n")[2].split("\n%irregular\n")
            return cls(map(_parse, synsets.split("\n")), _plurals(irregular))
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(
                f"{path}: not a WordNet lexicon of this version ({error}); {RESTORE}"
            ) from error

    def __len__(self) -> int:
        """Number of synsets."""
        return len(self.by_id)

    def __contains__(self, word: str) -> bool:
        """Whether the word, or what it may be the plural of, is a noun or adjective in WordNet."""
        return bool(self.synsets(word, part=None))

    def base_forms(self, word: str) -> list[str]:
        """The word's keys in the lexicon: itself and what it may be the plural of.

        "glasses" gives both "glasses" and "glass". Where neither is found, spelling with or
        without spaces and hyphens is tried ("fire-hydrant", "snow flake").
        """
        key = name_key(word)
        head, space, last = key.rpartition(" ")
        singulars = [head + space + form for form in _singulars(last, self._irregular)]
        forms = [key, *self._irregular.get(key, ()), *singulars]
        found = [form for form in dict.fromkeys(forms) if form in self._ids]
        if found:
            return found
        if self._squeezed is None:
            self._squeezed = {}
            for known in self._ids:
                self._squeezed.setdefault(_squeeze(known), []).append(known)
        hits = (hit for form in forms for hit in self._squeezed.get(_squeeze(form), ()))
        return list(dict.fromkeys(hits))

    def synsets(
        self, word: str, part: str | None = "noun", senses: int | None = None
    ) -> list[Synset]:
        """Meanings of a word, the most frequent first.

        Args:
            word: a noun or adjective, one or more words.
            part: ``noun``, ``adj`` or None for both.
            senses: how many of the most frequent meanings to look at; None: all.

        Raises:
            ValueError: for another part of speech.
        """
        if part not in ("noun", "adj", None):
            raise ValueError(f"part must be 'noun', 'adj' or None, got {part!r}.")
        letters = "na" if part is None else part[0]
        entries = [
            (sense, place, letters.index(id_[0]), id_)
            for place, form in enumerate(self.base_forms(word))
            for sense, id_ in self._ids[form]
            if id_[0] in letters and (senses is None or sense <= senses)
        ]
        return [self.by_id[id_] for id_ in dict.fromkeys(id_ for *_, id_ in sorted(entries))]

    def is_proper_noun(self, word: str) -> bool:
        """Whether every meaning of a noun is a name ("Paris", "Frisbee"); "turkey" is not.

        A meaning is a name if it is a named individual (an instance), or if the word is written as
        a name there and no synonym begins with a small letter ("TV" is also "television").
        Capitals of kinds of animals, plants and food ("Great Dane", the genus "Paris") do not tell.
        CHOICE: published work asks a language model; see ``negas.labels.selection.refine``.
        """
        forms = set(self.base_forms(word))
        verdicts = [
            verdict for s in self.synsets(word) if (verdict := _is_name(s, forms)) is not None
        ]
        return bool(verdicts) and all(verdicts)

    def above(self, ids: Iterable[str]) -> list[str]:
        """Ids of all more general synsets, the nearest first, without the given ones."""
        return _reach(ids, lambda id_: self.by_id[id_].hypernyms + self.by_id[id_].instance_of)

    def below(self, ids: Iterable[str]) -> list[str]:
        """Ids of all more special synsets and instances, the nearest first, without the given."""
        return _reach(ids, lambda id_: self._below.get(id_, ()))


def _reach(ids: Iterable[str], step: Callable[[str], Iterable[str]]) -> list[str]:
    front = list(dict.fromkeys(ids))
    seen, found = set(front), []
    while front:
        front = list(dict.fromkeys(n for id_ in front for n in step(id_) if n not in seen))
        seen.update(front)
        found += front
    return found


def _squeeze(word: str) -> str:
    return re.sub(r"[\W_]", "", word)


def _singulars(word: str, irregular: Mapping[str, tuple[str, ...]]) -> list[str]:
    forms = list(irregular.get(word, ()))
    if not word.endswith(("ss", "us", "is")):
        forms += [
            word.removesuffix(plural) + singular
            for plural, singular in _ENDINGS
            if word.endswith(plural) and len(word) - len(plural) + len(singular) >= _SHORTEST_STEM
        ]
    return forms


def _is_name(synset: Synset, forms: set[str]) -> bool | None:
    """Whether the lemma looked up is a name; None if its spelling does not tell."""
    if synset.instance_of:
        return True
    spelled = [lemma for lemma in synset.lemmas if name_key(lemma) in forms]
    if any(lemma[0].islower() for lemma in spelled):
        return False
    if synset.file in _KINDS:
        return None
    words = [word for lemma in spelled for word in lemma.split() if word not in _SMALL_WORDS]
    common = any(lemma[0].islower() for lemma in synset.lemmas)
    return not common and all(map(_NAME.fullmatch, words))


def _parse(line: str) -> Synset:
    id_, file, words, above, instance_of = line.split("\t")
    lemmas, senses = zip(*(word.rsplit("=", 1) for word in words.split("|")), strict=True)
    numbers = tuple(map(int, senses))
    return Synset(id_, file, lemmas, numbers, tuple(above.split()), tuple(instance_of.split()))


def _plurals(text: str) -> dict[str, tuple[str, ...]]:
    rows = (line.split("\t") for line in text.split("\n") if line)
    return {plural: tuple(singulars) for plural, *singulars in rows}
