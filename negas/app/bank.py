"""What another bank changes: on a picture, and on ID validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from negas.boxes import box_iou
from negas.labels.leakage import audit_as_far_as_possible
from negas.labels.selection.neglabel import select_neglabel
from negas.labels.vocabulary import COMMON, Vocabulary
from negas.predictions import Results

from .judging import MISSING, share_known, verdict

COLUMNS = ("label", "id_score", "nearest negative", "verdict")
SAME = 0.9  # IoU from which two boxes of one label are the same


@dataclass(frozen=True)
class Change:
    """What became of one box.

    Attributes:
        number: of the second look, from 1.
        label: its ID name.
        scores: before and after.
        likes: nearest negatives.
        verdicts: in words.
    """

    number: int
    label: str
    scores: tuple[float, float]
    likes: tuple[str, str]
    verdicts: tuple[str, str]

    @property
    def flipped(self) -> bool:
        """Whether it has another verdict."""
        return self.verdicts[0] != self.verdicts[1]


def changes(before: Results, after: Results) -> list[Change]:
    """Boxes of two looks with the same ID names, those first whose verdict changed.

    Negatives move no box; the last digits may differ.

    Args:
        before: judged at the tau of the one bank.
        after: judged at that of the other.
    """
    first, second = before[before.labels >= 0], after[after.labels >= 0]
    if not len(first) or not len(second):
        return []
    overlap = np.asarray(box_iou(first.boxes, second.boxes))
    overlap = np.where(first.labels[:, None] == second.labels[None], overlap, 0)
    found = []
    for row, other in enumerate(overlap.argmax(1).tolist()):
        if overlap[row, other] < SAME:
            continue
        one, two = first[row], second[other]
        found.append(
            Change(
                other + 1,
                one.name,
                tuple(np.nan if x.id_score is None else x.id_score for x in (one, two)),
                tuple(x.unknown_like or MISSING for x in (one, two)),
                tuple(verdict(x.known, x.label) for x in (one, two)),
            )
        )
    return sorted(found, key=lambda change: not change.flipped)


def validation_lines(
    before: np.ndarray | None,
    after: np.ndarray | None,
    tau_before: float | None,
    tau_after: float | None,
) -> list[str]:
    """What another bank does to ID validation boxes, as sentences.

    Args:
        before: scores ``[v]``; ``None``: none are of these names.
        after: scores ``[v]`` of the same boxes.
        tau_before: of the one bank.
        tau_after: of the other.
    """
    if before is None or after is None or tau_before is None or tau_after is None:
        return ["There are no ID validation boxes of these ID names, so no tau follows."]
    lines = [f"tau goes from {tau_before:.3f} to {tau_after:.3f}."]
    kept = share_known(after, tau_before)
    lines.append(
        f"At the old tau {kept:.1%} of the {len(after)} ID validation boxes would be known, where "
        f"{share_known(before, tau_before):.1%} were."
    )
    return lines


def names_of_ids(words: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Sentences on negatives that name an ID class, or a kind of one."""
    findings, _ = audit_as_far_as_possible(words, [(name,) for name in classes], as_things=True)
    told = dict.fromkeys((f.label, f.ood_name) for f in findings if f.is_leak)
    return [f"{label!r} names the ID class {name!r}." for label, name in told]


def proposed(
    classes: Sequence[str], words: Sequence[str], feats: tuple[np.ndarray, np.ndarray], num: int
) -> list[str]:
    """The words that are farthest from all ID names (NegLabel's rule, with the detector's texts).

    Args:
        classes: K ID names.
        words: V candidates.
        feats: embeddings ``[K, D]`` and ``[V, D]``.
        num: how many.

    Raises:
        ValueError: see :func:`negas.labels.selection.neglabel.select_neglabel`.
    """
    chosen = select_neglabel(feats[1], feats[0], mode="top", num=num).chosen
    return [words[i] for i in chosen]


def candidates(classes: Sequence[str]) -> list[str]:
    """Words of the shipped vocabulary that name no ID class."""
    return list(Vocabulary.load(COMMON).without(classes).words)
