"""Selection of NegAS: candidates that look like an ID class and mean something else.

Shapes: C candidates, K ID labels, D channels of a joint text-image space.
"""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import numpy as np

from .ranking import Selection, unit_chunks, unit_rows

Scale = Literal["clip_score", "cosine"]
_CHUNK = 8192  # candidates at a time: a corpus may lie in a memory map
_DECIMALS = 6  # similarities closer than float32's noise are ties


def select_visual(
    candidate_feats: object,
    id_feats: object,
    prototypes: object | None,
    num: int = 20,
    min_similarity: float | None = 0.5,
    scale: Scale = "clip_score",
    keep_fraction: float | None = None,
) -> Selection:
    """Visual filter, then the ``num`` candidates that are least like the ID labels as texts.

    A candidate c passes the filter if ``max_y sim(e_c, p_y)`` over the visual prototypes p reaches
    ``min_similarity``; those that pass are ranked by the dissimilarity ``1 - max_y cos(e_c, e_y)``
    to the ID texts, largest first, ties in the order of the candidates.

    CHOICE: the paper's threshold 0.5 has no stated scale. Cosines between CLIP's texts and images
    lie near 0.2-0.35, so ``cosine`` >= 0.5 keeps nothing; ``clip_score = 2.5 * max(cos, 0)`` >= 0.5
    means a cosine of 0.2. Encoders of another scale need another number, or ``keep_fraction``.

    Args:
        candidate_feats: ``[C, D]`` text embeddings, tensor or array; normalised here.
        id_feats: ``[K, D]`` text embeddings of the ID labels.
        prototypes: ``[K, D]`` of :func:`negas.labels.prototypes.class_prototypes`, or ``None`` to
            leave the filter out.
        num: M, how many to keep.
        min_similarity: least visual similarity, on the given scale.
        scale: ``clip_score`` or ``cosine``.
        keep_fraction: pass this share of the candidates, the visually closest, in place of a fixed
            threshold.

    Returns:
        Scores ``visual_similarity`` and ``looks_like`` (index of the closest prototype; both nan
        without prototypes), ``text_similarity`` and ``dissimilarity``. ``settings["warning"]``
        holds the warning if fewer than ``num`` are left.

    Raises:
        ValueError: shapes that do not fit, NaN, unknown scale, bad numbers, or no candidate passes.
    """
    if scale not in get_args(Scale):
        raise ValueError(f"scale must be one of {', '.join(get_args(Scale))}, got {scale!r}.")
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}.")
    if keep_fraction is not None and not 0 < keep_fraction <= 1:
        raise ValueError(f"keep_fraction must lie in (0, 1], got {keep_fraction}.")
    ids = unit_rows("id_feats", id_feats)
    width, count = ids.shape[1], len(candidate_feats)
    looks = None if prototypes is None else unit_rows("prototypes", prototypes, width)
    similarity, visual, looks_like = np.zeros(count), np.full(count, np.nan), np.full(count, np.nan)
    for piece, texts in unit_chunks("candidate_feats", candidate_feats, width, _CHUNK):
        similarity[piece] = (texts @ ids.T).max(axis=1)
        if looks is not None:
            cosines = texts @ looks.T
            visual[piece] = scaled(cosines.max(axis=1), scale)
            looks_like[piece] = cosines.argmax(axis=1)
    similarity, visual = np.round(similarity, _DECIMALS), np.round(visual, _DECIMALS)
    threshold, passed = None, np.ones(count, dtype=bool)
    if looks is not None:
        threshold = _threshold(visual, min_similarity, keep_fraction)
        passed = visual >= threshold
    survivors = np.flatnonzero(passed)
    settings = dict(
        method="visual", num=num, scale=scale, min_similarity=threshold, survivors=len(survivors),
        keep_fraction=keep_fraction, prototypes=prototypes is not None,
    )  # fmt: skip
    if not len(survivors):
        raise ValueError(
            f"no candidate has a visual similarity ({scale}) of {threshold:g} or more, the largest "
            f"is {visual.max():.3f}; lower min_similarity, use another scale, or keep_fraction."
        )
    if len(survivors) < num:
        settings["warning"] = _too_few(len(survivors), num, threshold, scale)
        warnings.warn(settings["warning"], stacklevel=2)
    order = survivors[np.argsort(similarity[survivors], kind="stable")]
    dropped = {
        int(i): f"visual similarity {visual[i]:.3f} is below {threshold:.3f} ({scale})"
        for i in np.flatnonzero(~passed)
    }
    for rank, i in enumerate(order[num:], start=num + 1):
        dropped[int(i)] = f"rank {rank} by dissimilarity ({1 - similarity[i]:.3f}), {num} are kept"
    return Selection(
        chosen=tuple(int(i) for i in order[:num]),
        dropped=dropped,
        scores=dict(
            visual_similarity=visual.tolist(),
            looks_like=looks_like.tolist(),
            text_similarity=similarity.tolist(),
            dissimilarity=(1 - similarity).tolist(),
        ),
        settings=settings,
    )


def scaled(cosines: np.ndarray, scale: Scale) -> np.ndarray:
    """Cosines on a named scale: themselves, or CLIPScore (Hessel et al., 2021)."""
    return cosines if scale == "cosine" else 2.5 * np.maximum(cosines, 0)


def _threshold(
    visual: np.ndarray, min_similarity: float | None, keep_fraction: float | None
) -> float:
    if keep_fraction is not None:
        keep = max(1, round(keep_fraction * len(visual)))
        return float(np.sort(visual)[::-1][keep - 1])
    if min_similarity is None:
        raise ValueError("give min_similarity or keep_fraction: the filter needs one of them.")
    return float(min_similarity)


def _too_few(found: int, num: int, threshold: float | None, scale: Scale) -> str:
    if threshold is None:
        return f"there are {found} candidates for {num} negative labels; bring more candidates."
    return (
        f"only {found} of {num} negative labels wanted: the others look unlike every ID class "
        f"(visual similarity below {threshold:.3g} on the scale {scale!r}); lower min_similarity, "
        f"choose the other scale, or bring more candidates."
    )
