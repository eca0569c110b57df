"""Options of ANTS: the recommended ones, and the authors' code as a preset."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from negas.image_level.ants_mining import ThresholdRule

Mode = Literal["adaptive", "far_only", "near_only"]
Images = Literal["negatives", "all"]


@dataclass(frozen=True)
class AntsOptions:
    """What ANTS lets one choose; ``AUTHORS_CODE`` holds the values of the released code.

    Args:
        mode: both kinds of negatives, only captions (what the released far scripts run), or only
            similar labels (near scripts).
        eta: share of the low scores that are negative images.
        threshold_rule: see ``negative_threshold``.
        initial_threshold: of negative images, until the first update.
        min_candidates: captions are made when more negative images than this wait.
        max_updates: at most this many times.
        max_captions: captions that are kept; the oldest go first.
        similar_from: which images' predictions choose the ID classes that get similar labels:
            the negative images' (paper) or all (code).
        similar_share: share of the ID classes that do, in (0, 1]; at least one class.
        similar_limit: their number, instead of a share (code: 40).
        similar_per_class: most similar labels of a class.
        similar_start: number of the first batch that chooses classes, from 1.
        similar_interval: and every so many batches from then on.
        similar_template: prompt of the similar labels; captions are encoded as they are.
        weight_from: images whose mean scores set the weight: all negative images so far, with the
            present negatives (paper), or all images, each with the negatives of its time, in
            groups of K labels and ten times the similar labels (code).
        group_length: labels per group of NegLabel's score, for banks of more labels.
        seed: of the groups' permutation.
    """

    mode: Mode = "adaptive"
    eta: float = 0.5
    threshold_rule: ThresholdRule = "percentile"
    initial_threshold: float = 0.8
    min_candidates: int = 200
    max_updates: int = 20
    max_captions: int = 10_000
    similar_from: Images = "negatives"
    similar_share: float = 0.08
    similar_limit: int | None = None
    similar_per_class: int = 5
    similar_start: int = 10
    similar_interval: int = 40
    similar_template: str = "the nice {}"
    weight_from: Images = "negatives"
    group_length: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {
            "mode": get_args(Mode),
            "threshold_rule": get_args(ThresholdRule),
            "similar_from": get_args(Images),
            "weight_from": get_args(Images),
        }
        for option, allowed in choices.items():
            self._require(option, getattr(self, option) in allowed, f"one of {', '.join(allowed)}")
        self._require("eta", 0 < self.eta < 1, "in (0, 1)")
        self._require("initial_threshold", 0 <= self.initial_threshold <= 1, "in [0, 1]")
        self._require("similar_share", 0 < self.similar_share <= 1, "in (0, 1]")
        self._require(
            "similar_template", self.similar_template.count("{}") == 1, "one {} in a text"
        )
        counts = ("max_captions", "similar_per_class", "similar_start", "similar_interval")
        for option in (*counts, "group_length"):
            self._require(option, getattr(self, option) >= 1, "at least 1")
        for option in ("min_candidates", "max_updates"):
            self._require(option, getattr(self, option) >= 0, "at least 0")
        limit = self.similar_limit
        self._require("similar_limit", limit is None or limit >= 1, "None or at least 1")

    def similar_count(self, classes: int) -> int:
        """How many of the ID classes get similar labels."""
        if self.similar_limit is not None:
            return self.similar_limit
        return max(1, round(self.similar_share * classes))

    def as_dict(self) -> dict[str, Any]:
        """All options, JSON-able."""
        return asdict(self)

    def _require(self, option: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f"ants: {option} must be {expected}, got {getattr(self, option)!r}.")


AUTHORS_CODE = AntsOptions(
    max_updates=10,
    similar_from="all",
    similar_limit=40,
    similar_template="The nice {}.",
    weight_from="all",
)
