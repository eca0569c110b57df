"""From labels to token ids, and through a CLIP text transformer with gradients.

Shapes: L labels or texts, T tokens of the longest, D channels of the projection (H of the
transformer).
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from negas.text import listed, shown

from .shared_prefix import encode_behind_prefix, has_clip_layers

if TYPE_CHECKING:
    from .prompt import PromptLearner


CLIP_CONTEXT_LENGTH = 77
PHRASES = 2048  # that are encoded at once: a vocabulary may have any number


def with_bar(parts: Iterable[Sequence[str]], total: int) -> Iterator[Sequence[str]]:
    """Hand on parts of ``total`` texts; a bar on a terminal where that takes over two seconds."""
    with tqdm(
        total=total, desc="encoding words, once", unit=" words", delay=2, leave=False, disable=None
    ) as bar:
        for part in parts:
            yield part
            bar.update(len(part))


def in_parts(texts: Sequence[str], size: int = PHRASES) -> Iterator[Sequence[str]]:
    """Texts, ``size`` at a time, :func:`with_bar` where these are several parts."""
    if len(texts) <= size:
        return iter([texts])
    return with_bar((texts[i : i + size] for i in range(0, len(texts), size)), len(texts))


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
        raise ValueError(f"tokenize_labels: expected a list of labels, got {shown(labels)}.")
    if len(labels) == 0:
        raise ValueError("tokenize_labels: got no labels; give at least one class name.")
    for index, label in enumerate(labels):
        if not isinstance(label, str) or not label.strip():
            raise ValueError(
                f"tokenize_labels: label {index} is {shown(label)}; every label must be a "
                "non-empty text, remove or name it."
            )
    limit = context_length or min(tokenizer.model_max_length, CLIP_CONTEXT_LENGTH)
    # each row is truncated by nobody: an over-long label is an error, never cut silently
    rows = tokenizer(
        [template.replace("{}", label.strip()) for label in labels], truncation=False, verbose=False
    )["input_ids"]
    for label, row in zip(labels, rows, strict=True):
        if len(row) > limit:
            raise ValueError(
                f"tokenize_labels: label {shown(label)} needs {len(row)} tokens with template "
                f"{template!r}, the text encoder takes {limit}; shorten the label."
            )
    warn_of_equal_tokens(labels, rows)
    input_ids = pad_sequence([torch.tensor(row) for row in rows], True, tokenizer.pad_token_id)
    mask = pad_sequence([torch.ones(len(row), dtype=torch.long) for row in rows], True)
    return TokenBatch(input_ids, mask)


def warn_of_equal_tokens(labels: Sequence[str], rows: Sequence[Sequence[int]]) -> None:
    """Warn of labels that are one text to a tokenizer, as those without a word that it knows.

    Args:
        labels: L names.
        rows: tokens of each.
    """
    by_tokens: dict[tuple[int, ...], list[str]] = {}
    for label, row in zip(labels, rows, strict=True):
        by_tokens.setdefault(tuple(row), []).append(label)
    for same in by_tokens.values():
        if len(same) > 1:
            warnings.warn(
                f"the tokenizer makes the same tokens of {len(same)} labels ({listed(same)}), so "
                "no score can tell them apart; use words that it knows",
                stacklevel=3,
            )


@contextmanager
def _embeddings_replaced(embedding: nn.Module, inputs_embeds: Tensor) -> Iterator[None]:
    """Make `embedding` answer its next calls with `inputs_embeds` instead of a look-up."""
    handle = embedding.register_forward_hook(lambda *_: inputs_embeds)
    try:
        yield
    finally:
        handle.remove()


def encode_tokens(
    text_model: nn.Module,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    inputs_embeds: Tensor | None = None,
) -> Tensor:
    """Encode texts with a transformers `CLIPTextModelWithProjection`.

    The model's own forward takes no input embeddings, and what it does around them (mask, pooling
    at end-of-text with the old rule for `eos_token_id == 2`) differs between transformers
    versions. So its forward runs as it is, and only the look-up of token embeddings is replaced.

    Args:
        text_model: The encoder; call it under no_grad if no gradient is wanted.
        input_ids: [L, T] token ids; still needed with `inputs_embeds`, to find end-of-text.
        attention_mask: [L, T] of 0/1, or None. Padding follows end-of-text and attention is
            causal, so it cannot reach the result.
        inputs_embeds: [L, T, H] token embeddings before positions are added, see `PromptLearner`.

    Returns:
        [L, D] projected text embeddings, not normalised.

    Raises:
        ValueError: If the shapes of `inputs_embeds` and `input_ids` do not fit.
    """
    if inputs_embeds is None:
        return text_model(input_ids=input_ids, attention_mask=attention_mask).text_embeds
    if inputs_embeds.shape[:-1] != input_ids.shape:
        raise ValueError(
            f"encode_tokens: inputs_embeds {list(inputs_embeds.shape)} must be [L, T, H] for "
            f"input_ids {list(input_ids.shape)}."
        )
    with _embeddings_replaced(text_model.get_input_embeddings(), inputs_embeds):
        return text_model(input_ids=input_ids, attention_mask=attention_mask).text_embeds


def encode_labels(
    text_model: nn.Module,
    tokenizer,
    labels: Sequence[str],
    prompt: "PromptLearner | None" = None,
    template: str = "a photo of {}",
    normalize: bool = True,
) -> Tensor:
    """Tokenise and encode class names, with a learned prompt in place of a template if given.

    Args:
        text_model: A `CLIPTextModelWithProjection`.
        tokenizer: Its tokenizer.
        labels: L class names.
        prompt: Learned context; its own template is used, and `template` ignored.
        template: Text with one `{}`.
        normalize: L2-normalise the result.

    Returns:
        [L, D] text embeddings.
    """
    batch = tokenize_labels(tokenizer, labels, template if prompt is None else prompt.template)
    device = text_model.get_input_embeddings().weight.device
    input_ids, mask = batch.input_ids.to(device), batch.attention_mask.to(device)
    if prompt is None:
        feats = encode_tokens(text_model, input_ids, mask)
    elif has_clip_layers(text_model):
        embeds = prompt(input_ids, text_model)
        feats = encode_behind_prefix(text_model, embeds, mask, 1 + prompt.num_ctx)
    else:
        feats = encode_tokens(text_model, input_ids, mask, prompt(input_ids, text_model))
    return torch.nn.functional.normalize(feats, dim=-1) if normalize else feats


def encode_text(text_model: nn.Module, tokenizer, text: str) -> Tensor:
    """The L2-normalised embedding [D] of one text that need be no name: ``" "`` is encoded, too."""
    batch = tokenizer([text], return_tensors="pt")
    device = text_model.get_input_embeddings().weight.device
    ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
    return torch.nn.functional.normalize(encode_tokens(text_model, ids, mask)[0], dim=-1)
