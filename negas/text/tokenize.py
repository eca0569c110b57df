"""Labels to token ids of a CLIP tokenizer. Shapes: L labels, T tokens of the longest one."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

CLIP_CONTEXT_LENGTH = 77


class TokenBatch(NamedTuple):
    """Token ids and mask, both [L, T] int64; the mask is 1 up to and including end-of-text."""

    input_ids: Tensor
    attention_mask: Tensor


def tokenize_labels(
    tokenizer,
    labels: Sequence[str],
    template: str = "a photo of {}",
    context_length: int | None = None,
) -> TokenBatch:
    """Tokenise `template` filled with each label, padded to the longest only.

    The text transformer is causal and pools at end-of-text, so columns behind the longest label
    would cost time and change nothing.

    Args:
        tokenizer: A transformers CLIP tokenizer.
        labels: L class names.
        template: Text with one `{}`.
        context_length: Most tokens allowed, begin and end included; default is the tokenizer's
            `model_max_length`, at most 77.

    Raises:
        ValueError: If there is no label, a label is empty or does not fit, or the template has
            not exactly one `{}`.
    """
    if template.count("{}") != 1:
        raise ValueError(f"tokenize_labels: template {template!r} must contain exactly one '{{}}'.")
    if isinstance(labels, str):
        raise ValueError(f"tokenize_labels: expected a list of labels, got one text {labels!r}.")
    if len(labels) == 0:
        raise ValueError("tokenize_labels: got no labels; give at least one class name.")
    for index, label in enumerate(labels):
        if not isinstance(label, str) or not label.strip():
            raise ValueError(
                f"tokenize_labels: label {index} is {label!r}; every label must be a non-empty "
                "text, remove or name it."
            )
    limit = context_length or min(tokenizer.model_max_length, CLIP_CONTEXT_LENGTH)
    # each row is truncated by nobody: an over-long label is an error, never cut silently
    rows = tokenizer(
        [template.replace("{}", label.strip()) for label in labels], truncation=False, verbose=False
    )["input_ids"]
    for label, row in zip(labels, rows, strict=True):
        if len(row) > limit:
            raise ValueError(
                f"tokenize_labels: label {label!r} needs {len(row)} tokens with template "
                f"{template!r}, the text encoder takes {limit}; shorten the label."
            )
    longest = max(map(len, rows))
    input_ids = torch.full((len(rows), longest), tokenizer.pad_token_id, dtype=torch.long)
    attention_mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = torch.tensor(row)
        attention_mask[index, : len(row)] = 1
    return TokenBatch(input_ids, attention_mask)
