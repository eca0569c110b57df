"""YOLO-World v2, stock: any list of names as classes.

Shapes: B images, K labels of an image, D text channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from mmdet.structures import SampleList
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from mmyolo.models.detectors import YOLODetector
from torch import Tensor

from negas.embeddings.text import PHRASES, encode_labels, encode_text, in_parts
from negas.models.attention_maps import ID, NEGATIVE, Branch
from negas.models.base import BaseDetector, untraced
from negas.models.freeze import merge_norms_in_eval
from negas.models.unknown import Cells
from negas.options import check_value

from .attention import neck_layers
from .traced import TracedYOLOWorld


@MODELS.register_module()
class YOLOWorldDetector(BaseDetector, YOLODetector):
    """Open-vocabulary detector with a frozen CLIP text encoder.

    Training reads per-image texts from the metainfo key ``texts`` (labels index into them) and
    falls back to ``class_names``; testing uses ``class_names``.

    Args:
        template: phrase around a name for the text encoder.
        background_text: a further text that guides the neck and is no class, for YOLO-World v2.1:
            it was trained with texts padded by ``" "``, which take up background in the neck's
            attention. A cell's logits against the classes do not depend on which other classes
            there are, so no column of it is computed at all. ``None``: none.
        channels_last: memory format of images and convolution weights; faster on CPUs and on
            tensor cores.
        *args, **kwargs: of :class:`~negas.models.base.BaseDetector` (``class_names``,
            ``base_checkpoint``) and of MMYOLO's class.
    """

    # A fifth of the cells: see pick_cells. The weights: results/unknown_choices.csv.
    unknown_defaults: ClassVar[dict[str, float]] = dict(
        share=0.2, id_weight=0.75, agreement_weight=18
    )

    def __init__(
        self,
        *args,
        template: str = "{}",
        background_text: str | None = None,
        channels_last: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(*args, use_syncbn=False, **kwargs)
        self.template = template
        check_value("background_text", background_text, str | None)
        self.background_text = background_text
        self._phrases: dict[str, Tensor] = {}
        if self.text_model is not None:  # frozen: each phrase is encoded once
            self.text_model.requires_grad_(False)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        for part in (self.backbone.image_model, self.neck, self.bbox_head):
            part.to(memory_format=self.memory_format)
            merge_norms_in_eval(part)

    # --- weights ------------------------------------------------------------------------------
    def forget_texts(self) -> None:
        """Drop the cached phrases."""
        super().forget_texts()
        self._phrases.clear()

    def optional_keys(self) -> tuple[str, ...]:
        """A text encoder with weights of its own needs none of the checkpoint's."""
        text_is_loaded = self.text_model is not None and self.text_model.pretrained
        return ("backbone.text_model.",) if text_is_loaded else ()

    def traced(self, size: tuple[int, int]) -> TracedYOLOWorld:
        """The network for exporters; see the interface."""
        return TracedYOLOWorld(self, size)

    # --- texts --------------------------------------------------------------------------------
    @property
    def text_options(self) -> dict[str, object]:
        """Options of texts and scores beside the template."""
        text = self.background_text
        return super().text_options | ({} if text is None else dict(background_text=text))

    def guide(self, text_feats: Tensor) -> Tensor:
        """What guides the neck of texts [(B,) K, D]: they and the background, [(B,) K(+1), D]."""
        if self.background_text is None:
            return text_feats
        if self.background_text not in self._phrases:
            text = self.text_model
            with torch.no_grad(), torch.autocast(text_feats.device.type, enabled=False):
                found = encode_text(text.model, text.tokenizer, self.background_text)
            self._phrases[self.background_text] = found.cpu()
        background = self._phrases[self.background_text].to(text_feats)
        return torch.cat([text_feats, background.expand(*text_feats.shape[:-2], 1, -1)], -2)

    @property
    def text_model(self):
        """The text backbone (``None`` if the model was built without one)."""
        return self.backbone.text_model

    def encode_frozen(self, phrases: Sequence[str]) -> Tensor:
        """L2-normalised embeddings of full phrases, each encoded once, [L, D]."""
        missing = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._phrases]
        if missing:
            text = self.text_model
            # Cached for training and testing alike, so never in a training step's half precision.
            kind = next(text.parameters()).device.type
            with torch.no_grad(), torch.autocast(kind, enabled=False):
                for part in in_parts(missing, PHRASES):
                    feats = encode_labels(text.model, text.tokenizer, part, template="{}").cpu()
                    self._phrases.update(zip(part, feats, strict=True))
        device = next(self.bbox_head.parameters()).device
        return torch.stack([self._phrases[phrase] for phrase in phrases]).to(device)

    def label_feats(self, names: Sequence[str]) -> Tensor:
        """L2-normalised embeddings of names in the detector's template, [L, D]."""
        return self.encode_frozen([self.template.format(name) for name in names])

    def id_text_feats(self) -> Tensor:
        """Test-time embeddings of ``class_names``, [K, D]."""
        return self.label_feats(self.class_names)

    def text_feats(self) -> tuple[Tensor, Tensor | None]:
        """Test-time embeddings of ID labels [K, D] and of negative labels: the stock has none."""
        return self.id_text_feats(), None

    def bank_feats(self, neg_labels: Sequence[str]) -> Tensor:
        """Test-time embeddings of any negative labels, [M, D]."""
        return self.label_feats(neg_labels)

    def encode_words(self, words: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        """Words for :meth:`~.head_module.YOLOWorldHeadModule.word_logits`."""
        return self.bbox_head.head_module.merge_words(self.bank_feats(words))

    def attention(self, inputs: Tensor) -> list[Branch]:
        """The neck runs once per branch: from its first layer on each has features of its own."""
        texts, neg_texts = self.text_feats()
        feats = self.image_feats(inputs)
        layers = neck_layers(self.neck, feats, self.guide(texts), inputs)
        background = () if self.background_text is None else ("(background)",)
        branches = [Branch(ID, (*self.class_names, *background), layers)]
        if neg_texts is not None:
            layers = neck_layers(self.neck, feats, neg_texts, inputs)
            branches.append(Branch(NEGATIVE, tuple(self.neg_labels), layers))
        return branches

    # --- forward ------------------------------------------------------------------------------
    def image_feats(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Backbone levels [B, C_l, h_l, w_l] of normalised images [B, 3, h, w]."""
        return self.backbone(batch_inputs.contiguous(memory_format=self.memory_format))

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Neck levels guided by ``class_names``."""
        return self.neck(self.image_feats(batch_inputs), self.guide(self.id_text_feats()[None]))

    def batch_text_feats(self, data_samples: SampleList) -> Tensor:
        """Text embeddings [1 or B, K, D] of a training batch."""
        texts = [tuple(sample.metainfo.get("texts") or ()) for sample in data_samples]
        if not any(texts):
            return self.label_feats(self.class_names)[None]
        if len({len(t) for t in texts}) != 1:
            raise ValueError(
                "metainfo `texts` must have the same number of texts for all images of a batch, "
                f"got {[len(t) for t in texts]}; set num_texts of the RandomTexts transform"
            )
        flat = [phrase for image in texts for phrase in image]
        return self.encode_frozen(flat).unflatten(0, (len(texts), -1))

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """YOLO-World's losses."""
        text_feats = self.batch_text_feats(batch_data_samples)
        feats = self.neck(self.image_feats(batch_inputs), self.guide(text_feats))
        gt = [sample.gt_instances for sample in batch_data_samples]
        return self.bbox_head.loss_by_texts(feats, text_feats, gt)[0]

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Detections of ``class_names``; see :meth:`YOLOWorldHead.predict_by_texts`."""
        text_feats = self.id_text_feats()[None]
        feats = self.neck(self.image_feats(batch_inputs), self.guide(text_feats))
        metas = [sample.metainfo for sample in batch_data_samples]
        results, cells = self.boxes_and_cells(feats, text_feats, metas, None, rescale)
        samples = self.add_pred_to_datasample(batch_data_samples, results)
        self.add_unknown(samples, cells)
        return samples

    def boxes_and_cells(
        self,
        feats: Sequence[Tensor],
        text_feats: Tensor,
        metas: Sequence[dict],
        neg_text_feats: Tensor | None,
        rescale: bool,
    ) -> tuple[list[InstanceData], list[Cells]]:
        """:meth:`YOLOWorldHead.predict_by_texts` and, if unknown objects are sought, all cells."""
        cells: list[Cells] = []
        results = self.bbox_head.predict_by_texts(
            feats,
            text_feats,
            metas,
            neg_text_feats=neg_text_feats,
            rescale=rescale,
            embeddings=self.needs_embeddings,
            cells=None if self.finder is None else cells,
        )
        return results, cells

    def _forward(self, batch_inputs: Tensor, batch_data_samples: SampleList | None = None) -> tuple:
        """Raw outputs: logits [B, N, K] and distances per level."""
        text_feats = untraced(self.id_text_feats)[None]
        feats = self.neck(self.image_feats(batch_inputs), untraced(lambda: self.guide(text_feats)))
        distances, _ = self.bbox_head.head_module.regress(feats)
        return self.bbox_head.logits(feats, text_feats), distances
