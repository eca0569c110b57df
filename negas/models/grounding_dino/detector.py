"""Grounding DINO, stock: any list of names as classes.

Shapes: B images, Q queries, K labels, L caption tokens, T tokens of the longest label, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager

import torch
from mmdet.models.detectors import GroundingDINO
from mmdet.structures import OptSampleList, SampleList
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from negas.embeddings.cache import fingerprint
from negas.labels.names import read_names
from negas.models.base_weights import BaseWeights

from .captions import Caption, make_caption
from .checks import check_caption_length, check_label_count, check_places, freeze_children
from .label_logits import TOKEN_REDUCE, label_logits, tokens_by_label
from .predictions import LabelBoxes, describe_boxes, split_bank
from .text_bank import TextBank
from .training_texts import merge_texts, warn_of_unused_chunks, warn_of_unused_texts


@MODELS.register_module()
class GroundingDINODetector(BaseWeights, GroundingDINO):
    """MMDetection's Grounding DINO for a fixed list of names, on today's transformers.

    Takes MMDetection's Grounding DINO and MM-Grounding-DINO configs. Training reads per-image texts
    from the metainfo key ``text_names`` (labels index into them) and falls back to ``class_names``;
    the texts of a batch become one caption. Testing uses ``class_names``. What MMDetection
    would follow, a sample's ``text``, ``tokens_positive`` and ``caption_prompt`` and the option
    ``test_cfg.chunked_size``, is not used; a warning says so where it asks for something else.

    Args:
        language_model: MMDetection's ``BertModel`` config; built as :class:`BertTextModel`.
        class_names: ID labels, in the order of the dataset's classes; or a JSON/text file of them.
        prefix: words in front of every name; ``None``: none.
        base_checkpoint: see :class:`~negas.models.base_weights.BaseWeights`.
        frozen: children that are not trained and stay in eval mode.
        token_reduce: how a label's token probabilities become its score; ``mean`` is MMDetection's.
        prefix_prob: in training, the share of batches whose names have ``prefix`` in front.
        denoising: whether the losses of denoising queries count; they are of no use if the queries'
            label embedding is neither trained nor in the weights.

    Raises:
        ValueError: if the names do not fit one caption (see :func:`make_caption`).
    """

    def __init__(
        self,
        language_model: dict,
        *args,
        class_names: Sequence[str] | str = (),
        prefix: str | None = None,
        base_checkpoint: str | None = None,
        frozen: Sequence[str] = (),
        token_reduce: str = "mean",
        prefix_prob: float = 1.0,
        denoising: bool = True,
        **kwargs,
    ) -> None:
        if language_model.get("type") in ("BertModel", "mmdet.BertModel"):
            language_model = {**language_model, "type": "BertTextModel"}
        super().__init__(language_model, *args, **kwargs)
        if token_reduce not in TOKEN_REDUCE:
            raise ValueError(f"token_reduce must be one of {TOKEN_REDUCE}, got {token_reduce!r}")
        check_caption_length(self)
        self.class_names = read_names(class_names, "class_names")
        self.prefix = (prefix or "").strip()
        self.num_ctx = len(self.language_model.tokenizer.tokenize(self.prefix))
        self.base_checkpoint = base_checkpoint
        self.token_reduce = token_reduce
        self.prefix_prob = prefix_prob
        self.denoising = denoising
        self.unused_texts: set[str] = set()  # what was warned of
        warn_of_unused_chunks(self)
        self._id_text: tuple | None = None
        self.frozen = freeze_children(self, frozen)

    # --- state --------------------------------------------------------------------------------
    def forget_texts(self) -> None:
        """Drop the cached label embeddings."""
        self._id_text = None

    def optional_keys(self) -> tuple[str, ...]:
        """What a checkpoint may lack.

        The text encoder is built with the weights of its own folder. Weights converted from the
        original Grounding DINO have no label embedding of denoising queries; it is for training.
        """
        return ("language_model.", "dn_query_generator.")

    def train(self, mode: bool = True) -> GroundingDINODetector:
        """Switch the detector; its frozen parts stay in eval mode always."""
        super().train(mode)
        for name in self.frozen:
            getattr(self, name).train(False)
        if mode:
            check_label_count(self, len(self.class_names))
            self.forget_texts()
        return self

    @property
    def device(self) -> torch.device:
        """Where the detector is."""
        return self.level_embed.device

    # --- texts --------------------------------------------------------------------------------
    def caption(self, names: Sequence[str], prefix: bool = True) -> Caption:
        """One caption of names, on the detector's device."""
        if not names:
            raise ValueError("model.class_names is empty; give the names to be detected, or a file")
        put = dict(prefix=self.prefix, num_ctx=self.num_ctx) if prefix and self.prefix else {}
        return make_caption(self.language_model, names, **put).to(self.device)

    def inputs_embeds(self, caption: Caption) -> Tensor | None:
        """Word embeddings [1, L, H] in place of the caption's own; the stock has none."""
        return None

    def encode_caption(self, caption: Caption) -> dict[str, Tensor]:
        """MMDetection's ``text_dict`` of a caption, for one image.

        Returns:
            ``embedded`` [1, L, D], ``masks`` bool [1, L, L], ``position_ids`` [1, L],
            ``text_token_mask`` (seen by attention) and ``score_mask`` (scored), bool [1, L].
        """
        features = self.language_model.encode(
            caption.input_ids[None],
            caption.masks[None],
            caption.position_ids[None],
            self.inputs_embeds(caption),
        )
        return dict(
            embedded=self.text_feat_map(features),
            masks=caption.masks[None],
            position_ids=caption.position_ids[None],
            text_token_mask=torch.ones_like(caption.input_ids, dtype=torch.bool)[None],
            score_mask=caption.score_mask[None],
        )

    def text_version(self) -> object:
        """What the encoded texts depend on beside their words and the text encoder."""
        return self.prefix, fingerprint(self.text_feat_map.weight)

    def id_text(self) -> tuple[Caption, dict[str, Tensor]]:
        """The ID caption and its encoding at test time, kept until weights change."""
        version = (self.text_version(), tuple(self.class_names), self.device)
        if self._id_text is None or self._id_text[0] != version:
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                caption = self.caption(self.class_names)
                self._id_text = (version, caption, self.encode_caption(caption))
        return self._id_text[1:]

    @property
    def text_bank(self) -> TextBank:
        """Encodes label banks that meet queries only, never the image."""
        return TextBank(self)

    def text_feats(self) -> tuple[Tensor, Tensor | None]:
        """Token embeddings of ``class_names`` [K, T, D] (before any image) and of negatives."""
        return self.text_bank.encode(self.class_names), None

    def bank_feats(self, neg_labels: Sequence[str]) -> Tensor:
        """Test-time token embeddings of any negative labels, [M, T, D]."""
        return self.text_bank.encode(neg_labels)

    # --- transformer --------------------------------------------------------------------------
    def forward_encoder(self, *args, text_dict: dict, **kwargs) -> dict:
        """Based on ``GroundingDINO.forward_encoder``; attention sees more than is scored."""
        outputs = super().forward_encoder(*args, text_dict=text_dict, **kwargs)
        return outputs | dict(
            text_token_mask=text_dict["score_mask"], visible=text_dict["text_token_mask"]
        )

    def pre_decoder(self, *args, visible: Tensor, **kwargs) -> tuple[dict, dict]:
        """Based on ``GroundingDINO.pre_decoder``; ``visible`` [B, L]: what attention sees."""
        decoder_inputs, head_inputs = super().pre_decoder(*args, **kwargs)
        return decoder_inputs | dict(text_attention_mask=~visible), head_inputs

    def transform(
        self, feats: Sequence[Tensor], text: dict[str, Tensor], samples: OptSampleList
    ) -> dict:
        """``forward_transformer`` with one caption for all images of the batch."""
        size = len(feats[0])
        check_places(self, feats, samples)
        # Repeated, not mixed: MMDetection orders the text layers' masks by head, its attention by
        # image, so two captions in a batch would swap masks.
        expanded = {key: value.expand(size, *value.shape[1:]) for key, value in text.items()}
        return self.forward_transformer(tuple(feats), expanded, samples)

    @contextmanager
    def without_denoising(self):
        """``pre_decoder`` makes denoising queries whenever ``self.training`` is set."""
        mode, self.training = self.training, False
        try:
            yield
        finally:
            self.training = mode

    # --- training -----------------------------------------------------------------------------
    def id_losses(
        self,
        feats: Sequence[Tensor],
        caption: Caption,
        text: dict,
        samples: SampleList,
        text_names: bool = False,
    ) -> tuple[dict[str, Tensor], dict]:
        """MMDetection's losses, denoising included, and what the head was given.

        ``text_names``: the caption is the samples' own, not of ``class_names``.
        """
        warn_of_unused_texts(self, samples, text_names)
        width = self.bbox_head.max_text_len - caption.name_map.shape[1]
        positives = torch.nn.functional.pad(caption.name_map.float(), (0, width))
        for sample in samples:
            labels = sample.gt_instances.labels
            sample.gt_instances.positive_maps = positives[labels]
            sample.gt_instances.text_token_mask = caption.score_mask.expand(len(labels), -1)
        head_inputs = self.transform(feats, text, samples)
        losses = self.bbox_head.loss(**head_inputs, batch_data_samples=samples)
        if not self.denoising:  # MMDetection's head does not work without; no query sees them
            losses = {key: value for key, value in losses.items() if "dn_" not in key}
        return losses, head_inputs

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Grounding DINO's losses on the texts of the batch."""
        names, prefix = merge_texts(
            self, batch_data_samples, bool(torch.rand(()) < self.prefix_prob)
        )
        check_label_count(self, len(names))
        caption = self.caption(names or self.class_names, prefix)
        feats, text = self.extract_feat(batch_inputs), self.encode_caption(caption)
        return self.id_losses(feats, caption, text, batch_data_samples, bool(names))[0]

    # --- test ---------------------------------------------------------------------------------
    def label_boxes(self, batch_inputs: Tensor, samples: SampleList) -> LabelBoxes:
        """Last-layer queries, boxes and ID label logits of a batch."""
        warn_of_unused_texts(self, samples)
        caption, text = self.id_text()
        out = self.transform(self.extract_feat(batch_inputs), text, samples)
        # In half precision logits are rounded to a few hundredths, and negatives' are not.
        queries, id_tokens = out["hidden_states"].float(), out["memory_text"].float()
        references = [reference.float() for reference in out["references"]]
        with torch.autocast(self.device.type, enabled=False):
            logits, boxes = self.bbox_head(queries, references, id_tokens, out["text_token_mask"])
        columns, real = tokens_by_label(caption.name_map)
        return LabelBoxes(
            queries=queries[-1],
            boxes=boxes[-1],
            id_logits=label_logits(logits[-1][..., columns], real, self.token_reduce),
            id_tokens=id_tokens,
            columns=columns,
            real=real,
        )

    def detections(
        self, batch_inputs: Tensor, samples: SampleList, neg_feats: Tensor | None, rescale: bool
    ) -> list[InstanceData]:
        """Kept boxes per image; see :func:`describe_boxes`."""
        found = self.label_boxes(batch_inputs, samples)
        bank = None if neg_feats is None else split_bank(neg_feats)
        with torch.autocast(self.device.type, enabled=False):
            return [
                describe_boxes(self, found, i, sample.metainfo, bank, rescale)
                for i, sample in enumerate(samples)
            ]

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Detections of ``class_names`` with ``query_inds``, as MMDetection's top-k keeps them."""
        results = self.detections(batch_inputs, batch_data_samples, None, rescale)
        if not self.bbox_head.test_cfg.get("keep_logits"):
            for result in results:
                result.pop("id_logits")
        return self.add_pred_to_datasample(batch_data_samples, results)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None) -> tuple:
        """Raw outputs of the last layer: label logits [B, Q, K] and boxes cxcywh in 0..1."""
        found = self.label_boxes(batch_inputs, batch_data_samples)
        return found.id_logits, found.boxes
