"""MMDetection's BERT on today's transformers, with learnable input embeddings.

Shapes: B captions, L tokens, H channels of BERT.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from mmdet.models.language_models.bert import (
    BertEncoder,
    BertModel,
    generate_masks_with_special_tokens_and_transfer_map,
)
from mmengine.registry import MODELS
from torch import Tensor

from negas.embeddings.hub import how_to_get, load_whole, loading, without_waiting
from negas.shipped import find


def check_folder(name: str) -> None:
    """Transformers takes a path that does not exist for a hub name, and any folder's tokenizer.

    Raises:
        FileNotFoundError: ``name`` reads as a path and is no folder.
        ValueError: the folder has no tokenizer; transformers would make an empty one.
    """
    folder = Path(name)
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith(".") or name.count("/") > 1:
            raise FileNotFoundError(
                f"model.language_model.name={name!r}: there is no such folder; a relative "
                "path starts where the command does"
            )
    elif not any((folder / file).is_file() for file in ("vocab.txt", "tokenizer.json")):
        raise ValueError(
            f"model.language_model.name={name!r}: the folder has neither vocab.txt nor "
            "tokenizer.json; copy the tokenizer files of the BERT there, too"
        )


class _WholeEncoder(BertEncoder):
    """MMDetection's encoder, refused where its files lack weights."""

    def __init__(self, name: str, add_pooling_layer: bool, use_checkpoint: bool) -> None:
        torch.nn.Module.__init__(self)  # MMDetection's own loads without a look at what is missing
        from transformers import BertConfig
        from transformers import BertModel as Bert

        config = BertConfig.from_pretrained(name)
        config.gradient_checkpointing = use_checkpoint
        options = dict(add_pooling_layer=add_pooling_layer, config=config)
        self.model = load_whole(Bert, name, unused=("pooler.",), **options)  # no caption is pooled
        self.language_dim = config.hidden_size
        self.num_layers_of_embedded = 1


@MODELS.register_module()
class BertTextModel(BertModel):
    """:class:`mmdet.models.BertModel` whose forward does not depend on transformers' masks.

    transformers 5 has no ``batch_encode_plus``, and its models take no mask per pair of tokens any
    more. So the tokenizer is called directly, and embeddings and encoder are run one by one with an
    additive mask, which gives the same numbers in versions 4 and 5. Parameter names are
    MMDetection's, so released weights load.

    Args:
        name: folder or hub name of a BERT.
        max_tokens: longest caption.
        special_tokens_list: tokens between which a phrase stands.
        add_pooling_layer: see MMDetection's class, as for ``use_checkpoint``.
        **kwargs: of MMEngine's base class.

    Raises:
        ValueError: on options that no released Grounding DINO uses, or if no BERT can be loaded.
        FileNotFoundError: see :func:`check_folder`.
    """

    def __init__(
        self,
        name: str = "bert-base-uncased",
        max_tokens: int = 256,
        pad_to_max: bool = False,
        use_sub_sentence_represent: bool = True,
        special_tokens_list: Sequence[str] = ("[CLS]", "[SEP]", ".", "?"),
        num_layers_of_embedded: int = 1,
        add_pooling_layer: bool = False,
        use_checkpoint: bool = False,
        **kwargs,
    ) -> None:
        if not use_sub_sentence_represent or num_layers_of_embedded != 1:
            raise ValueError(
                "BertTextModel: use_sub_sentence_represent must be True and num_layers_of_embedded "
                "1, as in all released Grounding DINO configs"
            )
        from transformers import AutoTokenizer

        name = find(name)
        check_folder(name)
        without_waiting(name)
        what = f"model.language_model.name={name!r}: cannot load a BERT from there"
        with loading(what, how_to_get(name)):
            encoder = _WholeEncoder(name, add_pooling_layer, use_checkpoint)
            tokenizer = AutoTokenizer.from_pretrained(name)
        super(BertModel, self).__init__(**kwargs)
        self.max_tokens, self.pad_to_max = max_tokens, pad_to_max
        self.use_sub_sentence_represent = True
        self.tokenizer = tokenizer
        self.language_backbone = torch.nn.Sequential(OrderedDict(body=encoder))
        self.special_tokens = tokenizer.convert_tokens_to_ids(list(special_tokens_list))

    @property
    def bert(self) -> torch.nn.Module:
        """The transformers model."""
        return self.language_backbone.body.model

    def tokenize(self, captions: Sequence[str]) -> dict:
        """Token ids of captions, not truncated: what does not fit must be seen, not lost."""
        return self.tokenizer(
            list(captions),
            padding="max_length" if self.pad_to_max else "longest",
            max_length=self.max_tokens if self.pad_to_max else None,
            return_tensors="pt",
        )

    def phrase_masks(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Which tokens see each other, bool [B, L, L], and positions that restart, [B, L]."""
        return generate_masks_with_special_tokens_and_transfer_map(
            dict(input_ids=input_ids), self.special_tokens
        )

    def encode(
        self,
        input_ids: Tensor,
        masks: Tensor,
        position_ids: Tensor,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Contextual token features [B, L, H].

        Args:
            input_ids: [B, L].
            masks: bool [B, L, L], True = sees.
            position_ids: [B, L].
            inputs_embeds: word embeddings [B, L, H] in place of those of ``input_ids``.
        """
        words = dict(input_ids=input_ids)
        if inputs_embeds is not None:
            words = dict(inputs_embeds=inputs_embeds)
        hidden = self.bert.embeddings(
            **words, position_ids=position_ids, token_type_ids=torch.zeros_like(input_ids)
        )
        # Additive and of 4 axes: transformers adds even a boolean mask in eager attention.
        additive = torch.zeros_like(masks, dtype=hidden.dtype)
        additive.masked_fill_(~masks, torch.finfo(hidden.dtype).min)
        encoded = self.bert.encoder(hidden, attention_mask=additive[:, None])
        return encoded.last_hidden_state

    def forward(self, captions: Sequence[str], **kwargs) -> dict[str, Tensor]:
        """Based on ``BertModel.forward``; the same dict for plain captions."""
        device = next(self.language_backbone.parameters()).device
        tokenized = self.tokenize(captions).to(device)
        input_ids = tokenized["input_ids"][:, : self.max_tokens]
        masks, position_ids = self.phrase_masks(input_ids)
        features = self.encode(input_ids, masks, position_ids)
        return dict(
            embedded=features,
            masks=masks,
            hidden=features,
            position_ids=position_ids,
            text_token_mask=tokenized["attention_mask"][:, : self.max_tokens].bool(),
        )
