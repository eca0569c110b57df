"""Lists of candidate words from WordNet, in an order that never changes.

NegLabel (ICLR 2024), CSP, NegRefine and InterNeg share one list: the first word of every synset,
in lower case, of 24 noun files (all but animals and food) and 3 adjective files: 58,546 nouns and
11,454 adjectives. :func:`load_corpus` makes it from WordNet 3.0: 58,514 nouns, 12,280 adjectives.
The released list was parsed from the lexicographers' source files and has some debris.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from negas.labels.selection.ranking import PARTS

from .names import name_key
from .wordnet import LEXICOGRAPHER_FILES, WordNet

NEGLABEL_EXCLUDED = ("noun.animal", "noun.food")
CSP_EXCLUDED = (*NEGLABEL_EXCLUDED, "noun.person", "noun.quantity", "noun.group", "adj.pert")
_CLEAN = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '.-])*")


@dataclass(frozen=True)
class Corpus:
    """C candidate words without repeats, nouns before adjectives.

    Attributes:
        words: lower case, spaces between words.
        parts: ``noun`` or ``adj``, per word.
    """

    words: tuple[str, ...]
    parts: tuple[str, ...]

    def __len__(self) -> int:
        """C, the number of words."""
        return len(self.words)

    def of(self, part: str) -> list[str]:
        """The words of one part of speech."""
        return [word for word, p in zip(self.words, self.parts, strict=True) if p == part]


def load_corpus(
    parts: Sequence[str] = PARTS,
    exclude_files: Sequence[str] = NEGLABEL_EXCLUDED,
    lemmas: str = "first",
    clean: bool = False,
    drop: Iterable[str] = (),
    wordnet: WordNet | None = None,
) -> Corpus:
    """Candidate words: lexicographer files by name, nouns first, WordNet's order within a file.

    CHOICE: the published codes order by the file system or by a hash seed; ours is fixed, removes
    ID labels (case ignored), and a word that is noun and adjective counts as noun.

    Args:
        parts: ``noun``, ``adj`` or both.
        exclude_files: lexicographer files to leave out; the default is what NegLabel's released
            list lacks, ``CSP_EXCLUDED`` what CSP's and NegRefine's lack, ``()`` keeps all.
        lemmas: ``first`` word of each synset (as released), or ``all`` its synonyms.
        clean: also leave out words with digits or signs other than ``' - .`` ("1750s", "24/7").
        drop: ID labels, removed where they occur exactly (case ignored).
        wordnet: the lexicon, if it is loaded already.

    Raises:
        ValueError: an unknown part, file or ``lemmas``, or nothing is left.
    """
    if not parts or set(parts) - set(PARTS):
        raise ValueError(f"parts must be some of {', '.join(PARTS)}, got {list(parts)}.")
    unknown = sorted(set(exclude_files) - set(LEXICOGRAPHER_FILES.values()))
    if unknown:
        raise ValueError(
            f"exclude_files names no file of WordNet with {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(sorted(LEXICOGRAPHER_FILES.values()))}."
        )
    if lemmas not in ("first", "all"):
        raise ValueError(f"lemmas must be 'first' or 'all', got {lemmas!r}.")
    wordnet = WordNet.load() if wordnet is None else wordnet
    wanted = [part for part in PARTS if part in parts]
    files: dict[str, list[str]] = {
        file: []
        for part in wanted
        for file in sorted(set(LEXICOGRAPHER_FILES.values()) - set(exclude_files))
        if file.startswith(part + ".")
    }
    for synset in wordnet.by_id.values():
        if synset.file in files:
            files[synset.file] += synset.lemmas if lemmas == "all" else synset.lemmas[:1]
    taken = {name_key(label) for label in drop}
    found: dict[str, str] = {}
    for file, words in files.items():
        for word in map(name_key, words):
            if word not in taken and (not clean or is_clean(word)):
                found.setdefault(word, file.partition(".")[0])
    if not found:
        raise ValueError("the corpus is empty; exclude fewer files.")
    return Corpus(tuple(found), tuple(found.values()))


def is_clean(word: str) -> bool:
    """Whether a word is made of letters, spaces, hyphens, apostrophes and full stops."""
    return bool(_CLEAN.fullmatch(word)) and sum(map(str.isalpha, word)) > 1


def corpus_features(
    corpus: Corpus,
    features: Callable[[list[str], Sequence[str]], np.ndarray],
    templates: Mapping[str, Sequence[str]],
) -> np.ndarray:
    """Embeddings of a corpus with sentences of their own for nouns and for adjectives.

    Args:
        corpus: C words.
        features: called with the words of one part and its sentences, returns [n, D], say
            :func:`negas.embeddings.store.encode_texts`.
        templates: sentences with one ``{}`` each, by part of speech. NegLabel: ``the nice {}`` for
            nouns (and for ID labels), ``This is a {} photo`` for adjectives.

    Returns:
        [C, D] float32 in the order of the corpus.

    Raises:
        ValueError: a part of the corpus has no templates.
    """
    parts = [part for part in PARTS if part in set(corpus.parts)]
    missing = [part for part in parts if not templates.get(part)]
    if missing:
        raise ValueError(f"templates has no sentence for {missing[0]!r}; give at least one.")
    rows: np.ndarray | None = None
    for part in parts:
        found = features(corpus.of(part), templates[part])
        if rows is None:
            rows = np.empty((len(corpus), found.shape[1]), np.float32)
        rows[np.array(corpus.parts) == part] = found
    return rows
