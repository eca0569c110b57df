"""What an exporter needs of a detector: its network as a function of tensors alone.

Shapes: B images, N places that may become boxes (cells or queries), n of them, K ID labels,
M negative labels, V words of a vocabulary, C channels of a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Selection:
    """How a detector picks boxes by their ID scores.

    Attributes:
        score_thr: scores up to this are no box.
        iou_thr: of NMS; ``None``: there is none.
        class_agnostic: NMS also between boxes of different labels.
        multi_label: a place may become a box of every label, not only of its best.
        candidates: how many of the best scores NMS sees; ``None``: all.
        max_per_img: boxes of an image.
    """

    score_thr: float
    iou_thr: float | None
    class_agnostic: bool
    multi_label: bool
    candidates: int | None
    max_per_img: int


class Traced(nn.Module):
    """A detector's network on images of one size, with its texts as plain tensors.

    Args:
        detector: in eval mode, on the CPU.
        size: width and height of the images in pixels.

    Attributes:
        open_texts: whether other texts of any number may be given without tracing anew.
        clips: whether boxes are clipped to the picture before their size is looked at.
    """

    open_texts: ClassVar[bool] = False
    clips: ClassVar[bool] = False

    def __init__(self, detector: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.detector = detector
        self.size = size

    @property
    def selection(self) -> Selection:
        """How boxes are picked."""
        raise NotImplementedError

    def texts(self) -> tuple[Tensor, ...]:
        """What the detector's own labels are for the methods below; negatives, if any, last."""
        raise NotImplementedError

    def cells(self, images: Tensor, texts: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """All places of normalised images [B, 3, h, w].

        Returns:
            Boxes xyxy in pixels of the input, not clipped, [B, N, 4]; ID logits [B, N, K];
            features [B, N, C] for :meth:`neg_logits`.
        """
        raise NotImplementedError

    def neg_logits(self, regions: Tensor, cells: Tensor, texts: tuple[Tensor, ...]) -> Tensor:
        """Logits [B, n, M] against the negatives.

        Args:
            regions: features of some places, [B, n, C].
            cells: which places these are, [B, n].
            texts: as of :meth:`texts`.
        """
        raise NotImplementedError

    def word_logits(self, regions: Tensor, cells: Tensor) -> Tensor:
        """Logits [B, n, V] against the words of the detector's search for unknown objects.

        Args:
            regions: as of :meth:`neg_logits`.
            cells: as of :meth:`neg_logits`.
        """
        raise NotImplementedError

    def agreement(self, boxes: Tensor) -> Tensor | None:
        """Of neighbouring places about the box, [B, N]; ``None``: they have no neighbours.

        Args:
            boxes: as of :meth:`cells`.
        """
        return None

    def text_encoder(self) -> TracedWords:
        """What makes :meth:`texts` of words, where they may be others.

        Raises:
            ValueError: there is no such encoder.
        """
        raise ValueError(f"{type(self.detector).__name__} takes no other texts")


class TracedWords(nn.Module):
    """Token ids and mask, both int64 [n, T], to unit embeddings [n, D].

    Attributes:
        tokenizer: folder or hub name.
        template: phrase around a word.
        length: T; shorter rows are filled up.
    """

    tokenizer: str
    template: str
    length: int


def flatten_levels(maps: Sequence[Tensor]) -> Tensor:
    """[B, C, h_l, w_l] per level -> [B, N, C], level by level, row-major."""
    return torch.cat([x.flatten(2).transpose(1, 2) for x in maps], 1)
