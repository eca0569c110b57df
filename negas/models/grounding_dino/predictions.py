"""Kept boxes of an image, and their scores against any labels.

Shapes: B images, Q queries, n kept boxes, K ID labels, M negative labels, L caption tokens,
T tokens of the longest label, D channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor

from .label_logits import label_logits, mean_cosines

if TYPE_CHECKING:
    from .detector import GroundingDINODetector


@dataclass
class LabelBoxes:
    """The decoder's last layer, in full precision.

    Attributes:
        queries: hidden states [B, Q, D].
        boxes: cxcywh in 0..1, [B, Q, 4].
        id_logits: [B, Q, K].
        id_tokens: caption tokens after fusion, [B, L, D].
        columns: where the labels' tokens stand in the caption, [K, T].
        real: which of these are tokens, bool [K, T].
    """

    queries: Tensor
    boxes: Tensor
    id_logits: Tensor
    id_tokens: Tensor
    columns: Tensor
    real: Tensor


def describe_boxes(
    detector: GroundingDINODetector,
    found: LabelBoxes,
    image: int,
    meta: dict,
    bank: tuple[Tensor, Tensor] | None,
    rescale: bool,
) -> InstanceData:
    """The boxes that MMDetection's top-k keeps, with what OOD scores need.

    Only ID logits decide which boxes are kept. One query may be kept with several labels. Call it
    without autocast: see :func:`label_logits`.

    Args:
        detector: whose head and ``test_cfg`` are used; ``keep_logits`` adds the logits of the
            boxes, ``keep_embeddings`` what other banks and cosines are computed from.
        found: of the batch.
        image: number of the image in the batch.
        meta: its metainfo.
        bank: of the negatives, see :func:`split_bank`.
        rescale: boxes in original-image pixels.

    Returns:
        ``bboxes, scores, labels, query_inds``, the list ``label_names`` and ``id_logits [n,K]``,
        ``neg_logits [n,M]``, ``embeddings [n,D+1]``, ``id_cosines [n,K]``, ``neg_cosines [n,M]``.
    """
    head = detector.bbox_head
    id_logits = found.id_logits[image]
    num_labels = id_logits.shape[-1]
    limit = min(head.test_cfg.get("max_per_img", len(id_logits)), id_logits.numel())
    kept = id_logits.sigmoid().view(-1).topk(limit)[1]
    query_inds = kept // num_labels
    results = InstanceData()
    results.bboxes = image_boxes(found.boxes[image][query_inds], meta, rescale)
    results.scores = id_logits.view(-1)[kept].sigmoid()
    results.labels = kept % num_labels
    # As in MMDetection, whose visualizer writes them instead of the dataset's class names.
    results.label_names = [detector.class_names[label] for label in results.labels.tolist()]
    results.query_inds = query_inds
    results.id_logits = id_logits[query_inds]
    embeddings = region_embeddings(detector, found.queries[image][query_inds])
    if bank is not None:
        tokens, real = bank
        products = torch.einsum("nd,mtd->nmt", embeddings[:, :-1], tokens)
        token_logits = products + embeddings[:, -1:, None]
        results.neg_logits = label_logits(token_logits, real, detector.token_reduce)
    if head.test_cfg.get("keep_embeddings"):
        results.embeddings = embeddings
        id_tokens = found.id_tokens[image][found.columns]
        results.id_cosines = mean_cosines(embeddings[:, :-1], id_tokens, found.real)
        if bank is not None:
            results.neg_cosines = mean_cosines(embeddings[:, :-1], *bank)
    return results


def image_boxes(boxes: Tensor, meta: dict, rescale: bool) -> Tensor:
    """Boxes cxcywh in 0..1 [n, 4] as xyxy pixels; based on ``_predict_by_feat_single``."""
    height, width = meta["img_shape"][:2]
    pixels = bbox_cxcywh_to_xyxy(boxes) * boxes.new_tensor([width, height, width, height])
    pixels[:, 0::2].clamp_(min=0, max=width)
    pixels[:, 1::2].clamp_(min=0, max=height)
    return pixels / pixels.new_tensor(meta["scale_factor"]).repeat(2) if rescale else pixels


def region_embeddings(detector: GroundingDINODetector, queries: Tensor) -> Tensor:
    """``[n, D+1]``: a token w has ``ContrastiveEmbed``'s logit ``e[:-1] @ w + e[-1]``."""
    contrast = detector.bbox_head.cls_branches[detector.decoder.num_layers - 1]
    scale = 1.0
    if isinstance(contrast.log_scale, Tensor):
        scale = contrast.log_scale.exp()
    elif contrast.log_scale == "auto":
        scale = queries.shape[-1] ** -0.5
    bias = queries.new_zeros(1) if contrast.bias is None else contrast.bias
    return torch.cat([queries * scale, bias.expand(len(queries), 1)], dim=1)


def split_bank(feats: Tensor) -> tuple[Tensor, Tensor]:
    """A bank [M, T, D] with zeros for its NaN rows, and which rows are tokens, bool [M, T]."""
    return feats.nan_to_num(0.0), ~feats[..., 0].isnan()
