"""NegAS on YOLO-World: NegA in training, NegS at test time.

Shapes: B images, N cells, K ID labels, M negative labels, D text channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures import SampleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from negas.embeddings.cache import TextFeatureCache, fingerprint
from negas.embeddings.text import PHRASES, encode_labels, in_parts
from negas.models.nega_neck import NegANeck
from negas.models.negas_parts import NegASParts

from .detector import YOLOWorldDetector


@MODELS.register_module()
class NegASYOLOWorldDetector(NegASParts, YOLOWorldDetector):
    """YOLO-World with a learnable prompt, the NegA branch and the NegS score.

    Training moves the prompt's context vectors and nothing else:
    ``L = L_id + L_box (ID branch only) + alpha * L_ood``.

    Args: see :class:`~negas.models.negas_parts.NegASParts`; ``neck`` is a
        :class:`~negas.models.nega_neck.NegANeck` unless ``use_nega`` is off.
    """

    default_background = "BackgroundMask"
    default_loss = "MaskedBCELoss"

    def __init__(self, *args, use_nega: bool = True, **kwargs) -> None:
        super().__init__(*args, use_nega=use_nega, **kwargs)
        if use_nega and not isinstance(self.neck, NegANeck):
            raise ValueError(
                "use_nega=True needs neck=dict(type='NegANeck', neck=...), got a "
                f"{type(self.neck).__name__}; use_nega=False trains the prompt alone (CoOp)"
            )
        self.text_cache = TextFeatureCache()

    @property
    def text_encoder(self) -> tuple[nn.Module, object]:
        """CLIP's text transformer and its tokenizer."""
        return self.text_model.model, self.text_model.tokenizer

    def forget_texts(self) -> None:
        """Drop the cached label embeddings."""
        super().forget_texts()
        self.text_cache.clear()

    # --- texts --------------------------------------------------------------------------------
    def _encode(self, id_names: Sequence[str], neg_names: Sequence[str]) -> Tensor:
        """Embeddings of ID and negative labels in one pass of the text encoder, [K+M, D]."""
        text = self.text_model
        if self.prompt is None:
            return self.label_feats([*id_names, *neg_names])
        if not self.prompt_negatives and not id_names:
            return self.label_feats(neg_names)
        names = [*id_names, *neg_names] if self.prompt_negatives else list(id_names)
        parts = [
            encode_labels(text.model, text.tokenizer, part, prompt=self.prompt)
            for part in in_parts(names, PHRASES)
        ]
        feats = torch.cat(parts)
        if not self.prompt_negatives and neg_names:
            feats = torch.cat([feats, self.label_feats(neg_names)])
        return feats

    def id_text_feats(self) -> Tensor:
        """Embeddings of ``class_names`` behind the learned prompt, [K, D]."""
        return self.text_feats()[0]

    def text_feats(self) -> tuple[Tensor, Tensor | None]:
        """Test-time embeddings of ``class_names`` [K, D] and ``neg_labels`` [M, D], cached."""
        names = (*self.class_names, *self.neg_labels)
        with torch.no_grad():
            feats = self.text_cache.get(
                names,
                lambda _: self._encode(self.class_names, self.neg_labels),
                version=self._text_version(),
                device=next(self.bbox_head.parameters()).device,
            )
        k = len(self.class_names)
        return feats[:k], feats[k:] if self.neg_labels else None

    def bank_feats(self, neg_labels: Sequence[str]) -> Tensor:
        """Test-time embeddings of any other negative labels, [M, D], cached."""
        return self.text_cache.get(
            neg_labels,
            lambda names: self._encode((), names),
            version=("bank", self._text_version()),
            device=next(self.bbox_head.parameters()).device,
        )

    def _text_version(self) -> str:
        """Changes with the prompt."""
        return fingerprint(self.prompt.ctx, self.template) if self.prompt else self.template

    # --- training -----------------------------------------------------------------------------
    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_bbox``, ``loss_dfl`` and, with NegA, ``loss_ood``."""
        with torch.no_grad():
            image_feats = self.image_feats(batch_inputs)
        negatives = self.neg_labels if self.use_nega else ()
        feats = self._encode(self.class_names, negatives)
        id_text = feats[None, : len(self.class_names)]
        gt = [sample.gt_instances for sample in batch_data_samples]
        if not self.use_nega:
            return self.bbox_head.loss_by_texts(
                self.neck(image_feats, self.guide(id_text)), id_text, gt
            )[0]

        neg_text = feats[None, len(self.class_names) :]
        if not self.guide_grad:
            neg_text = neg_text.detach()
        step = self.training_step()
        id_feats, ood_feats = self.neck(image_feats, self.guide(id_text), neg_text, step=step)
        losses, target = self.bbox_head.loss_by_texts(id_feats, id_text, gt)
        mask = self.background(
            [instances.bboxes for instances in gt],
            [tuple(level.shape[-2:]) for level in ood_feats],
            self.bbox_head.featmap_strides,
        )
        loss_ood = self.loss_ood(
            self.bbox_head.logits(ood_feats, id_text).float(), target.scores, mask
        )
        losses["loss_ood"] = target.normalize(loss_ood)
        return losses

    # --- test ---------------------------------------------------------------------------------
    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Detections with ``id_scores`` (and ``known``); the OOD branch does not run."""
        id_text, neg_text = self.text_feats()
        feats = self.neck(self.image_feats(batch_inputs), self.guide(id_text[None]))
        metas = [sample.metainfo for sample in batch_data_samples]
        results, cells = self.boxes_and_cells(feats, id_text[None], metas, neg_text, rescale)
        samples = self.add_pred_to_datasample(batch_data_samples, self.add_scores(results))
        self.add_unknown(samples, cells)
        return samples
