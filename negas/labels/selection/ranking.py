"""What ways of choosing labels share: unit rows, the best of each part of speech, the outcome.

Shape letters: C candidates, K ID labels, D channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PARTS = ("noun", "adj")
MODES = ("fraction", "top", "proportional")


def unit_rows(argument: str, feats, width: int | None = None, dtype=np.float32) -> np.ndarray:
    """Check features and scale every row to length 1.

    Args:
        argument: what they are called in an error.
        feats: [N, D] array or tensor of any float type, rows of any length.
        width: D, when other features fix it.
        dtype: of the result.

    Returns:
        [N, D].

    Raises:
        ValueError: no rows, another number of axes or channels, NaN, infinite or all-zero rows.
    """
    if hasattr(feats, "detach"):  # a tensor on whatever device, maybe bfloat16
        feats = feats.detach().cpu().float()
    rows = np.asarray(feats, dtype=dtype)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(
            f"{argument} must be [N, D] with at least one row, got {list(rows.shape)}."
        )
    if width is not None and rows.shape[1] != width:
        raise ValueError(
            f"{argument} has {rows.shape[1]} channels where {width} are expected; encode "
            f"everything with the same model."
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if len(bad):
        raise ValueError(
            f"{argument} holds NaN, infinite or all-zero values in {len(bad)} of {len(rows)} rows "
            f"(the first is row {bad[0]}); encode these again."
        )
    return rows / lengths


def unit_chunks(argument: str, feats, width: int, chunk: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Unit rows of many candidates piece by piece, so that a memory map stays on disk.

    Raises:
        ValueError: as :func:`unit_rows`.
    """
    if getattr(feats, "ndim", None) != 2 or not len(feats):
        shape = list(getattr(feats, "shape", [])) or type(feats).__name__
        raise ValueError(f"{argument} must be [C, D] with at least one row, got {shape}.")
    for start in range(0, len(feats), chunk):
        piece = slice(start, min(start + chunk, len(feats)))
        yield piece, unit_rows(argument, feats[piece], width)


def check_parts(pos: Sequence[str] | None, count: int) -> np.ndarray:
    """Part of speech per candidate, [C]; without one all are nouns.

    Raises:
        ValueError: another length, or another part than ``noun`` and ``adj``.
    """
    parts = np.array([PARTS[0]] * count if pos is None else list(pos), dtype=str)
    if len(parts) != count:
        raise ValueError(f"pos has {len(parts)} entries for {count} candidates.")
    unknown = sorted(set(parts.tolist()) - set(PARTS))
    if unknown:
        raise ValueError(f"pos holds {unknown[0]!r}; every entry must be one of {PARTS}.")
    return parts


def lowest(
    values: np.ndarray,
    parts: np.ndarray,
    mode: str,
    num: int | None = None,
    fraction: float = 0.15,
    allowed: np.ndarray | None = None,
) -> list[int]:
    """Indices of the candidates with the lowest values; ties go to the smaller index.

    Args:
        values: [C].
        parts: [C] part of speech.
        mode: ``fraction`` takes ``int(fraction * n)`` of the n nouns, then of the adjectives;
            ``top`` the ``num`` lowest of all; ``proportional`` divides ``num`` in proportion
            (adjectives rounded down), adjectives first.
        num: for ``top`` and ``proportional``; where fewer are allowed, all of them are taken.
        fraction: for ``fraction``, in (0, 1].
        allowed: [C] bool, who takes part; None: all.

    Raises:
        ValueError: an unknown mode, ``num`` or ``fraction`` missing or out of range.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}.")
    if mode == "fraction":
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction must be in (0, 1], got {fraction}.")
    elif num is None or num < 1:
        raise ValueError(f"mode {mode!r} needs num, how many labels to keep (>= 1), got {num}.")
    ranked = np.argsort(values, kind="stable")
    if allowed is not None:
        ranked = ranked[allowed[ranked]]
    if mode == "top":
        return ranked[:num].tolist()
    noun, adj = (ranked[parts[ranked] == part].tolist() for part in PARTS)
    if mode == "fraction":
        kept = [i for group in (noun, adj) for i in group[: int(fraction * len(group))]]
        if not kept:
            raise ValueError(f"fraction {fraction} of {len(ranked)} candidates is none; raise it.")
        return kept
    if num >= len(ranked):
        return adj + noun
    quota = num * len(adj) // len(ranked)
    return adj[:quota] + noun[: num - quota]


@dataclass(frozen=True)
class Selection:
    """The outcome of one way of choosing negatives from C candidates.

    Attributes:
        chosen: indices of the kept candidates, best first.
        dropped: why each other candidate was left out, by index; every index of 0..C-1 is either
            chosen or dropped.
        scores: named values per candidate (say ``dissimilarity``), each of length C; ``nan`` where
            a stage did not look at the candidate.
        settings: the options that led here, for the bank's provenance.
    """

    chosen: tuple[int, ...]
    dropped: dict[int, str]
    scores: dict[str, Sequence[float]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """M, the number of kept candidates."""
        return len(self.chosen)

    def words(self, candidates: Sequence[str]) -> list[str]:
        """The kept candidates themselves, best first."""
        return [candidates[i] for i in self.chosen]
