"""CSP's pool: adjectives become labels of their own with a vague noun behind them (NeurIPS 2024).

CSP encodes nouns and ID labels in eight sentences and the conjugated adjectives in four (templates
``csp`` and ``csp-adjective``), takes the mean of the embeddings **before** they are normalised, and
scores as NegLabel does.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from negas.labels.corpus import Corpus
from negas.labels.names import name_key

from .neglabel import select_neglabel
from .ranking import Selection

SUPER_CLASSES = (
    "environment",
    "space",
    "object",
    "scene",
    "place",
    "item",
    "area",
    "view",
    "thing",
    "pattern",
    "structure",
    "landscape",
    "vista",
    "creature",
)


def conjugate(
    corpus: Corpus,
    seed: int = 0,
    super_classes: Sequence[str] = SUPER_CLASSES,
    drop: Iterable[str] = (),
) -> Corpus:
    """Put a random super-class noun behind every adjective: "gaudy" -> "gaudy scene".

    CHOICE: "direct object" and a few others are nouns already; the noun stays, the pair goes.

    Args:
        corpus: nouns and adjectives; CSP leaves out the files ``CSP_EXCLUDED`` of
            :mod:`negas.labels.corpus`.
        seed: of a generator of its own; one draw per adjective, in the order of the corpus.
        super_classes: the nouns to draw from.
        drop: ID labels; a pair that is one of them (case ignored) goes, too.

    Returns:
        A corpus of the same order, no word twice. An adjective keeps its part ``adj``, which
        decides on templates and quotas.

    Raises:
        ValueError: no super-class nouns.
    """
    if not super_classes:
        raise ValueError("super_classes is empty; give at least one noun.")
    draw = random.Random(seed)
    taken = {name_key(word) for word in (*corpus.of("noun"), *drop)}
    found: dict[str, str] = {}
    for word, part in zip(corpus.words, corpus.parts, strict=True):
        if part == "adj":
            word = f"{word} {draw.choice(super_classes)}"
            if name_key(word) in taken:
                continue
        found.setdefault(word, part)
    return Corpus(tuple(found), tuple(found.values()))


def select_csp(
    candidate_feats,
    id_feats,
    pos: Sequence[str] | None = None,
    percentile: float = 0.95,
    max_similarity: float = 0.95,
    mode: str = "fraction",
    fraction: float = 0.15,
    num: int | None = None,
    chunk: int = 4096,
) -> Selection:
    """NegLabel's mining with near copies of an ID label last; NegRefine: ``percentile=1``.

    Arguments, result and errors are those of
    :func:`~negas.labels.selection.neglabel.select_neglabel`.
    """
    chosen = select_neglabel(
        candidate_feats,
        id_feats,
        pos,
        percentile=percentile,
        mode=mode,
        fraction=fraction,
        num=num,
        max_similarity=max_similarity,
        chunk=chunk,
    )
    chosen.settings["method"] = "csp"
    return chosen
