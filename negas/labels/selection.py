"""What a selection of negative labels hands on: which candidates, in which order, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


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
