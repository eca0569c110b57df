"""Label names as one caption, and where each name's tokens are.

Shapes: K labels, L tokens, C context tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from mmdet.models.detectors.glip import clean_label_name
from torch import Tensor

from negas.embeddings.text import warn_of_equal_tokens
from negas.text import shown

from .language import BertTextModel

SEPARATOR = ". "


@dataclass(frozen=True)
class Caption:
    """A tokenised caption ``"a photo of cat. a photo of dog. "``.

    Attributes:
        input_ids: [L].
        masks: bool [L, L], True = sees; phrases do not see each other.
        position_ids: [L], restarting with every phrase.
        name_map: bool [K, L], the tokens of each name (no prefix, no separator).
        ctx_columns: [K, C], the columns of each name's prefix.
    """

    input_ids: Tensor
    masks: Tensor
    position_ids: Tensor
    name_map: Tensor
    ctx_columns: Tensor

    @property
    def score_mask(self) -> Tensor:
        """Tokens that are scored, bool [L]: all but the prefix.

        MMDetection's loss pushes every token that is no name to 0 for every query, and query
        selection takes the best of all tokens. Separators were trained so, prefix words were not.
        """
        mask = torch.ones_like(self.input_ids, dtype=torch.bool)
        mask[self.ctx_columns.flatten()] = False
        return mask

    def to(self, device: torch.device | str) -> Caption:
        """The same caption on another device."""
        return replace(self, **{key: value.to(device) for key, value in vars(self).items()})


def clean_name(name: str) -> str:
    """A name as it may stand in a caption: MMDetection's cleaning, and no ``.`` or ``?`` in it.

    These end a phrase: "st. bernard" would be two.
    """
    return re.sub(r"\s+", " ", re.sub(r"[.?]", " ", clean_label_name(name))).strip()


def make_caption(
    language: BertTextModel, names: Sequence[str], prefix: str = "", num_ctx: int = 0
) -> Caption:
    """Tokenise names as one caption.

    Args:
        language: with the tokenizer and the limit ``max_tokens``.
        names: K labels.
        prefix: words in front of every name.
        num_ctx: C, the number of their tokens.

    Raises:
        ValueError: a name is nothing but punctuation, or the caption is too long; naming the label.
    """
    text, spans = "", []
    for name in names:
        cleaned = clean_name(name)
        if not cleaned:
            raise ValueError(f"the label {name!r} is empty for Grounding DINO; rename it")
        text += f"{prefix} " if prefix else ""
        spans.append((len(text), len(text) + len(cleaned)))
        text += cleaned + SEPARATOR
    tokenized = language.tokenize([text])
    length = int(tokenized["attention_mask"].sum())
    input_ids = tokenized["input_ids"][:, :length]
    name_map = torch.zeros(len(names), length, dtype=torch.bool)
    for row, (begin, end) in zip(name_map, spans, strict=True):
        columns = {tokenized.char_to_token(0, i) for i in range(begin, end)} - {None}
        row[sorted(columns)] = True
    lost = (name_map.nonzero()[:, 1] >= language.max_tokens - 1).nonzero()
    if length > language.max_tokens:
        row = int(name_map.nonzero()[lost[0, 0], 0]) if len(lost) else len(names) - 1
        raise ValueError(
            f"the {len(names)} labels need {length} tokens of Grounding DINO's caption, which "
            f"holds {language.max_tokens}: {shown(names[row])} (number {row + 1}) does not fit; "
            "give fewer or shorter labels"
        )
    if not name_map.any(1).all():
        row = int((~name_map.any(1)).nonzero()[0, 0])
        raise ValueError(
            f"the tokenizer makes no token of the label {shown(names[row])}; rename it"
        )
    warn_of_equal_tokens(names, [input_ids[0][row].tolist() for row in name_map])
    first = name_map.int().argmax(1)
    columns = first[:, None] + torch.arange(-num_ctx, 0)
    masks, position_ids = language.phrase_masks(input_ids)
    if num_ctx and not masks[0][first[:, None], columns].all():
        raise ValueError(
            f"the prompt {prefix!r} has a '.' or '?', which ends a phrase; leave it out"
        )
    return Caption(input_ids[0], masks[0], position_ids[0], name_map, columns)


def chunk_names(
    language: BertTextModel, names: Sequence[str], prefix: str = "", limit: int | None = None
) -> list[list[str]]:
    """Split names so that each part fits one caption; the phrases do not see each other anyway."""
    limit = limit or language.max_tokens
    phrases = [f"{prefix} {clean_name(name)}{SEPARATOR}" for name in names]
    lengths = [len(ids) - 2 for ids in language.tokenizer(phrases)["input_ids"]] if names else []
    parts: list[list[str]] = []
    used = limit
    for name, length in zip(names, lengths, strict=True):
        if used + length > limit:
            parts.append([])
            used = 2  # [CLS] and [SEP]
        parts[-1].append(name)
        used += length
    return parts
