"""What the online scorers share: a state that can be reset, saved and loaded, and one pass.

An online scorer learns from the unlabelled stream that it scores. Its scores depend on the order of
the images, on the batch size and on the mix of ID and OOD, so a result carries all of these.
Larger = more in-distribution. Shape letters: B images of a batch, N of a stream, K ID labels,
M negative labels, D channels.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from negas.embeddings import fingerprint
from negas.embeddings.encoders import Features, unit_features
from negas.embeddings.tensor_file import read_tensors, write_tensors

from .method import CLIP_SCALE, OnlineOptions


@dataclass(frozen=True)
class OnlineBatch:
    """What a scorer says about one batch.

    Attributes:
        scores: [B] float64, after the state took the batch in.
        initial: [B] float64, NegLabel's score without anything learnt (InterNeg: with what was
            learnt before the image).
        predictions: [B] int64, the ID label of each image.
        log: counts and thresholds of this step.
    """

    scores: Tensor
    initial: Tensor
    predictions: Tensor
    log: dict[str, Any] = field(default_factory=dict)


class OnlineScorer(ABC):
    """Base of the scorers that adapt to a stream.

    Args:
        id_feats: [K, D] text features of the ID labels.
        neg_feats: [M, D] text features of the negative labels.
        scale: multiple of the cosine that makes a logit.
        **options: the method's others, see its dataclass.

    Raises:
        ValueError: features that do not fit, an unknown option, or one out of range.
    """

    name: ClassVar[str]
    Options: ClassVar[type[OnlineOptions]]

    def __init__(
        self, id_feats: Features, neg_feats: Features, scale: float = CLIP_SCALE, **options: Any
    ) -> None:
        self.id_feats = unit_features("id_feats", id_feats)
        negatives = unit_features("neg_feats", neg_feats, self.id_feats.shape[1])
        self.neg_feats = negatives.to(self.id_feats.device)
        self.options = self.Options.from_settings({"scale": scale, **options}, self.name)
        self.scale = float(self.options.scale)

    @abstractmethod
    def reset(self) -> None:
        """Forget the stream; call it before every pair of ID and OOD sets."""

    def settings(self) -> dict[str, Any]:
        """The options that the scores depend on, JSON-able; the features hold the template."""
        return {k: v for k, v in self.options.record().items() if k != "template"}

    @abstractmethod
    def _update(self, images: Tensor, sources: Sequence[Any] | None) -> OnlineBatch:
        """Take in one checked batch of unit features [B, D]."""

    @abstractmethod
    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-able values that :meth:`_restore` needs."""

    @abstractmethod
    def _restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Take over what :meth:`_state` gave."""

    def update(self, image_feats: Features, images: Sequence[Any] | None = None) -> OnlineBatch:
        """Score one batch and learn from it.

        Args:
            image_feats: [B, D].
            images: what a captioner reads, one per row (ANTS only).

        Raises:
            ValueError: empty, NaN or mismatched features.
        """
        feats = unit_features("image_feats", image_feats, self.id_feats.shape[1])
        if images is not None and len(images) != len(feats):
            raise ValueError(
                f"{self.name}: {len(images)} images came with {len(feats)} rows of features; "
                f"give one image per row."
            )
        return self._update(feats.to(self.id_feats.device), images)

    def state_dict(self) -> dict[str, Any]:
        """The state with what it belongs to: ``tensors`` and JSON-able ``values``."""
        tensors, values = self._state()
        return {"tensors": tensors, "values": values, "made_by": self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`.

        Raises:
            ValueError: the state is of another method, other options or other labels.
        """
        mine, other = self._identity(), state["made_by"]
        if mine != other:
            keys = [key for key in mine | other if mine.get(key) != other.get(key)]
            raise ValueError(
                f"this state was made by another scorer: {', '.join(map(str, keys))} differ; build "
                f"the scorer with the options and labels of the saved run, or start from reset()."
            )
        device = self.id_feats.device
        self.reset()
        tensors = {name: value.to(device, copy=True) for name, value in state["tensors"].items()}
        self._restore(tensors, state["values"])

    def save(self, path: str | Path) -> None:
        """Write the state to a safetensors file, whole or not at all."""
        state = self.state_dict()
        write_tensors(path, state.pop("tensors"), state)

    def load(self, path: str | Path) -> None:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no such file, or belongs to another scorer.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"state {str(path)!r} does not exist; give a saved state.")
        try:
            tensors, about = read_tensors(path)
            state = {"tensors": tensors, "values": about["values"], "made_by": about["made_by"]}
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"state {str(path)!r} cannot be read ({error}); it is damaged or no saved state of "
                f"an online scorer, run the stream again."
            ) from error
        self.load_state_dict(state)

    def _identity(self) -> dict[str, Any]:
        return {
            "method": self.name,
            **self.settings(),
            "labels": fingerprint(self.id_feats, self.neg_feats),
        }


@dataclass(frozen=True)
class StreamResult:
    """One pass over a stream; rows are in the order of the features handed in.

    Attributes:
        scores: [N] float64, larger = more in-distribution.
        initial: [N] float64, see :class:`OnlineBatch`.
        predictions: [N] int64.
        order: [N] int64, the order in which the images were shown.
        record: method, options, batch size, seed and digest of the order: what the scores depend
            on, JSON-able.
        log: one entry per batch.
    """

    scores: Tensor
    initial: Tensor
    predictions: Tensor
    order: Tensor
    record: dict[str, Any]
    log: list[dict[str, Any]]


def score_stream(
    scorer: OnlineScorer,
    image_feats: Features,
    batch_size: int = 256,
    seed: int | None = 0,
    images: Sequence[Any] | None = None,
    progress: bool = False,
) -> StreamResult:
    """Reset the scorer and show it every image once.

    Args:
        scorer: Its state afterwards is that of the end of the stream.
        image_feats: [N, D]; for the published protocol, the ID test set and ONE OOD set together.
        batch_size: images per update.
        seed: of the shuffle, by a generator of its own; ``None`` keeps the order.
        images: what a captioner reads, one per row (ANTS only).
        progress: show a bar.

    Raises:
        ValueError: bad features or options.
    """
    from tqdm import tqdm

    feats = unit_features("image_feats", image_feats, scorer.id_feats.shape[1])
    if batch_size < 1:
        raise ValueError(f"{scorer.name}: batch_size must be at least 1, got {batch_size!r}.")
    order = torch.arange(len(feats))
    if seed is not None:
        order = torch.randperm(len(feats), generator=torch.Generator().manual_seed(seed))
    scores = torch.empty(len(feats), dtype=torch.float64)
    initial, predictions = scores.clone(), torch.empty(len(feats), dtype=torch.int64)
    log = []
    scorer.reset()
    for rows in tqdm(order.split(batch_size), desc=scorer.name, disable=not progress, leave=False):
        sources = None if images is None else [images[i] for i in rows.tolist()]
        batch = scorer.update(feats[rows], sources)
        scores[rows], initial[rows] = batch.scores.cpu(), batch.initial.cpu()
        predictions[rows] = batch.predictions.cpu()
        log.append(batch.log)
    record = {
        "method": scorer.name,
        "settings": scorer.settings(),
        "batch_size": batch_size,
        "seed": seed,
        "num_images": len(feats),
        "order_sha1": hashlib.sha1(order.numpy().tobytes(), usedforsecurity=False).hexdigest(),
    }
    return StreamResult(scores, initial, predictions, order, record, log)


def score_pair(
    scorer: OnlineScorer, id_image_feats: Features, ood_image_feats: Features, **options: Any
) -> tuple[Tensor, Tensor, StreamResult]:
    """Scores of an ID and an OOD set seen as one shuffled stream.

    Args:
        scorer: see :func:`score_stream`, which also takes the options.
        id_image_feats: [N1, D].
        ood_image_feats: [N2, D].
        **options: ``images`` holds the N1 ID images, then the N2 others.

    Returns:
        [N1] and [N2] scores, and the whole result, whose record also has both counts.
    """
    ids = unit_features("id_image_feats", id_image_feats, scorer.id_feats.shape[1])
    oods = unit_features("ood_image_feats", ood_image_feats, scorer.id_feats.shape[1])
    result = score_stream(scorer, torch.cat([ids, oods.to(ids.device)]), **options)
    result.record.update(num_id=len(ids), num_ood=len(oods))
    return result.scores[: len(ids)], result.scores[len(ids) :], result
