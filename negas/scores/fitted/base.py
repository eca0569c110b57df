"""What scores share that are fitted on the embeddings of ID boxes.

Such a score has a *state*, a flat dict of tensors: ``score.with_state(score.fit(records))`` scores
boxes. A score without a state refuses to.

**Test it on other instances than those it was fitted on**: where the same objects occur in the fit
set and in the ID test set, a fitted score remembers them and looks better than it is.

Shape letters: N fit boxes, n scored boxes, K ID labels, M negative labels, D channels of a region
embedding; a box's embedding has E = D + 1 entries, see :class:`negas.records.BoxRecords`.
"""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import torch
from torch import Tensor

from negas.records import BoxRecords

from ..base import ArrayLike, EmbeddingScore
from .sampling import per_class

if TYPE_CHECKING:
    from typing import Self

State = dict[str, Tensor]
FEW = 10  # boxes of a class, below which a fit warns
FOLDS = 5  # of images, where a state cannot leave out single ones
STANDARD_BOXES = 10_000  # enough for a mean and a standard deviation


@dataclass(frozen=True, eq=False)
class FitBoxes:
    """Boxes of ID images that a score is fitted on.

    Attributes:
        embeddings: ``[N, D + 1]``, float16, float32 or float64.
        id_logits: ``[N, K]``; ``[N, 1]`` where only the best label's logit is known.
        labels: ``[N]`` int64, the ID label of each box.
        images: ``[N]`` int64, equal for boxes of one image.
        names: of the ID labels, or their numbers.
        neg_logits: ``[N, M]``, or ``None``.
        head: tensors that the detector was trained with for scores, see
            :meth:`negas.models.interface.OODDetector.score_head`; empty: none.
    """

    embeddings: Tensor
    id_logits: Tensor
    labels: Tensor
    images: Tensor
    names: tuple[str, ...]
    neg_logits: Tensor | None = None
    head: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls, source: BoxRecords | Mapping[str, ArrayLike], labels: ArrayLike | None = None
    ) -> FitBoxes:
        """Boxes of records, or arrays by the names of the attributes.

        Args:
            source: records, or ``embeddings``, ``id_logits`` and perhaps ``neg_logits`` and
                ``images`` (without them each box is an image of its own).
            labels: ``[N]``; ``None``: the records' own, or the best logit's.

        Raises:
            ValueError: there are no embeddings, or rows do not agree.
        """
        if isinstance(source, BoxRecords):
            arrays: dict[str, Any] = dict(
                embeddings=source.embeddings,
                id_logits=source.best_logits,
                neg_logits=source.neg_logits,
                images=source.image_keys,
            )
            labels = source.labels if labels is None else labels
            names = source.meta.get("id_labels") or map(str, range(source.num_ids))
        else:
            arrays, names = dict(source), None
        if arrays.get("embeddings") is None:
            raise ValueError(
                "a fitted score needs the embeddings of ID boxes and got none: test with "
                "model.test_cfg.keep_embeddings=True"
            )
        found = {key: torch.as_tensor(value) for key, value in arrays.items() if value is not None}
        count = len(found["embeddings"])
        found.setdefault("images", torch.arange(count))
        best = found["id_logits"].argmax(dim=1) if labels is None else torch.as_tensor(labels)
        found["labels"] = best.to(torch.int64)
        for key, value in found.items():
            if len(value) != count:
                raise ValueError(f"{key} has {len(value)} rows for {count} embeddings")
        if names is None:
            most = int(best.max()) + 1 if count else 0
            names = map(str, range(max(found["id_logits"].shape[1], most)))
        return cls(names=tuple(names), **found)

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def feats(self) -> Tensor:
        """Region embeddings ``[N, D]``."""
        return self.embeddings[:, :-1]

    def select(self, rows: Tensor) -> FitBoxes:
        """The boxes of a mask or of indices."""
        by_box = ("embeddings", "id_logits", "labels", "images", "neg_logits")
        found = {key: getattr(self, key) for key in by_box}
        kept = {key: value[rows] for key, value in found.items() if value is not None}
        return replace(self, **kept)

    def warn_of_few(self) -> None:
        """Warn where a class has fewer than :data:`FEW` boxes."""
        counts = torch.bincount(self.labels, minlength=len(self.names)).tolist()
        few = [f"{self.names[i]} ({count})" for i, count in enumerate(counts) if count < FEW]
        if few:
            shown = ", ".join(few[:8]) + (", ..." if len(few) > 8 else "")
            warnings.warn(
                f"{len(few)} of {len(counts)} classes have fewer than {FEW} boxes to fit scores "
                f"on: {shown}; do not rely on what is fitted",
                stacklevel=3,
            )


@dataclass(frozen=True)
class FittedScore(EmbeddingScore):
    """A score that is fitted on ID boxes.

    A box of an image of the fit set is judged without that image (``images`` of the call), so that
    a fit set can judge itself: by name where single boxes are stored, else by a fit on the other
    four of five folds of images.

    Args:
        neg_weight: w of ``z(score) - w * z(max negative logit)``, both standardised on the fit set;
            0: the score as it is, without negatives.
        max_boxes: fit on at most as many boxes, the same number of each class; ``None``: all.
        seed: of that choice.

    Attributes:
        with_logit: whether ``z(best ID logit)`` is added to ``z(score)``.
    """

    needs_fit: ClassVar[bool] = True
    needs_logits: ClassVar[bool] = False
    with_logit: ClassVar[bool] = False

    neg_weight: float = 0.0
    max_boxes: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        put = object.__setattr__  # the dataclass is frozen
        if not self.neg_weight >= 0:
            raise ValueError(
                f"score '{self.name}': neg_weight must be at least 0, got {self.neg_weight!r}."
            )
        if self.max_boxes is not None:
            self._whole("max_boxes", 1)
        self._whole("seed", 0)
        if self.neg_weight:
            put(self, "needs_negatives", True)
        put(self, "_state", None)
        put(self, "_images", None)

    # --- fitting ------------------------------------------------------------------------------
    def fit(
        self,
        boxes: BoxRecords | FitBoxes | Mapping[str, ArrayLike],
        labels: ArrayLike | None = None,
        head: Mapping[str, Tensor] | None = None,
    ) -> State:
        """What the score has to know of ID boxes.

        Args:
            boxes: of ID images other than those of the test; records, or arrays as
                :meth:`FitBoxes.of` takes them.
            labels: ``[N]``, the ID label of each; ``None``: as detected.
            head: of the detector, see :class:`FitBoxes`; scores that it is not for ignore it.

        Returns:
            A flat dict of tensors, for :meth:`with_state`.

        Raises:
            ValueError: boxes without embeddings (or without negatives, where ``neg_weight`` is
                set), or of fewer than two images.
        """
        found = boxes if isinstance(boxes, FitBoxes) else FitBoxes.of(boxes, labels)
        found = replace(
            found, id_logits=found.id_logits / self.temperature, head=head or found.head
        )
        kept = self._chosen(found)
        if (images := len(kept.images.unique())) < 2:
            raise ValueError(
                f"score '{self.name}' needs boxes of at least two ID images to be fitted on, got "
                f"{len(kept)} boxes of {images} images"
            )
        if self.needs_negatives and found.neg_logits is None:
            raise ValueError(
                f"score '{self.name}': neg_weight={self.neg_weight} needs negative logits of the "
                "fit boxes; give the model a negative label bank"
            )
        found.warn_of_few()
        state = self._fit(kept)
        if self._by_folds:
            state |= self._fold_states(kept, state)
        state["size"] = torch.tensor(found.embeddings.shape[1])
        if self.with_logit or self.neg_weight:
            state |= self._statistics(state, found)
        return self.with_negatives(state, found.neg_logits) if self.needs_negatives else state

    def with_negatives(self, state: State, neg_logits: ArrayLike) -> State:
        """The state with other negative logits ``[N, M]`` of the fit boxes, of another bank say."""
        best = torch.as_tensor(neg_logits).amax(dim=1) / self.temperature
        return state | _moments("negative", best)

    def with_state(self, state: Mapping[str, Tensor]) -> Self:
        """This score, fitted: with what :meth:`fit` gave."""
        return self._but(_state=dict(state))

    @property
    def is_fitted(self) -> bool:
        """Whether it has a state."""
        return self._state is not None

    @abstractmethod
    def _fit(self, boxes: FitBoxes) -> State:
        """Tensors of the method."""

    @abstractmethod
    def _raw(self, state: State, ids: Tensor, embeddings: Tensor, images: Tensor | None) -> Tensor:
        """Scores ``[n]`` of ``ids [n, K]`` and ``embeddings [n, D + 1]``, larger = known.

        Args:
            state: of :meth:`_fit`.
            ids: logits over the temperature, float64.
            embeddings: float64.
            images: ``[n]``, to be left out if the state can do so by itself; ``None``: none.
        """

    @property
    def _by_folds(self) -> bool:
        """Whether the state cannot leave out single images."""
        return True

    def _chosen(self, boxes: FitBoxes) -> FitBoxes:
        """The boxes that the method sees."""
        if self.max_boxes is None or len(boxes) <= self.max_boxes:
            return boxes
        return boxes.select(per_class(boxes.labels, self.max_boxes, self.seed))

    def _fold_states(self, boxes: FitBoxes, whole: State) -> State:
        """What differs without each fold of images, and the images, each fifth of one fold.

        Empty where nothing does: a head that came with the detector has not seen these images.
        """
        images, place = boxes.images.unique(return_inverse=True)
        found: State = {}
        for i in range(min(FOLDS, len(images))):
            state = self._fit(boxes.select(place % FOLDS != i))
            own = {key: value for key, value in state.items() if value is not whole.get(key)}
            found |= {f"fold{i}.{key}": value for key, value in own.items()}
        return {"images": images} | found if found else {}

    def _statistics(self, state: State, boxes: FitBoxes) -> State:
        """Mean and standard deviation of score and best logit on the fit set."""
        some = boxes
        if len(boxes) > STANDARD_BOXES:
            turn = torch.Generator().manual_seed(self.seed)
            some = boxes.select(torch.randperm(len(boxes), generator=turn)[:STANDARD_BOXES])
        ids, embeddings = some.id_logits.double(), some.embeddings.double()
        values = self._leaving_out(state, ids, embeddings, some.images)
        return _moments("score", values) | _moments("logit", ids.amax(dim=1))

    # --- scoring ------------------------------------------------------------------------------
    def __call__(
        self,
        id_logits: ArrayLike,
        neg_logits: ArrayLike | None = None,
        embeddings: ArrayLike | None = None,
        images: ArrayLike | None = None,
    ) -> ArrayLike:
        """Score every row, see :meth:`Score.__call__`.

        Args:
            id_logits: ``[..., K]``.
            neg_logits: ``[..., M]``, where ``neg_weight`` is set.
            embeddings: ``[..., E]``.
            images: ``[...]`` int64, of the rows; those of the fit set are left out. ``None``: none
                is of the fit set.

        Raises:
            ValueError: the score is not fitted, or on embeddings of another size.
        """
        if not self.is_fitted:
            raise ValueError(
                f"score '{self.name}' is fitted on ID boxes and has no state yet: use "
                "score.with_state(score.fit(records)), or calibrate the detector"
            )
        if images is None:
            return super().__call__(id_logits, neg_logits, embeddings)
        bound = self._but(_images=torch.as_tensor(images).reshape(-1))
        return super(FittedScore, bound).__call__(id_logits, neg_logits, embeddings)

    def compute(self, ids: Tensor, negatives: Tensor | None, embeddings: Tensor) -> Tensor:
        if self._state["size"].device != ids.device:  # once; boxes come from one device
            moved = {key: value.to(ids.device) for key, value in self._state.items()}
            object.__setattr__(self, "_state", moved)
        state = self._state
        if (size := int(state["size"])) != embeddings.shape[-1]:
            raise ValueError(
                f"score '{self.name}' was fitted on embeddings of the size {size}, got "
                f"{embeddings.shape[-1]}: they are another detector's"
            )
        shape = ids.shape[:-1]
        ids, embeddings = ids.reshape(-1, ids.shape[-1]), embeddings.reshape(-1, size)
        images = None if self._images is None else self._images.to(ids.device)
        values = self._leaving_out(state, ids, embeddings, images)
        if self.with_logit or self.neg_weight:
            values = _standard(state, "score", values)
        if self.with_logit:
            values = values + _standard(state, "logit", ids.amax(dim=-1))
        if self.neg_weight:
            best = negatives.reshape(len(values), -1).amax(dim=-1)
            values = values - self.neg_weight * _standard(state, "negative", best)
        return values.reshape(shape)

    def _leaving_out(
        self, state: State, ids: Tensor, embeddings: Tensor, images: Tensor | None
    ) -> Tensor:
        """Raw scores; a box of an image of the fit set is judged without it."""
        values = self._raw(state, ids, embeddings, images)
        if images is None or "images" not in state:
            return values
        known = state["images"]
        place = torch.searchsorted(known, images).clamp(max=len(known) - 1)
        inside = known[place] == images
        for i in range(FOLDS):
            rows = inside & (place % FOLDS == i)
            if rows.any():
                start = f"fold{i}."
                part = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
                values[rows] = self._raw(state | part, ids[rows], embeddings[rows], None)
        return values

    def _whole(self, key: str, least: int) -> None:
        """Refuse an option that is no whole number, or too small."""
        value = getattr(self, key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(
                f"score '{self.name}': {key} must be a whole number of at least {least}, got "
                f"{value!r}."
            )

    def _one_of(self, key: str, allowed: object) -> None:
        """Refuse an option that is none of the words of a ``Literal``."""
        value, words = getattr(self, key), get_args(allowed)
        if value not in words:
            raise ValueError(
                f"score '{self.name}': {key} must be one of {', '.join(words)}, got {value!r}."
            )

    def _but(self, **changes: object) -> Self:
        """A copy with other private parts."""
        made = copy.copy(self)
        for key, value in changes.items():
            object.__setattr__(made, key, value)
        return made


def _moments(name: str, values: Tensor) -> State:
    """Mean and standard deviation of values ``[n]``, under names of their own."""
    values = values.double()
    return {f"{name}_mean": values.mean(), f"{name}_std": values.std(correction=0).clamp(min=1e-12)}


def _standard(state: State, name: str, values: Tensor) -> Tensor:
    """Values in standard deviations of the fit set."""
    return (values - state[f"{name}_mean"]) / state[f"{name}_std"]
