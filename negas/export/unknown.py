"""Unknown objects in an exported file: what no ID name fires on, as the detector finds it.

Shapes: B images, N places of the network, n of them that meet words, V words, P rows of ID boxes,
U rows of unknown objects.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from negas.boxes import box_iou
from negas.models.traced import Traced
from negas.unknown import fit_the_image, largest_cells, unknown_scores
from negas.unknown.options import UnknownOptions

from .nms import just_below, nms_mask

NAMES = ("boxes", "mask", "scores", "like", "like_score", "under")


class Shown(NamedTuple):
    """ID boxes as the detector keeps them, all [B, P]: their place and confidence, -1: none."""

    cells: Tensor
    scores: Tensor


class UnknownObjects(nn.Module):
    """The rules of :class:`negas.models.unknown.UnknownFinder` with all shapes fixed.

    Args:
        traced: of a detector that seeks unknown objects.
    """

    output_names = tuple(f"object_{name}" for name in NAMES)

    def __init__(self, traced: Traced) -> None:
        super().__init__()
        self.traced = traced
        self.options: UnknownOptions = traced.detector.finder.options
        # words are encoded now, not while the graph is traced
        traced.detector.finder.encoded(traced.detector.encode_words, torch.device("cpu"))
        # Scores are at least the threshold and over 0, NMS takes those over a number.
        self.below = max(just_below(self.options.score_thr), 0.0)

    def forward(
        self,
        boxes: Tensor,
        id_logits: Tensor,
        regions: Tensor,
        shown: Shown,
        places: Tensor,
        words: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Unknown objects by falling score.

        Args:
            boxes: as of :meth:`Traced.cells`.
            id_logits: as there.
            regions: as there.
            shown: which may hide unknown objects.
            places: where the pictures lie in the input, :class:`negas.runtime.letterbox.Place` as
                numbers: offset, scaled and own sides, [B or 1, 6].
            words: which of the vocabulary may be found, bool [V]; ``None``: all.

        Returns:
            ``object_boxes`` [B, U, 4], xyxy in pixels of the input, not clipped; ``object_mask``
            [B, U], whether a row is an unknown object; ``object_scores`` [B, U];  ``object_like``
            [B, U], an index of a word, -1 in unused rows, and ``object_like_score``, its sigmoid;
            ``object_under`` [B, U], confidence of the surest ID box that lies on it, -1 without
            one: from ``id_score_thr`` on it hides the object, whose mask is False.
        """
        options, traced = self.options, self.traced
        # By index, so that one row can stand for all. Sizes that are the same become one in the
        # graph, and numbers of sizes are tensors there only if they are made so.
        last = torch.arange(places.shape[0]).amax(0)
        places = places[torch.minimum(torch.arange(boxes.shape[0]), last)]
        offset, scaled, sides = (part.repeat(1, 2)[:, None] for part in places.split(2, 1))
        agreement, id_logits = traced.agreement(boxes), id_logits.amax(-1)
        cells = largest_cells(id_logits, options.share)
        id_logits = id_logits.gather(1, cells)
        agreement = torch.ones_like(id_logits) if agreement is None else agreement.gather(1, cells)

        def in_picture(rows: Tensor) -> Tensor:
            return (rows_of(boxes, rows) - offset) * sides / scaled

        def clipped(found: Tensor) -> Tensor:
            return torch.minimum(found.clamp(min=0), sides)

        found = in_picture(cells)
        found, whole = clipped(found), clipped(found) if traced.clips else found
        fits = fit_the_image(whole, sides[..., :2], options.min_size)
        word_logits = traced.word_logits(rows_of(regions, cells), cells)
        if words is not None:
            word_logits = torch.where(words, word_logits, -torch.inf)
        word_logits, like = word_logits.max(-1)
        scores = unknown_scores(word_logits, id_logits, agreement, options)
        scores = torch.where(fits, scores, 0.0)
        # some are hidden: twice as many as an image may have
        count = min(2 * options.max_per_img, scores.shape[1])
        kept = nms_mask(found, scores[:, None], options.nms, self.below, count)[:, 0]
        scores, rows = (scores * kept).topk(count)
        under = self._under(rows_of(found, rows), clipped(in_picture(shown.cells)), shown.scores)
        used = scores > self.below
        free = used & (under < options.id_score_thr)
        # before it is summed: ONNX Runtime sums no bool
        mask = free & (free.to(torch.int64).cumsum(1) <= options.max_per_img)
        return (
            rows_of(boxes, cells.gather(1, rows)) * used[..., None],
            mask,
            scores,
            torch.where(used, like.gather(1, rows), -1),
            word_logits.gather(1, rows).sigmoid() * used,
            torch.where(used, under, -1.0),
        )

    def _under(self, objects: Tensor, boxes: Tensor, scores: Tensor) -> Tensor:
        """Largest confidence of the ID boxes that lie on each object, [B, U]."""
        lies = box_iou(objects, boxes) >= self.options.id_overlap
        return torch.where(lies, scores[:, None], -1.0).amax(-1)


def rows_of(values: Tensor, rows: Tensor) -> Tensor:
    """Rows [B, P] of ``[B, N, C]``."""
    return values.gather(1, rows[..., None].expand(-1, -1, values.shape[-1]))
