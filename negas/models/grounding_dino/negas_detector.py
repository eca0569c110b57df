"""NegAS on Grounding DINO: NegA in training, NegS at test time.

Shapes: B images, Q queries, K ID labels, M negative labels, L caption tokens, T tokens of the
longest label, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.utils import reduce_mean
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn

from negas.embeddings.cache import fingerprint
from negas.models.attention_maps import NEGATIVE
from negas.models.nega_noise import StepNoise
from negas.models.negas_parts import NegASParts

from .captions import Caption
from .checks import check_negatives
from .detector import GroundingDINODetector
from .text_bank import NEG_PATHS, encode_bank

OOD_LAYERS = ("last", "all")


@MODELS.register_module()
class NegASGroundingDINO(NegASParts, GroundingDINODetector):
    """Grounding DINO with a learnable prompt, the NegA branch and the NegS score.

    Training moves the prompt's context vectors and nothing else. The OOD branch is a second pass of
    the same transformer, conditioned on noisy negatives and without denoising queries; its queries
    are classified against the ID tokens, and those on background are pushed to zero. At test time
    negatives bypass fusion and meet only the queries of the ID pass.

    Args:
        noise: options of :class:`~negas.models.nega_noise.StepNoise`, put on token embeddings where
            they enter the encoder.
        ood_layers: decoder layers of the OOD branch with a loss: ``last`` or ``all``.
        neg_path: how negatives reach the score, see :func:`~.text_bank.encode_bank`.
        *args, **kwargs: see :class:`~negas.models.negas_parts.NegASParts`.
    """

    default_background = "QueryBackground"
    default_loss = "MaskedFocalLoss"

    def __init__(
        self,
        *args,
        noise: dict | None = None,
        ood_layers: str = "last",
        neg_path: str = "normed",
        **kwargs,
    ) -> None:
        if ood_layers not in OOD_LAYERS:
            raise ValueError(f"ood_layers must be one of {OOD_LAYERS}, got {ood_layers!r}")
        if neg_path not in NEG_PATHS:
            raise ValueError(f"neg_path must be one of {NEG_PATHS}, got {neg_path!r}")
        super().__init__(*args, **kwargs)
        self.ood_layers = ood_layers
        self.neg_path = neg_path
        self.noise = StepNoise(**(noise or {}), owner="NegASGroundingDINO.noise")
        if self.prompt is not None:
            # The words keep their places in the caption; their embeddings are the prompt's.
            self.prefix = self.prompt.template.removesuffix(" {}")
            self.num_ctx = self.prompt.num_ctx
        self._check_texts()

    def _check_texts(self) -> None:
        """Find out now what does not fit."""
        self.caption(self.class_names)
        check_negatives(self.class_names, self.neg_labels)

    def relabel(self, cfg: ConfigDict) -> None:
        """Take the labels of a config over; see the interface."""
        super().relabel(cfg)
        self._check_texts()

    @property
    def prefix_negatives(self) -> bool:
        """Whether the words in front of every ID name stand before negatives, too."""
        return self.prompt is None or self.prompt_negatives

    # --- texts --------------------------------------------------------------------------------
    @property
    def text_encoder(self) -> tuple[nn.Module, object]:
        """BERT and its tokenizer."""
        return self.language_model.bert, self.language_model.tokenizer

    @property
    def text_options(self) -> dict[str, object]:
        """Options of texts and scores beside the template."""
        return super().text_options | dict(neg_path=self.neg_path)

    def train(self, mode: bool = True) -> NegASGroundingDINO:
        """Switch the detector; its frozen parts stay in eval mode always.

        Raises:
            ValueError: for training with more negatives than one caption holds; tests take any.
        """
        if mode and self.use_nega:
            self.caption(self.neg_labels, self.prefix_negatives)
        return super().train(mode)

    def inputs_embeds(self, caption: Caption) -> Tensor | None:
        """Word embeddings [1, L, H] with the prompt in every prefix's place."""
        if self.prompt is None or not caption.ctx_columns.numel():
            return None
        embeds = self.language_model.bert.get_input_embeddings()(caption.input_ids)
        rows = self.prompt.ctx.to(embeds).repeat(len(caption.ctx_columns), 1)
        return embeds.index_copy(0, caption.ctx_columns.flatten(), rows)[None]

    def text_version(self) -> object:
        """The prompt's values and what texts depend on without one."""
        ctx = () if self.prompt is None else (fingerprint(self.prompt.ctx),)
        return (*super().text_version(), *ctx)

    def encode_bank(self, names: Sequence[str]) -> Tensor:
        """Test-time token embeddings of any negative labels, [M, T, D], made anew."""
        return encode_bank(self, names, self.neg_path, self.prefix_negatives)

    def text_feats(self) -> tuple[Tensor, Tensor | None]:
        """Token embeddings of ``class_names`` [K, T, D] (before any image), of ``neg_labels``."""
        neg_feats = self.bank_feats(self.neg_labels) if self.neg_labels else None
        return encode_bank(self, self.class_names, self.neg_path), neg_feats

    def _guides(self) -> list[tuple[str, Sequence[str], Caption, dict[str, Tensor]]]:
        guides = super()._guides()
        if self.neg_labels:
            caption = self.caption(self.neg_labels, self.prefix_negatives)
            guides.append((NEGATIVE, self.neg_labels, caption, self.encode_caption(caption)))
        return guides

    # --- training -----------------------------------------------------------------------------
    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Grounding DINO's losses of the ID branch and, with NegA, ``loss_ood``."""
        with torch.no_grad():
            feats = self.extract_feat(batch_inputs)
        caption = self.caption(self.class_names)
        text = self.encode_caption(caption)
        losses, id_inputs = self.id_losses(feats, caption, text, batch_data_samples)
        if self.use_nega:
            losses["loss_ood"] = self.ood_loss(feats, caption, id_inputs, batch_data_samples)
        return losses

    def ood_loss(
        self, feats: Sequence[Tensor], caption: Caption, id_inputs: dict, samples: SampleList
    ) -> Tensor:
        """Loss of background queries of the OOD branch against the ID names' tokens.

        Args:
            feats: neck levels.
            caption: of the ID names.
            id_inputs: what the ID branch gave its head; its text tokens are the classifier.
            samples: with ground truth in input pixels.
        """
        with nullcontext() if self.guide_grad else torch.no_grad():
            negatives = self.encode_caption(self.caption(self.neg_labels, self.prefix_negatives))
        step = self.training_step()
        negatives["embedded"] = self.noise(negatives["embedded"], step)
        with self.without_denoising():
            out = self.transform(feats, negatives, samples)
        logits, boxes = self.bbox_head(
            out["hidden_states"],
            out["references"],
            id_inputs["memory_text"],
            id_inputs["text_token_mask"],
        )
        by_decoder = self.background.boxes == "decoder"
        sources = boxes if by_decoder else out["references"][0].expand_as(boxes)
        names = caption.name_map.any(0).nonzero()[:, 0]
        positives = sum(len(sample.gt_instances) for sample in samples)
        avg_factor = logits.new_tensor([float(positives)])
        if self.bbox_head.sync_cls_avg_factor:
            avg_factor = reduce_mean(avg_factor)
        total = logits.new_zeros(())
        for layer in range(len(logits) - 1 if self.ood_layers == "last" else 0, len(logits)):
            mask = torch.stack(
                [
                    self.is_background(sources[layer, i], logits[layer, i], boxes[layer, i], sample)
                    for i, sample in enumerate(samples)
                ]
            )
            scored = logits[layer][..., names].float()
            total = (
                total
                + self.loss_ood(
                    scored, torch.zeros_like(scored), mask, avg_factor.clamp(min=1)
                ).sum()
            )
        return total

    @torch.no_grad()
    def is_background(self, source: Tensor, logits: Tensor, boxes: Tensor, sample) -> Tensor:
        """Which queries of one image are on background, bool [Q].

        Args:
            source: boxes to judge by, cxcywh in 0..1, [Q, 4].
            logits: token logits [Q, 256] of the queries, for the rule ``unmatched``.
            boxes: the queries' own boxes, cxcywh in 0..1.
            sample: with ``gt_instances``.
        """
        height, width = sample.img_shape[:2]
        source, boxes = source.float(), boxes.float()  # areas overflow in half precision
        frame = source.new_tensor([width, height, width, height])
        gt = sample.gt_instances
        if self.background.rule != "unmatched":
            return self.background(bbox_cxcywh_to_xyxy(source) * frame, gt.bboxes)
        found = InstanceData(scores=logits, bboxes=bbox_cxcywh_to_xyxy(boxes) * frame)
        matched = self.bbox_head.assigner.assign(
            pred_instances=found, gt_instances=gt, img_meta=sample.metainfo
        )
        return matched.gt_inds == 0

    # --- test ---------------------------------------------------------------------------------
    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Detections with ``id_scores`` (and ``known``); the OOD branch does not run."""
        neg_feats = self.bank_feats(self.neg_labels) if self.neg_labels else None
        results, cells = self.detections(batch_inputs, batch_data_samples, neg_feats, rescale)
        samples = self.add_pred_to_datasample(batch_data_samples, self.add_scores(results))
        self.add_unknown(samples, cells)
        return samples
