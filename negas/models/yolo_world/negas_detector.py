"""NegAS on YOLO-World: NegA in training, NegS at test time.

Shapes: B images, N cells, K ID labels, M negative labels, D text channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures import SampleList
from mmengine.registry import MODELS
from torch import Tensor

from negas.embeddings.cache import TextFeatureCache, fingerprint
from negas.embeddings.text import encode_labels
from negas.models.nega_neck import NegANeck
from negas.models.negas_parts import NegASParts

from .detector import YOLOWorldDetector


@MODELS.register_module()
class NegASYOLOWorldDetector(NegASParts, YOLOWorldDetector):
    """YOLO-World with a learnable prompt, the NegA branch and the NegS score.

    Training moves the prompt's context vectors and nothing else:
    ``L = L_id + L_box (ID branch only) + alpha * L_ood``.

    Args:
        neg_labels: negative labels: a :class:`~negas.labels.NegativeLabelBank` file, or a list of
            words; empty: none (then ``use_nega`` must be off).
        prompt: options of :class:`~negas.embeddings.PromptLearner`; ``None``: no learnable prompt,
            labels go into ``template`` (stock weights, training-free NegS). For a random start
            ``ctx_init=None``, ``num_ctx`` and, if it shall not be the run's, a ``seed``.
        prompt_negatives: put the learnable prompt in front of negative labels too.
        use_nega: train with the OOD branch; ``False`` is the CoOp baseline.
        guide_grad: let ``loss_ood`` reach the prompt through the negatives that guide the branch,
            too; ``False``: through the ID names only, and the branch needs no graph of its own.
        background: config of :class:`~negas.models.background.BackgroundMask`.
        loss_ood: config of :class:`~negas.models.losses.MaskedBCELoss`.
        postprocessor: config of :class:`~negas.models.postprocess.NegSPostProcessor`.
    """

    def __init__(
        self,
        *args,
        neg_labels: Sequence[str] | str = (),
        prompt: dict | None = None,
        prompt_negatives: bool = True,
        use_nega: bool = True,
        guide_grad: bool = True,
        background: dict | None = None,
        loss_ood: dict | None = None,
        postprocessor: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if use_nega and not isinstance(self.neck, NegANeck):
            raise ValueError(
                "use_nega=True needs neck=dict(type='NegANeck', neck=...), got a "
                f"{type(self.neck).__name__}; use_nega=False trains the prompt alone (CoOp)"
            )
        self.prompt_negatives = prompt_negatives
        self.guide_grad = guide_grad
        self.text_cache = TextFeatureCache()
        self.add_parts(
            self.text_model.model,
            self.text_model.tokenizer,
            neg_labels,
            prompt,
            use_nega,
            background or dict(type="BackgroundMask"),
            loss_ood or dict(type="MaskedBCELoss"),
            postprocessor,
        )

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
        feats = encode_labels(text.model, text.tokenizer, names, prompt=self.prompt)
        if not self.prompt_negatives and neg_names:
            feats = torch.cat([feats, self.label_feats(neg_names)])
        return feats

    def id_text_feats(self) -> Tensor:
        """Embeddings of ``class_names`` behind the learned prompt, [K, D]."""
        return self.text_feats()[0]

    def text_feats(self) -> tuple[Tensor, Tensor | None]:
        """Test-time embeddings of ``class_names`` [K, D] and ``neg_labels`` [M, D], cached."""
        names = (*self.class_names, *self.neg_labels)
        version = fingerprint(self.prompt.ctx, self.template) if self.prompt else self.template
        with torch.no_grad():
            feats = self.text_cache.get(
                names,
                lambda _: self._encode(self.class_names, self.neg_labels),
                version=version,
                device=next(self.bbox_head.parameters()).device,
            )
        k = len(self.class_names)
        return feats[:k], feats[k:] if self.neg_labels else None

    def bank_feats(self, neg_labels: Sequence[str]) -> Tensor:
        """Test-time embeddings of any other negative labels, [M, D]."""
        with torch.no_grad():
            return self._encode((), list(neg_labels))

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
            return self.bbox_head.loss_by_texts(self.neck(image_feats, id_text), id_text, gt)[0]

        neg_text = feats[None, len(self.class_names) :]
        if not self.guide_grad:
            neg_text = neg_text.detach()
        step = self.training_step()
        id_feats, ood_feats = self.neck(image_feats, id_text, neg_text, step=step)
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
        feats = self.neck(self.image_feats(batch_inputs), id_text[None])
        metas = [sample.metainfo for sample in batch_data_samples]
        results = self.bbox_head.predict_by_texts(
            feats, id_text[None], metas, neg_text_feats=neg_text, rescale=rescale
        )
        return self.add_pred_to_datasample(batch_data_samples, self.judged(results))
