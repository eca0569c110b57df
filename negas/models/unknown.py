"""The vocabulary of a detector: words that meet the cells it computes anyway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from negas.labels.names import name_key, read_names
from negas.labels.vocabulary import Vocabulary
from negas.text import shown
from negas.unknown import (
    UNKNOWN_LABEL,
    UNKNOWN_NAME,
    UnknownOptions,
    best_words,
    distinct,
    pick_cells,
    unknown_rows,
    unknown_scores,
)

WHERE = "model.test_cfg.unknown"


@dataclass(frozen=True)
class Cells:
    """The cells of one image, all of them.

    Attributes:
        bboxes: xyxy in pixels of the image, not clipped, ``[N, 4]``.
        id_logits: ``[N, K]``.
        size: height and width of the image.
        kept: the detections of ID names.
        word_logits: gives the logits ``[n', V]`` of some cells (int64 ``[n']``) and the words that
            were encoded.
        embed: gives their embeddings ``[n', D+1]``, as records hold them.
        agreement: of neighbouring cells about the box, in [0, 1], ``[N]``; ``None``: cells have no
            neighbours.
    """

    bboxes: Tensor
    id_logits: Tensor
    size: tuple[int, int]
    kept: InstanceData
    word_logits: Callable[[Tensor, Any], Tensor]
    embed: Callable[[Tensor], Tensor]
    agreement: Tensor | None = None


def own_test_cfg(model: ConfigDict) -> ConfigDict:
    """``test_cfg`` of a config's ``model``, put there where that has none."""
    if model.get("test_cfg") is None:
        model.test_cfg = ConfigDict()
    return model.test_cfg


def vocabulary_of(options: UnknownOptions, class_names: Sequence[str]) -> Vocabulary:
    """The words of ``model.test_cfg.unknown`` that name no ID class.

    Raises:
        ValueError: the vocabulary cannot be read, or holds ID names only, or an ID class is called
            "unknown".
        FileNotFoundError: its file, or one of OOD names, does not exist.
    """
    if taken := [name for name in class_names if name_key(name) == UNKNOWN_NAME]:
        raise ValueError(
            f"{WHERE}: the ID class {shown(taken[0])} is called as unknown objects are; rename it, "
            "or seek none"
        )
    ood = [
        name
        for each in options.without_ood
        for name in read_names(each if _is_file(each) else [each], f"{WHERE}.without_ood")
    ]
    found = Vocabulary.load(options.vocabulary)
    return replace(found, words=found.without(class_names, ood).words)


def _is_file(name: str) -> bool:
    """Whether a file is meant, or a name such as "St. Bernard"."""
    return Path(name).is_file() or Path(name).suffix.lower() in (".txt", ".json")


class UnknownFinder:
    """Finds unknown objects among the cells of a detector.

    Args:
        options: how.
        class_names: ID names; they, their synonyms and their kinds are no words of it.

    Attributes:
        words: the V words, in order; ``unknown_instances.words`` index them.

    Raises:
        ValueError: see :func:`vocabulary_of`.
        FileNotFoundError: see :func:`vocabulary_of`.
    """

    def __init__(self, options: UnknownOptions, class_names: Sequence[str]) -> None:
        self.options = options
        self.words: tuple[str, ...] = vocabulary_of(options, class_names).words
        self._encoded: tuple[torch.device, Any] | None = None

    @classmethod
    def of(
        cls,
        settings: Mapping[str, Any],
        class_names: Sequence[str],
        defaults: Mapping[str, float],
    ) -> UnknownFinder:
        """From ``model.test_cfg.unknown``, and what a detector says where that does not."""
        options = UnknownOptions.from_settings({**defaults, **settings}, WHERE, section=True)
        return cls(options, class_names)

    def calibrate(self, words: Sequence[str], score_thr: float) -> None:
        """Take over what a calibration says.

        Raises:
            ValueError: one of its words is none of the vocabulary's.
        """
        mine = set(self.words)
        if foreign := [word for word in words if word not in mine]:
            raise ValueError(f"{foreign[0]!r} is no word of {WHERE}.vocabulary")
        self.words = tuple(words)
        self.options = replace(self.options, score_thr=score_thr)
        self.forget()

    def forget(self) -> None:
        """Weights have changed, or may have."""
        self._encoded = None

    def encode_with(self, encode: Callable[[Sequence[str]], Any]) -> Any:
        """What an encoder of the detector makes of the words.

        Raises:
            ValueError: it cannot take one of them.
        """
        try:
            with torch.no_grad():
                return encode(self.words)
        except ValueError as error:
            raise ValueError(f"{WHERE}.vocabulary: {error}") from error

    def encoded(self, encode: Callable[[Sequence[str]], Any], device: torch.device) -> Any:
        """The words as the detector's head reads them, made once per device."""
        if self._encoded is None or self._encoded[0] != device:
            self._encoded = device, self.encode_with(encode)
        return self._encoded[1]

    def __call__(
        self, cells: Cells, encode: Callable[[Sequence[str]], Any], keep_cells: bool
    ) -> tuple[InstanceData | None, InstanceData | None]:
        """Unknown objects of an image, and the cells for its record.

        Args:
            cells: of the image.
            encode: makes of words what ``cells.word_logits`` reads.
            keep_cells: give the cells, too.

        Returns:
            ``bboxes [n,4]``, ``scores [n]`` (:func:`negas.unknown.unknown_scores`), ``labels [n]``,
            all -1, ``words [n]`` and ``word_scores [n]``, their sigmoids; ``None`` without a
            threshold. ``bboxes``, ``scores`` (largest sigmoid of the ID names), ``labels``,
            ``id_logits``, ``embeddings``, ``agreement``; ``None`` unless asked for.
        """
        options = self.options
        logits, labels = cells.id_logits.max(1)
        chosen = (cells.bboxes, cells.size, options.share, options.min_size)
        inds = pick_cells(logits, *chosen)
        logits, labels = logits[inds], labels[inds]
        height, width = cells.size
        limit = cells.bboxes.new_tensor([width, height, width, height])
        bboxes = torch.minimum(cells.bboxes[inds].clamp(min=0), limit)
        agreement = torch.ones_like(logits)
        if cells.agreement is not None:
            agreement = cells.agreement[inds]
        found = recorded = None
        if options.is_calibrated:
            words = self.encoded(encode, inds.device)
            word_logits, best = best_words(
                lambda part: cells.word_logits(inds[part], words), len(self.words), inds
            )
            kept = cells.kept.bboxes[cells.kept.scores >= options.id_score_thr]
            scores = unknown_scores(word_logits, logits, agreement, options)
            rows = unknown_rows(bboxes, scores, kept, options, options.score_thr)
            found = InstanceData(
                bboxes=bboxes[rows],
                scores=scores[rows],
                labels=torch.full_like(rows, UNKNOWN_LABEL),
                words=best[rows],
                word_scores=word_logits[rows].sigmoid(),
            )
        if keep_cells:
            rows = distinct(bboxes, logits, options.record_cells)
            recorded = InstanceData(
                bboxes=bboxes[rows],
                scores=logits[rows].sigmoid(),
                labels=labels[rows],
                id_logits=cells.id_logits[inds[rows]],
                embeddings=cells.embed(inds[rows]).half(),
                agreement=agreement[rows],
            )
        return found, recorded
