"""Grounding DINO, stock: any list of names as classes.

Shapes: B images, Q queries, K labels, L caption tokens, T tokens of the longest label, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager

import torch
from mmdet.models.detectors import GroundingDINO
from mmdet.structures import DetDataSample, OptSampleList, SampleList
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from negas.embeddings.cache import TextFeatureCache, fingerprint
from negas.models.attention_maps import ID, Branch, stride_of
from negas.models.base import BaseDetector
from negas.models.freeze import freeze_children
from negas.models.unknown import Cells

from .attention import fusion_maps, recorded_shares
from .captions import Caption, make_caption
from .checks import check_caption_length, check_decoder, check_label_count, check_places
from .label_logits import TOKEN_REDUCE, label_logits, mean_cosines, tokens_by_label
from .predictions import LabelBoxes, image_boxes, region_embeddings, split_bank
from .text_bank import encode_bank
from .traced import TracedGroundingDINO
from .training_texts import merge_texts, warn_of_unused_chunks, warn_of_unused_texts


@MODELS.register_module()
class GroundingDINODetector(BaseDetector, GroundingDINO):
    """MMDetection's Grounding DINO for a fixed list of names, on today's transformers.

    Takes MMDetection's Grounding DINO and MM-Grounding-DINO configs. Training reads per-image texts
    from the metainfo key ``text_names`` (labels index into them) and falls back to ``class_names``;
    the texts of a batch become one caption. Testing uses ``class_names``. What MMDetection
    would follow, a sample's ``text``, ``tokens_positive`` and ``caption_prompt`` and the option
    ``test_cfg.chunked_size``, is not used; a warning says so where it asks for something else.

    Args:
        language_model: MMDetection's ``BertModel`` config; built as :class:`BertTextModel`.
        prefix: words in front of every name; ``None``: none.
        frozen: children that are not trained and stay in eval mode.
        token_reduce: how a label's token probabilities become its score; ``mean`` is MMDetection's.
        prefix_prob: in training, the share of batches whose names have ``prefix`` in front.
        denoising: whether the losses of denoising queries count; they are of no use if the queries'
            label embedding is neither trained nor in the weights.
        *args, **kwargs: of :class:`~negas.models.base.BaseDetector` (``class_names``,
            ``base_checkpoint``) and of MMDetection's class.

    Raises:
        ValueError: if the names do not fit one caption (see :func:`make_caption`).
    """

    def __init__(
        self,
        language_model: dict,
        *args,
        prefix: str | None = None,
        frozen: Sequence[str] = (),
        token_reduce: str = "mean",
        prefix_prob: float = 1.0,
        denoising: bool = True,
        **kwargs,
    ) -> None:
        check_decoder()
        if language_model.get("type") in ("BertModel", "mmdet.BertModel"):
            language_model = {**language_model, "type": "BertTextModel"}
        super().__init__(language_model, *args, **kwargs)
        if token_reduce not in TOKEN_REDUCE:
            raise ValueError(f"token_reduce must be one of {TOKEN_REDUCE}, got {token_reduce!r}")
        check_caption_length(self.language_model.max_tokens, self.bbox_head.max_text_len)
        self.prefix = (prefix or "").strip()
        self.num_ctx = len(self.language_model.tokenizer.tokenize(self.prefix))
        self.token_reduce = token_reduce
        self.prefix_prob = prefix_prob
        self.denoising = denoising
        self.unused_texts: set[str] = set()  # what was warned of
        warn_of_unused_chunks(self.test_cfg, self.class_names)
        self._id_text: tuple | None = None
        self.text_cache = TextFeatureCache()
        self.frozen = freeze_children(self, frozen)

    # --- state --------------------------------------------------------------------------------
    def forget_texts(self) -> None:
        """Drop the cached label embeddings."""
        super().forget_texts()
        self._id_text = None
        self.text_cache.clear()

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
            check_label_count(len(self.class_names), self.dn_query_generator.num_classes)
            self.forget_texts()
        return self

    def traced(self, size: tuple[int, int]) -> TracedGroundingDINO:
        """The network for exporters; see the interface."""
        return TracedGroundingDINO(self, size)

    @property
    def device(self) -> torch.device:
        """Where the detector is."""
        return self.level_embed.device

    # --- texts --------------------------------------------------------------------------------
    @property
    def template(self) -> str:
        """The prefix and the place of a name."""
        return f"{self.prefix} {{}}".strip()

    @property
    def text_options(self) -> dict[str, object]:
        """Options of texts and scores beside the template."""
        return super().text_options | dict(prefix=self.prefix, token_reduce=self.token_reduce)

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

    def text_feats(self) -> tuple[Tensor, Tensor | None]:
        """Token embeddings of ``class_names`` [K, T, D] (before any image) and of negatives."""
        return self.bank_feats(self.class_names), None

    def bank_feats(self, neg_labels: Sequence[str]) -> Tensor:
        """Test-time token embeddings of any negative labels, [M, T, D], cached."""
        return self.text_cache.get(
            neg_labels, self.encode_bank, version=self.text_version(), device=self.device
        )

    def encode_bank(self, names: Sequence[str]) -> Tensor:
        """:meth:`bank_feats`, made anew."""
        return encode_bank(self, names)

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
        check_places(feats, samples, self.num_queries)
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

    def _warn_of_unused_texts(self, samples: SampleList, text_names: bool = False) -> None:
        warn_of_unused_texts(
            samples, self.class_names, self.unused_texts, self.training, text_names
        )

    # --- attention ----------------------------------------------------------------------------
    def _guides(self) -> list[tuple[str, Sequence[str], Caption, dict[str, Tensor]]]:
        """Branches of :meth:`attention`: name, words, caption and its encoding."""
        return [(ID, self.class_names, *self.id_text())]

    def attention(self, inputs: Tensor) -> list[Branch]:
        """One layer per fusion layer of the encoder and level; it runs once per branch.

        As in NegA, negatives guide the encoder as a caption of their own.

        Raises:
            ValueError: the negatives do not fit one caption.
        """
        guides = self._guides()
        feats = tuple(self.extract_feat(inputs))
        # One image is not padded, so it fills the input.
        meta = dict(img_shape=inputs.shape[-2:], batch_input_shape=inputs.shape[-2:])
        encoder_inputs, _ = self.pre_transformer(feats, [DetDataSample(metainfo=meta)])
        branches = []
        for name, words, caption, text in guides:
            with recorded_shares(self.encoder.fusion_layers, caption) as shares:
                self.forward_encoder(**encoder_inputs, text_dict=text)
            layers = fusion_maps(shares, feats, stride_of(inputs, feats[0]))
            branches.append(Branch(name, tuple(words), layers))
        return branches

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
        self._warn_of_unused_texts(samples, text_names)
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
        prefix = self.prefix if torch.rand(()) < self.prefix_prob else ""
        names, prefix = merge_texts(self.language_model, batch_data_samples, prefix)
        check_label_count(len(names), self.dn_query_generator.num_classes)
        caption = self.caption(names or self.class_names, bool(prefix))
        feats, text = self.extract_feat(batch_inputs), self.encode_caption(caption)
        return self.id_losses(feats, caption, text, batch_data_samples, bool(names))[0]

    # --- test ---------------------------------------------------------------------------------
    def label_boxes(self, batch_inputs: Tensor, samples: SampleList) -> LabelBoxes:
        """Last-layer queries, boxes and ID label logits of a batch."""
        self._warn_of_unused_texts(samples)
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
    ) -> tuple[list[InstanceData], list[Cells]]:
        """The boxes of each image that MMDetection's top-k keeps, with what OOD scores need.

        Only ID logits decide which boxes are kept. One query may be kept with several labels.

        Args:
            batch_inputs: normalised images.
            samples: of the images.
            neg_feats: bank of negatives, see :meth:`bank_feats`; ``None``: none.
            rescale: boxes in original-image pixels.

        Returns:
            Per image ``bboxes, scores, labels, query_inds``, the list ``label_names``,
            ``id_logits [n,K]`` and ``neg_logits [n,M]``; ``embeddings [n,D+1]`` if they are
            kept or scored; with ``test_cfg.keep_embeddings`` ``id_cosines [n,K]`` and
            ``neg_cosines [n,M]``, too. And all queries, if unknown objects are sought.
        """
        found = self.label_boxes(batch_inputs, samples)
        bank = None if neg_feats is None else split_bank(neg_feats)
        with torch.autocast(self.device.type, enabled=False):  # see label_logits
            results = [
                self._describe(found, i, sample.metainfo, bank, rescale)
                for i, sample in enumerate(samples)
            ]
            if self.finder is None:
                return results, []
            metas = [sample.metainfo for sample in samples]
            return results, [
                self._cells(found, i, meta, kept, rescale)
                for i, (meta, kept) in enumerate(zip(metas, results, strict=True))
            ]

    def _cells(
        self, found: LabelBoxes, image: int, meta: dict, kept: InstanceData, rescale: bool
    ) -> Cells:
        """All queries of one image."""
        contrast = self.bbox_head.cls_branches[self.decoder.num_layers - 1]

        def embed(queries: Tensor) -> Tensor:
            return region_embeddings(contrast, found.queries[image][queries])

        def word_logits(queries: Tensor, words: tuple[Tensor, Tensor]) -> Tensor:
            return self.bank_logits(embed(queries), *words)

        return Cells(
            bboxes=image_boxes(found.boxes[image], meta, rescale),
            id_logits=found.id_logits[image],
            size=meta["ori_shape"][:2] if rescale else meta["img_shape"][:2],
            kept=kept,
            word_logits=word_logits,
            embed=embed,
        )

    def bank_logits(self, embeddings: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
        """Logits [n, M] of queries' embeddings [n, D+1] against a bank's :func:`split_bank`."""
        products = torch.einsum("nd,mtd->nmt", embeddings[:, :-1], tokens)
        return label_logits(products + embeddings[:, -1:, None], real, self.token_reduce)

    def encode_words(self, words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Words for :meth:`bank_logits`."""
        return split_bank(self.bank_feats(words))

    def _describe(
        self,
        found: LabelBoxes,
        image: int,
        meta: dict,
        bank: tuple[Tensor, Tensor] | None,
        rescale: bool,
    ) -> InstanceData:
        """Boxes of one image of a batch; see :meth:`detections`."""
        test_cfg = self.bbox_head.test_cfg
        id_logits = found.id_logits[image]
        num_labels = id_logits.shape[-1]
        limit = min(test_cfg.get("max_per_img", len(id_logits)), id_logits.numel())
        kept = id_logits.sigmoid().view(-1).topk(limit)[1]
        query_inds = kept // num_labels
        results = InstanceData()
        results.bboxes = image_boxes(found.boxes[image][query_inds], meta, rescale)
        results.scores = id_logits.view(-1)[kept].sigmoid()
        results.labels = kept % num_labels
        # As in MMDetection, whose visualizer writes them instead of the dataset's class names.
        results.label_names = [self.class_names[label] for label in results.labels.tolist()]
        results.query_inds = query_inds
        results.id_logits = id_logits[query_inds]
        contrast = self.bbox_head.cls_branches[self.decoder.num_layers - 1]
        embeddings = region_embeddings(contrast, found.queries[image][query_inds])
        if bank is not None:
            results.neg_logits = self.bank_logits(embeddings, *bank)
        if self.needs_embeddings:
            results.embeddings = embeddings
        if test_cfg.get("keep_embeddings"):
            id_tokens = found.id_tokens[image][found.columns]
            results.id_cosines = mean_cosines(embeddings[:, :-1], id_tokens, found.real)
            if bank is not None:
                results.neg_cosines = mean_cosines(embeddings[:, :-1], *bank)
        return results

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Detections of ``class_names`` with ``query_inds``, as MMDetection's top-k keeps them."""
        results, cells = self.detections(batch_inputs, batch_data_samples, None, rescale)
        if not self.bbox_head.test_cfg.get("keep_logits"):
            for result in results:
                result.pop("id_logits")
        samples = self.add_pred_to_datasample(batch_data_samples, results)
        self.add_unknown(samples, cells)
        return samples

    def _forward(self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None) -> tuple:
        """Raw outputs of the last layer: label logits [B, Q, K] and boxes cxcywh in 0..1."""
        found = self.label_boxes(batch_inputs, batch_data_samples)
        return found.id_logits, found.boxes
