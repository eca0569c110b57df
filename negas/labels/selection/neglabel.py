"""NegLabel's mining: keep the words of a corpus that are far from all ID labels (ICLR 2024).

Shape letters: C candidates, K ID labels, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .ranking import Selection, check_parts, lowest, unit_chunks, unit_rows

INTERPOLATIONS = ("linear", "index")


def id_similarity(
    candidate_feats,
    id_feats,
    percentile: float = 0.95,
    interpolation: str = "linear",
    max_similarity: float | None = None,
    chunk: int = 4096,
) -> np.ndarray:
    """How close each candidate is to the ID labels: a high percentile over them of the cosine.

    NegLabel's distance is the ``eta = 1 - percentile`` percentile of minus this.

    Args:
        candidate_feats: [C, D] array, memory map or tensor of text embeddings.
        id_feats: [K, D].
        percentile: in [0, 1]; 1 is the cosine to the nearest ID label.
        interpolation: ``linear`` between the two neighbours (NegLabel's code), or ``index``: the
            element ``int(percentile * K)`` of the sorted cosines (OpenOOD-VLM's code).
        max_similarity: candidates with a cosine over this to any ID label count as 1, so they
            come last (CSP: 0.95). None: no such rule.
        chunk: candidates per block; a block of cosines takes ``4 * chunk * K`` bytes.

    Returns:
        [C] float32.

    Raises:
        ValueError: an option out of range, or features that do not fit or are not finite.
    """
    if not 0 <= percentile <= 1:
        raise ValueError(f"percentile must be in [0, 1], got {percentile}.")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {interpolation!r}."
        )
    labels = unit_rows("id_feats", id_feats)
    count = len(labels)
    place = min(int(percentile * count), count - 1)
    found = []
    for _, rows in unit_chunks("candidate_feats", candidate_feats, labels.shape[1], chunk):
        cosines = rows @ labels.T
        if interpolation == "linear":
            value = np.quantile(cosines, percentile, axis=1)
        else:
            value = np.partition(cosines, place, axis=1)[:, place]
        if max_similarity is not None:
            value = np.where(cosines.max(axis=1) > max_similarity, 1.0, value)
        found.append(value.astype(np.float32))
    return np.concatenate(found)


def select_neglabel(
    candidate_feats,
    id_feats,
    pos: Sequence[str] | None = None,
    percentile: float = 0.95,
    interpolation: str = "linear",
    mode: str = "fraction",
    fraction: float = 0.15,
    num: int | None = None,
    max_similarity: float | None = None,
    chunk: int = 4096,
) -> Selection:
    """Keep the candidates that are least similar to the ID labels, the farthest first.

    The released code and the paper differ: the code (``fraction``) keeps a share of the nouns and
    the same share of the adjectives, the paper (``top``) the ``num`` farthest of all.

    Args:
        candidate_feats: [C, D] text embeddings, each with the template of its part of speech.
        id_feats: [K, D].
        pos: ``noun`` or ``adj`` per candidate; None: all are nouns.
        percentile: see :func:`id_similarity`.
        interpolation: see :func:`id_similarity`.
        mode: ``fraction`` (nouns, then adjectives), ``top`` of the union, or ``proportional``:
            ``num`` divided by the number of nouns and adjectives, adjectives first (OpenOOD-VLM).
        fraction: share per part of speech for ``fraction``.
        num: M for the other two; with fewer candidates all are kept.
        max_similarity: see :func:`id_similarity`.
        chunk: see :func:`id_similarity`.

    Returns:
        The choice, with the ``similarity`` of every candidate.

    Raises:
        ValueError: an option out of range, or features that do not fit or are not finite.
    """
    similarity = id_similarity(
        candidate_feats, id_feats, percentile, interpolation, max_similarity, chunk
    )
    parts = check_parts(pos, len(similarity))
    chosen = lowest(similarity, parts, mode, num, fraction)
    kept = set(chosen)
    reason = "more similar to the ID labels than the labels kept"
    settings = {"method": "neglabel", "percentile": percentile, "interpolation": interpolation}
    settings |= {"mode": mode} | ({"fraction": fraction} if mode == "fraction" else {"num": num})
    if max_similarity is not None:
        settings["max_similarity"] = max_similarity
    return Selection(
        chosen=tuple(chosen),
        dropped={i: reason for i in range(len(similarity)) if i not in kept},
        scores={"similarity": similarity.tolist()},
        settings=settings,
    )
