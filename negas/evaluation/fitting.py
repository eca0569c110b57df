"""Scores that are fitted on ID boxes: on which boxes of a run, and their states as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from negas.labels.names import first_difference
from negas.metrics import PRESETS
from negas.records import BoxRecords
from negas.scores import FittedScore, Score
from negas.text import shown

from .cuts import find_cut
from .recorded import Recorded

if TYPE_CHECKING:
    from typing import Self

FOLDER = "fitted"  # of a run, with the states of its scores
SUFFIX = ".safetensors"
_WHOSE = {  # what a state belongs to, and how to say that it differs
    "score": "another score",
    "options": "other score options",
    "id_labels": "other ID labels",
    "neg_labels": "other negative labels",
    "checkpoint_sha256": "another checkpoint",
    "base_sha256": "another base checkpoint",
}


@dataclass(frozen=True, eq=False)
class FittedState:
    """What a score learned of ID boxes.

    Attributes:
        tensors: of :meth:`negas.scores.FittedScore.fit`.
        about: what JSON can hold: ``score``, ``options``, ``logits`` (head or cosine), the ``set``
            with its ``ann_file``, ``images``, ``boxes`` and their least confidence ``cut``, and
            whose they are: ``id_labels``, ``neg_labels`` (``None``: not read),
            ``checkpoint_sha256`` and ``base_sha256`` (``None``: not known).
    """

    tensors: dict[str, Any]
    about: dict[str, Any]

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file, whole or not at all."""
        from negas.embeddings.tensor_file import write_tensors

        write_tensors(path, self.tensors, self.about)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of :meth:`save`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, or no state of a score.
        """
        from negas.embeddings.tensor_file import read_tensors

        if not Path(path).is_file():
            raise FileNotFoundError(
                f"state {str(path)!r} does not exist; negas test and negas score --out write "
                "one for each fitted score"
            )
        try:
            tensors, about = read_tensors(path)
            if lost := {*_WHOSE, "set", "boxes", "images"} - set(about):
                raise ValueError(f"it has no {sorted(lost)[0]!r}")
        except ValueError as error:
            raise ValueError(
                f"state {str(path)!r} is no state of a fitted score ({error}); fit it again"
            ) from error
        return cls(tensors, about)

    def check(self, score: Score, whose: Mapping[str, Any], where: str = "the state") -> None:
        """Make sure that it belongs to a score and a detector.

        Args:
            score: that is to have it.
            whose: ``id_labels`` (or ``class_names``), ``neg_labels``, ``checkpoint_sha256``,
                ``base_sha256``; what is not known there or here is not compared.
            where: what to call it in the error.

        Raises:
            ValueError: it was fitted for another one.
        """
        wanted = _whose(score, whose.get("id_labels") or whose.get("class_names"), whose)
        for key, what in _WHOSE.items():
            mine, other = self.about[key], wanted[key]
            if mine is None or other is None or mine == other:
                continue
            if isinstance(mine, list):
                difference = first_difference(mine, other)
            else:
                difference = f"{shown(mine)} instead of {shown(other)}"
            raise ValueError(
                f"{where} was fitted for {what} ({difference}); fit it again for this detector"
            )


def _whose(score: Score, id_labels: Sequence[str] | None, whose: Mapping[str, Any]) -> dict:
    negatives = whose.get("neg_labels") if score.needs_negatives else None
    return dict(
        score=score.name,
        options=asdict(score),
        id_labels=None if id_labels is None else list(id_labels),
        neg_labels=None if negatives is None else list(negatives),
        **{key: whose.get(key) for key in ("checkpoint_sha256", "base_sha256")},
    )


def over_cut(records: BoxRecords, cut: float) -> BoxRecords:
    """Detections of a set: what a score is fitted on."""
    return records.select(records.scores >= np.float32(cut))


def fit_state(
    score: FittedScore,
    records: BoxRecords,
    cut: float,
    weights: Mapping[str, Any],
    cosine: bool = False,
    head: Mapping[str, Any] | None = None,
) -> FittedState:
    """Fit a score on the detections of ID images, false ones among them, as detected.

    Args:
        score: without a state.
        records: of the fit set.
        cut: least confidence.
        weights: with ``checkpoint_sha256`` and ``base_sha256``, as far as they are known.
        cosine: whether the records hold cosines in place of head logits.
        head: what the detector was trained with for scores, if anything.

    Raises:
        ValueError: boxes without embeddings, or too few.
    """
    boxes = over_cut(records, cut)
    known = {key: weights.get(key) for key in ("checkpoint_sha256", "base_sha256")}
    about = _whose(score, records.meta.get("id_labels"), known | records.meta)
    about |= dict(
        logits="cosine" if cosine else "head",
        set=records.meta.get("set"),
        ann_file=records.meta.get("ann_file"),
        images=len(np.unique(boxes.image_ids)),
        boxes=len(boxes),
        cut=float(cut),
    )
    tensors = {key: torch.as_tensor(value).cpu() for key, value in (head or {}).items()}
    return FittedState(score.fit(boxes, head=tensors), about)


def fitted_score(
    run: Recorded, score: Score, records: Mapping[str, BoxRecords], cosine: bool = False
) -> Score:
    """A score that can be used on a run: fitted once on ``run.fit_set``, where it has to be.

    Args:
        run: whose cut says which boxes it is fitted on.
        score: any.
        records: by set, as the score reads them; another bank's negatives are standardised anew.
        cosine: whether they hold cosines.

    Raises:
        ValueError: the run lacks the fit set, or its boxes cannot be fitted on.
    """
    if not score.needs_fit:
        return score
    name = run.fit_set
    if name not in run.records:
        raise ValueError(
            f"{run.path}: the score {score.name!r} is fitted on the boxes of {name!r}, which the "
            f"run lacks; test again with test_cfg.{name}_dataloader, or leave the score out"
        )
    cut = find_cut(run, PRESETS["val_f1"]).value
    with run.fitting:  # two threads would fit it twice
        if (score, cosine, name) not in run.fitted:
            boxes = run.records[name]
            if score.needs_negatives and boxes.neg_logits is None:
                boxes = records[name]
            elif cosine:
                boxes = boxes.as_cosines()
            run.fitted[score, cosine, name] = fit_state(
                score, boxes, cut, run.info, cosine, run.head
            )
    state = run.fitted[score, cosine, name].tensors
    if score.needs_negatives:
        state = score.with_negatives(state, over_cut(records[name], cut).neg_logits)
    return score.with_state(state)


def fit_of(run: Recorded, score: Score, cosine: bool = False) -> dict[str, Any] | None:
    """``set``, ``boxes`` and ``images`` that a score was fitted on; ``None``: it is not fitted."""
    found = run.fitted.get((score, cosine, run.fit_set)) if score.needs_fit else None
    return found and {key: found.about[key] for key in ("set", "boxes", "images")}


def save_states(run: Recorded, home: Path) -> list[Path]:
    """Write the states of a run's fitted scores to ``<home>/fitted``; those of an earlier run go.

    Returns:
        What was written: ``knn.safetensors``, and ``knn_2.safetensors`` of other options.
    """
    folder = home / FOLDER
    for old in folder.glob(f"*{SUFFIX}"):
        old.unlink()
    written: list[Path] = []
    for state in run.fitted.values():
        name = state.about["score"]
        count = 1 + sum(path.name.startswith((f"{name}.", f"{name}_")) for path in written)
        path = folder / f"{name}{'' if count == 1 else f'_{count}'}{SUFFIX}"
        written.append(state.save(path))
    return written
