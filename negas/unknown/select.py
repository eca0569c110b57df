"""Which cells of an image are unknown objects.

A cell is a place of the detector's grid, or a query, with a box and with a logit for every word.
Shapes: N cells, n those that are looked at, K ID labels, V words, C channels, m ID boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from negas.boxes import box_area, box_iou

from .options import UnknownOptions

CHUNK = 4_000_000  # logits of cells and words that are made at once
BLOCK = 32  # boxes that are compared with the others at once


def pick_cells(
    id_logits: Tensor, bboxes: Tensor, size: tuple[int, int], share: float, min_size: float
) -> Tensor:
    """The cells that meet words at all; no word is needed to choose them.

    A detector fires weakly by some ID name wherever there is an object: on the built-in benchmark
    a fifth of the cells keeps 98% (near) and 95% (far) of the unknown objects that all cells find,
    each at the threshold that ID validation gives it.

    Args:
        id_logits: largest logit of the ID names, ``[N]``.
        bboxes: xyxy in pixels of the image, ``[N, 4]``, not clipped.
        size: height and width of the image.
        share: of the cells that are kept, in (0, 1], those of the largest logit.
        min_size: least side of a box in pixels.

    Returns:
        int64 ``[n]``, in their order: what the image shows of their boxes is over ``min_size``, and
        they are no larger than the image.
    """
    best = largest_cells(id_logits, share)
    sides = bboxes.new_tensor([size[1], size[0]])
    return best[fit_the_image(bboxes[best], sides, min_size)]


def largest_cells(id_logits: Tensor, share: float) -> Tensor:
    """The share of the cells ``[..., N]`` with the largest logits, int64 in their order."""
    cells = id_logits.shape[-1]
    count = max(1, int(cells * share)) if cells else 0
    return id_logits.topk(count).indices.sort().values


def fit_the_image(bboxes: Tensor, size: Tensor, min_size: float) -> Tensor:
    """Whether boxes show enough and are no larger than the image, bool ``[..., n]``.

    Args:
        bboxes: xyxy in pixels of the image, ``[..., n, 4]``, not clipped.
        size: its width and height, ``[2]`` or ``[..., 1, 2]``.
        min_size: which sides must be over in the image.
    """
    sides = bboxes[..., 2:].minimum(size) - bboxes[..., :2].clamp(min=0)
    return (sides.amin(-1) > min_size) & (box_area(bboxes) <= size.prod(-1))


def distinct(bboxes: Tensor, id_logits: Tensor, most: int, iou: float = 0.8) -> Tensor:
    """At most so many cells; those whose box a cell with a larger ID logit has, too, go first.

    Args:
        bboxes: xyxy, ``[n, 4]``.
        id_logits: largest of the ID names, ``[n]``.
        most: how many may stay.
        iou: above it two boxes are the same.

    Returns:
        int64 in the order of the cells; all of them if they are no more.
    """
    if len(bboxes) <= most:
        return torch.arange(len(bboxes), device=bboxes.device)
    order = id_logits.argsort(descending=True, stable=True)
    return order[suppress(bboxes[order], iou, most)].sort().values


def agreement_of_neighbors(bboxes: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Mean IoU of each cell's box with those of the cells beside, above and below it, ``[B, N]``.

    Args:
        bboxes: of all cells of a grid's levels, row by row, ``[B, N, 4]``.
        sizes: rows and columns of each level.

    Returns:
        In [0, 1]; 1 for a cell without neighbours.
    """
    parts = []
    for level, (height, width) in zip(
        bboxes.split([h * w for h, w in sizes], dim=1), sizes, strict=True
    ):
        grid = level.unflatten(1, (height, width))
        # nothing in place: exporters would write it as scattering
        total, count = grid.new_zeros(grid.shape[:3]), grid.new_zeros(height, width)
        for overlap, sides in (
            (_paired_iou(grid[:, :-1], grid[:, 1:]), ((0, 0, 0, 1), (0, 0, 1, 0))),
            (_paired_iou(grid[:, :, :-1], grid[:, :, 1:]), ((0, 1), (1, 0))),
        ):
            for side in sides:
                total = total + F.pad(overlap, side)
                count = count + F.pad(torch.ones_like(overlap[0]), side)
        mean = torch.where(count > 0, total / count.clamp(min=1), 1.0)
        parts.append(mean.flatten(1))
    return torch.cat(parts, 1)


def _paired_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU of boxes ``[..., 4]`` with as many others, ``[...]``; 0 where neither has an area."""
    top_left = torch.maximum(boxes[..., :2], others[..., :2])
    sides = (torch.minimum(boxes[..., 2:], others[..., 2:]) - top_left).clip(0)
    shared = sides[..., 0] * sides[..., 1]
    union = box_area(boxes) + box_area(others) - shared
    return torch.where(union > 0, shared / union.where(union > 0, 1.0), 0.0)


def best_words(
    logits: Callable[[slice], Tensor], num_words: int, cells: Tensor
) -> tuple[Tensor, Tensor]:
    """The largest logit of the words and the word it is of, for every cell.

    Args:
        logits: gives ``[n', V]`` of a slice of the cells.
        num_words: V.
        cells: ``[n, ...]``; how many there are and where the result lies.

    Returns:
        Logits ``[n]``, words int64 ``[n]``; memory stays flat in the number of cells and words.
    """
    step = max(1, CHUNK // max(1, num_words))
    best = [logits(slice(i, i + step)).max(1) for i in range(0, len(cells), step)]
    if not best:
        return cells.new_zeros(0, dtype=torch.float32), cells.new_zeros(0, dtype=torch.long)
    return torch.cat([part.values for part in best]), torch.cat([part.indices for part in best])


def unknown_scores(
    word_logits: Tensor, id_logits: Tensor, agreement: Tensor, options: UnknownOptions
) -> Tensor:
    """How sure it is that a cell is an unknown object, ``[n]`` in [0, 1).

    ``sigmoid(max word logit - id_weight * max ID logit - agreement_weight * (1 - agreement))``, 0
    where an ID name beats every word. What an ID name fires on as well is more likely a known
    object that the ID cut missed; on background neighbouring cells put their boxes elsewhere.

    Args:
        word_logits: largest of the words, ``[n]``.
        id_logits: largest of the ID names, ``[n]``.
        agreement: of neighbouring cells about the box, in [0, 1], ``[n]``.
        options: the weights.
    """
    logits = word_logits - options.id_weight * id_logits
    logits = logits - options.agreement_weight * (1 - agreement)
    return torch.where(word_logits > id_logits, logits.sigmoid(), 0.0)


def unknown_rows(
    bboxes: Tensor,
    scores: Tensor,
    id_bboxes: Tensor,
    options: UnknownOptions,
    score_thr: float,
) -> Tensor:
    """The cells of one image that are unknown objects.

    Of cells with overlapping boxes the one with the largest score stays; what a kept ID box lies
    on is left to that box.

    Args:
        bboxes: of the cells, xyxy, ``[n, 4]``.
        scores: :func:`unknown_scores`, ``[n]``.
        id_bboxes: ID boxes of at least ``id_score_thr``, ``[m, 4]``.
        options: the other numbers.
        score_thr: least score, in [0, 1).

    Returns:
        int64, by descending score.
    """
    rows = torch.nonzero((scores >= score_thr) & (scores > 0))[:, 0]
    rows = rows[scores[rows].argsort(descending=True, stable=True)]
    rows = rows[suppress(bboxes[rows], options.nms)]
    if len(id_bboxes) and len(rows):
        rows = rows[box_iou(bboxes[rows], id_bboxes).amax(1) < options.id_overlap]
    return rows[: options.max_per_img]


def suppress(bboxes: Tensor, iou: float, most: int | None = None) -> Tensor:
    """Greedy non-maximum suppression of boxes in descending order.

    Args:
        bboxes: xyxy, ``[n, 4]``.
        iou: above it the later of two boxes goes.
        most: how many may stay; ``None``: any number.

    Returns:
        int64, the first of those that stay; memory grows with n, not with its square.
    """
    boxes = bboxes.cpu()
    left, kept = torch.arange(len(boxes)), []
    while len(left) and (most is None or len(kept) < most):
        first = left[:BLOCK]
        overlap = box_iou(boxes[first], boxes[left]) > iou
        alive = torch.ones(len(left), dtype=torch.bool)
        for row, box in enumerate(first.tolist()):
            if alive[row]:
                kept.append(box)
                alive &= ~overlap[row]
        left = left[BLOCK:][alive[BLOCK:]]
    return torch.tensor(kept[:most], dtype=torch.long, device=bboxes.device)
