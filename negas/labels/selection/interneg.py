"""InterNeg's selection (CVPR 2026): texts farther from every class's images than its name is.

Shape letters: C candidates, K ID labels, D channels, N images of a class.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from .ranking import Selection, check_parts, lowest, unit_chunks, unit_rows


def image_proxies(image_feats: Sequence) -> np.ndarray:
    """One direction per class: the mean of its normalised image embeddings, normalised.

    CHOICE: embeddings of the test-time view, in float32; the released code takes random crops and
    sums in half precision.

    Args:
        image_feats: K arrays [N, D]; N may differ between classes (16 in the paper).

    Returns:
        [K, D] float32.

    Raises:
        ValueError: a class without images, or values that are not finite.
    """
    if not len(image_feats):
        raise ValueError("image_feats is empty; give the image embeddings of at least one class.")
    means = [unit_rows(f"image_feats[{k}]", f).mean(axis=0) for k, f in enumerate(image_feats)]
    return unit_rows("image_feats", np.stack(means))


def base_distances(id_feats, proxies) -> np.ndarray:
    """Distance between a class's name and its images, ``d_k = 1 - cos(t_k, p_k)``, [K] float32.

    Args:
        id_feats: [K, D] text embeddings.
        proxies: [K, D] of :func:`image_proxies`.

    Raises:
        ValueError: shapes that do not fit or values that are not finite.
    """
    labels = unit_rows("id_feats", id_feats)
    proxies = unit_rows("proxies", proxies, labels.shape[1])
    if len(proxies) != len(labels):
        raise ValueError(f"proxies has {len(proxies)} rows for {len(labels)} ID labels; one each.")
    return 1 - (labels * proxies).sum(axis=1)


def deviations(
    candidate_feats, proxies, base: np.ndarray, chunk: int = 4096
) -> tuple[np.ndarray, np.ndarray]:
    """The all-classes test and the deviation degree of texts.

    Args:
        candidate_feats: [C, D] array, memory map or tensor.
        proxies: [K, D].
        base: [K] of :func:`base_distances`.
        chunk: candidates per block.

    Returns:
        ``passes`` [C] bool, whether ``1 - cos(y, p_k) > d_k`` for every k, and ``deviation`` [C]
        float64, ``sum_k (1 - cos(y, p_k) - d_k)`` (the released code stores the mean).

    Raises:
        ValueError: shapes that do not fit or values that are not finite.
    """
    proxies = unit_rows("proxies", proxies)
    base = np.asarray(base, dtype=np.float32)
    if base.shape != (len(proxies),):
        raise ValueError(f"base must be [{len(proxies)}], one per proxy, got {list(base.shape)}.")
    passes, deviation = [], []
    for _, rows in unit_chunks("candidate_feats", candidate_feats, proxies.shape[1], chunk):
        excess = (1 - rows @ proxies.T) - base
        passes.append((excess > 0).all(axis=1))
        deviation.append(excess.sum(axis=1, dtype=np.float64))
    return np.concatenate(passes), np.concatenate(deviation)


def select_interneg(
    candidate_feats,
    id_feats,
    proxies,
    pos: Sequence[str] | None = None,
    num: int = 2000,
    mode: str = "proportional",
    chunk: int = 4096,
) -> Selection:
    """Keep the texts that pass for all classes and deviate most.

    Args:
        candidate_feats: [C, D] text embeddings.
        id_feats: [K, D] text embeddings of the ID labels.
        proxies: [K, D] of :func:`image_proxies`.
        pos: ``noun`` or ``adj`` per candidate; None: all are nouns.
        num: M; where fewer pass, all of them are kept, with a warning.
        mode: ``proportional``: M divided by the number of nouns and adjectives that pass,
            adjectives first (released code); ``top`` of the union (paper).
        chunk: candidates per block.

    Returns:
        The choice, with the ``deviation`` of every candidate; ``settings["warning"]`` holds the
        warning if there is one.

    Raises:
        ValueError: an option out of range, features that do not fit or are not finite, or no
            candidate passes.
    """
    if mode == "fraction":
        raise ValueError("mode must be 'proportional' or 'top', got 'fraction'.")
    passes, deviation = deviations(
        candidate_feats, proxies, base_distances(id_feats, proxies), chunk
    )
    parts = check_parts(pos, len(passes))
    if not passes.any():
        raise ValueError(
            "no candidate is farther from the images of every ID class than the class's own name; "
            "give more candidates, or check that texts and images come from the same model."
        )
    chosen = lowest(-deviation, parts, mode, num, allowed=passes)
    settings = {"method": "interneg", "mode": mode, "num": num, "passed": int(passes.sum())}
    if settings["passed"] < num:
        settings["warning"] = (
            f"only {settings['passed']} of {len(passes)} candidates are farther from the images of "
            f"every ID class than the class's own name, and {num} were asked for; give more"
        )
        warnings.warn(settings["warning"], stacklevel=2)
    kept = set(chosen)
    near = "as close to an ID class's images as the class's own name"
    low = "deviates less from the ID images than the labels kept"
    return Selection(
        chosen=tuple(chosen),
        dropped={i: low if passes[i] else near for i in range(len(passes)) if i not in kept},
        scores={"deviation": deviation.tolist()},
        settings=settings,
    )
