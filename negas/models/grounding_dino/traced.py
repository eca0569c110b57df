"""Grounding DINO as a function of tensors alone, for exporters.

Shapes: B images, Q queries, K ID labels, M negative labels, L caption tokens, T tokens of the
longest label, D channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor, nn

from negas.models.traced import Selection, Traced, flatten_levels

from .label_logits import label_logits, tokens_by_label
from .predictions import region_embeddings, split_bank


class _LevelShapes:
    """Heights and widths of the levels, as numbers where MMDetection reads them off a tensor.

    A tensor's values are unknown while a graph is traced; those of one image size are known.
    """

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        self.sizes = sizes

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.sizes)

    def __getitem__(self, key: tuple) -> Tensor | np.ndarray:
        found = np.array(self.sizes)[key]
        return torch.tensor(found.tolist()) if key[0] is Ellipsis else found


class TracedGroundingDINO(Traced):
    """See :class:`~negas.models.traced.Traced`; the caption is fixed."""

    clips = True

    def __init__(self, detector: nn.Module, size: tuple[int, int]) -> None:
        super().__init__(detector, size)
        caption, text = detector.id_text()
        for key in ("embedded", "masks", "position_ids", "score_mask"):
            value = text[key]
            self.register_buffer(f"caption_{key}", value.detach().clone(), persistent=False)
        columns, real = tokens_by_label(caption.name_map)
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("real", real, persistent=False)
        bank, real = None, None
        if detector.neg_labels:
            bank, real = split_bank(detector.bank_feats(detector.neg_labels).detach())
        self._place_levels()
        self.bank = bank
        self.register_buffer("bank_real", real, persistent=False)

    @torch.no_grad()
    def _place_levels(self) -> None:
        """What MMDetection makes of the levels' sizes alone."""
        shape = self.size[::-1]
        like = next(self.detector.parameters())
        feats = self.detector.extract_feat(like.new_zeros(1, 3, *shape))
        self.sample = DetDataSample(metainfo=dict(img_shape=shape, batch_input_shape=shape))
        given, _ = self.detector.pre_transformer(tuple(feats), [self.sample])
        for key in ("feat_pos", "level_start_index", "valid_ratios"):
            self.register_buffer(key, given[key].clone(), persistent=False)
        self.shapes = _LevelShapes([tuple(feat.shape[-2:]) for feat in feats])

    @property
    def selection(self) -> Selection:
        """As of ``GroundingDINODetector._describe``: no NMS, a query may have several labels."""
        limit = self.detector.bbox_head.test_cfg.get("max_per_img", self.detector.num_queries)
        return Selection(
            score_thr=-1.0,
            iou_thr=None,
            class_agnostic=False,
            multi_label=True,
            candidates=None,
            max_per_img=limit,
        )

    def texts(self) -> tuple[Tensor, ...]:
        """Tokens of the negatives [M, T, D], if there are any."""
        return () if self.bank is None else (self.bank.clone(),)

    def cells(self, images: Tensor, texts: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, ID logits and embeddings [B, Q, D+1] of all queries; see the base class."""
        detector, head = self.detector, self.detector.bbox_head
        states, references, tokens = self._transformed(detector.extract_feat(images))
        scored = self.caption_score_mask.expand(images.shape[0], -1)
        logits, boxes = head(states, list(references), tokens, scored)
        id_logits = label_logits(logits[-1][..., self.columns], self.real, detector.token_reduce)
        contrast = head.cls_branches[detector.decoder.num_layers - 1]
        flat = region_embeddings(contrast, states[-1].flatten(0, 1))
        pixels = bbox_cxcywh_to_xyxy(boxes[-1]) * torch.tensor([*self.size, *self.size]).float()
        return pixels, id_logits, flat.unflatten(0, states.shape[1:3])

    def _transformed(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Based on ``GroundingDINO.forward_transformer``: states, references, caption's tokens.

        A caption alone has no padding, so there is no mask of it.
        """
        detector, size = self.detector, feats[0].shape[0]

        def of_batch(name: str) -> Tensor:
            value = getattr(self, name)
            return value.expand(size, *[-1] * (value.ndim - 1))

        levels = dict(
            spatial_shapes=self.shapes,
            level_start_index=self.level_start_index,
            valid_ratios=of_batch("valid_ratios"),
        )
        memory, tokens = detector.encoder(
            query=flatten_levels(feats),
            query_pos=of_batch("feat_pos"),
            key_padding_mask=None,
            memory_text=of_batch("caption_embedded"),
            text_attention_mask=None,
            position_ids=of_batch("caption_position_ids"),
            text_self_attention_masks=of_batch("caption_masks"),
            **levels,
        )
        scored = of_batch("caption_score_mask")
        given, _ = detector.pre_decoder(
            memory=memory,
            memory_mask=None,
            spatial_shapes=self.shapes,
            memory_text=tokens,
            text_token_mask=scored,
            visible=scored,
            batch_data_samples=[self.sample],
        )
        # not by forward_decoder, which compares the size of the batch with the number of queries
        states, references = detector.decoder(
            query=given["query"],
            value=memory,
            key_padding_mask=None,
            self_attn_mask=None,
            reference_points=given["reference_points"],
            reg_branches=detector.bbox_head.reg_branches,
            memory_text=tokens,
            text_attention_mask=None,
            **levels,
        )
        return states, references, tokens

    def neg_logits(self, regions: Tensor, cells: Tensor, texts: tuple[Tensor, ...]) -> Tensor:
        """Logits against the negatives; see the base class."""
        return self._logits(regions, texts[0], self.bank_real)

    def word_logits(self, regions: Tensor, cells: Tensor) -> Tensor:
        """Logits against the vocabulary; see the base class."""
        words = self.detector.finder.encoded(self.detector.encode_words, self.columns.device)
        return self._logits(regions, *words)

    def _logits(self, regions: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
        """As ``GroundingDINODetector.bank_logits``, of a batch."""
        products = (regions[..., :-1] @ tokens.flatten(0, 1).T).unflatten(-1, tokens.shape[:2])
        logits = products + regions[..., -1:, None]
        return label_logits(logits, real, self.detector.token_reduce)
