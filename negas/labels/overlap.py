"""How many negatives name an OOD class: the number that stands beside every claim."""

from __future__ import annotations

import re
from collections.abc import Sequence

_IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "oxen": "ox",
    "knives": "knife",
    "leaves": "leaf",
    "loaves": "loaf",
    "scarves": "scarf",
    "shelves": "shelf",
    "wolves": "wolf",
    "calves": "calf",
    "skis": "ski",
    "taxis": "taxi",
    "bikinis": "bikini",
    "kiwis": "kiwi",
}


def overlap(neg_labels: Sequence[str], ood_names: Sequence[str]) -> list[str]:
    """The negative labels that name an OOD class, in their order.

    Case, plural, underscores, hyphens, leading articles and spaces inside a word ("hot dog",
    "hotdog") do not matter. Synonyms and hypernyms are not found ("kitten" is not "cat"): the list
    is a lower bound.
    """
    classes = [_tokens(name) for name in ood_names]
    return [label for label in neg_labels if any(_same(_tokens(label), c) for c in classes)]


def name_forms(name: str) -> frozenset[str]:
    """Spellings that stand for a name; two names mean the same word if they share one.

    What :func:`overlap` ignores is ignored here too: "Wine_Glasses" has the form "wineglass". Of
    names of more than 6 words only the last word may be a plural.
    """
    tokens = _tokens(name)
    joined = [""]
    for token in tokens if len(tokens) <= 6 else ["".join(tokens)]:
        joined = [start + form for start in joined for form in sorted(_singulars(token))]
    return frozenset(joined) | _singulars("".join(tokens))


def _tokens(name: str) -> list[str]:
    tokens = re.findall(r"[^\W_]+", name.replace("'", "").casefold())
    return tokens[1:] if len(tokens) > 1 and tokens[0] in ("a", "an", "the") else tokens


def _same(first: list[str], second: list[str]) -> bool:
    if len(first) == len(second):
        return all(_singulars(a) & _singulars(b) for a, b in zip(first, second, strict=True))
    return bool(_singulars("".join(first)) & _singulars("".join(second)))


def _singulars(word: str) -> set[str]:
    """The word and what it may be the plural of: "buses" -> buses, buse, bus."""
    forms = {word, _IRREGULAR.get(word, word)}
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        forms.add(word[:-1])
        if word.endswith("ies"):
            forms.add(word[:-3] + "y")
        elif word.endswith("es"):
            forms.add(word[:-2])
    return forms
