"""YOLO-World as a function of tensors alone, for exporters.

Shapes: B images, N cells of all levels (fine to coarse, row-major), n of them, K ID labels,
M negative labels, V words, D text channels, C channels of the classification towers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from negas.embeddings.shared_prefix import encode_behind_prefix, has_clip_layers
from negas.models.traced import Selection, Traced, TracedWords, flatten_levels
from negas.unknown import agreement_of_neighbors


class TracedYOLOWorld(Traced):
    """See :class:`~negas.models.traced.Traced`; texts are embeddings [K, D] and [M, D]."""

    open_texts = True

    def __init__(self, detector: nn.Module, size: tuple[int, int]) -> None:
        super().__init__(detector, size)
        module = detector.bbox_head.head_module
        self.sizes = [(size[1] // stride, size[0] // stride) for stride in module.featmap_strides]
        like = next(module.parameters())
        self.register_buffer(
            "priors", detector.bbox_head.priors(self.sizes, like), persistent=False
        )
        levels = torch.cat([torch.full((h * w,), i) for i, (h, w) in enumerate(self.sizes)])
        self.register_buffer("levels", levels, persistent=False)
        # guides the neck beside the classes: what is left of the guide of no texts
        background = detector.guide(like.new_zeros(0, module.embed_dims))
        self.register_buffer("background", background.detach().clone(), persistent=False)

    @property
    def selection(self) -> Selection:
        """As of :meth:`YOLOWorldHead._select`.

        Raises:
            ValueError: the detector suppresses overlapping boxes by another rule than NMS.
        """
        cfg = self.detector.bbox_head.test_cfg
        nms = dict(cfg.get("nms", dict(type="nms", iou_threshold=0.7)))
        if nms.get("type", "nms") != "nms":
            raise ValueError(
                f"model.test_cfg.nms.type={nms['type']!r} cannot be exported; use type='nms'"
            )
        return Selection(
            score_thr=cfg.get("score_thr", 0.001),
            iou_thr=nms["iou_threshold"],
            class_agnostic=nms.get("class_agnostic", False),
            multi_label=cfg.get("multi_label", True),
            candidates=cfg.get("nms_pre", 30000),
            max_per_img=cfg.get("max_per_img", 300),
        )

    def texts(self) -> tuple[Tensor, ...]:
        """Embeddings of ID labels and of negatives, if there are any."""
        return tuple(one.detach().clone() for one in self.detector.text_feats() if one is not None)

    def text_encoder(self) -> TracedWords:
        """See the base class."""
        return TracedPhrases(self.detector)

    def cells(self, images: Tensor, texts: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, ID logits and features of all cells; see the base class."""
        detector, module = self.detector, self.detector.bbox_head.head_module
        id_text = texts[0]
        guide = torch.cat([id_text, self.background])[None]
        neck = getattr(detector.neck, "neck", detector.neck)  # NegA wraps it for training
        feats = neck(detector.image_feats(images), guide)
        hidden = module.hidden(feats)
        logits = flatten_levels(module.classify(hidden, id_text[None]))
        ltrb = torch.cat(module.regress(feats)[0], 1)
        boxes = detector.bbox_head.bbox_coder.decode(self.priors[:, :2], ltrb, self.priors[:, 2])
        return boxes, logits, flatten_levels(hidden)

    def neg_logits(self, regions: Tensor, cells: Tensor, texts: tuple[Tensor, ...]) -> Tensor:
        """Logits against the negatives; see the base class."""
        merged = self.detector.bbox_head.head_module.merge_words(texts[1])
        return self._logits(regions, cells, merged)

    def word_logits(self, regions: Tensor, cells: Tensor) -> Tensor:
        """Logits against the vocabulary; see the base class."""
        words = self.detector.finder.encoded(self.detector.encode_words, self.levels.device)
        return self._logits(regions, cells, words)

    def agreement(self, boxes: Tensor) -> Tensor:
        """Of the cells beside, above and below; see the base class."""
        return agreement_of_neighbors(boxes, self.sizes)

    def _logits(
        self, regions: Tensor, cells: Tensor, words: Sequence[tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Logits [B, n, V] of :meth:`merge_words`, each by the words of its level."""
        levels = self.levels[cells][..., None]
        first, *others = [F.linear(regions, weights, bias) for weights, bias in words]
        for level, logits in enumerate(others, 1):
            first = torch.where(levels == level, logits, first)
        return first


class TracedPhrases(TracedWords):
    """The CLIP text encoder, behind the learned prompt if there is one."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        text = detector.text_model
        if not has_clip_layers(text.model):
            raise ValueError("the text encoder is no CLIP of transformers and cannot be exported")
        if detector.prompt is not None and not detector.prompt_negatives:
            raise ValueError(
                "with prompt_negatives=False ID and negative labels have different encoders; "
                "leave out --mode open"
            )
        self.model, self.prompt = text.model, detector.prompt
        self.tokenizer = text.model_name
        self.length = min(text.context_length, text.tokenizer.model_max_length)
        self.template = detector.template if self.prompt is None else self.prompt.template

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit embeddings; see the base class."""
        if self.prompt is None:
            embeds, known = self.model.get_input_embeddings()(input_ids), 0
        else:
            embeds, known = self.prompt(input_ids, self.model), self.prompt.num_ctx
        found = encode_behind_prefix(self.model, embeds, attention_mask, 1 + known)
        return F.normalize(found, dim=-1)
