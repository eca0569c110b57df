"""Modality inversion: the text embedding that comes nearest to an image (InterNeg, CVPR 2026).

A pseudo-token takes the place of the class name in a prompt and is optimised through the frozen
text encoder until the prompt's embedding points where the image's does.
Shape letters: B images, T tokens of a row, P pseudo-tokens, H channels of the text transformer,
D channels of the projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from negas.image_level.checks import Features, unit_features
from negas.text import encode_tokens

if TYPE_CHECKING:
    from negas.image_level.encoders import Encoder

DEFAULT_TEMPLATE = "a photo of a {}."


class _Rows(NamedTuple):
    """Token ids and mask [templates, T] and where the pseudo-tokens stand [templates, P]."""

    input_ids: Tensor
    attention_mask: Tensor
    places: Tensor


@dataclass(frozen=True)
class Inverted:
    """What an inversion gives.

    Attributes:
        feats: [B, D] unit text embeddings.
        cosine_start: [B] cosine to the image before the first step.
        cosine: [B] after the last one.
    """

    feats: Tensor
    cosine_start: Tensor
    cosine: Tensor


class ModalityInversion:
    """A callable ``image_feats [B, D] -> Inverted``.

    Each image is inverted for itself: the loss is the sum of ``1 - cosine`` over the batch, so
    that an image's gradient does not depend on its neighbours (the authors take the mean, which
    AdamW scales away). Start and templates are drawn from ``seed`` alone and are the same for all
    images, so the result depends neither on the order nor on the batch.

    CHOICE: the authors draw one of CLIP's 80 ImageNet templates per step and image, the paper has
    "a photo of"; one fixed template is the default, several give a draw per step.

    Args:
        text_model: frozen transformers ``CLIPTextModelWithProjection``; left as it is.
        tokenizer: its tokenizer.
        templates: texts with one ``{}`` each.
        pseudo_tokens: P, in the place of the class name.
        steps: of AdamW (weight decay 0.01).
        learning_rate: its step size.
        init_std: standard deviation of the start.
        seed: of the start and of the draws.
        batch_size: images at a time; changes speed only.
    """

    def __init__(
        self,
        text_model: nn.Module,
        tokenizer,
        templates: Sequence[str] = (DEFAULT_TEMPLATE,),
        pseudo_tokens: int = 1,
        steps: int = 10,
        learning_rate: float = 2e-2,
        init_std: float = 0.02,
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        whole = {"pseudo_tokens": pseudo_tokens, "steps": steps, "batch_size": batch_size}
        for option, value in {**whole, "learning_rate": learning_rate}.items():
            if not value > 0:
                raise ValueError(f"modality inversion: {option} must be positive, got {value!r}.")
        self.text_model = text_model
        self.options = dict(
            templates=list(templates),
            steps=steps,
            pseudo_tokens=pseudo_tokens,
            learning_rate=learning_rate,
            init_std=init_std,
            seed=seed,
        )
        self.batch_size = batch_size
        table = text_model.get_input_embeddings().weight
        rows = _tokenize(tokenizer, templates, pseudo_tokens)
        self._rows = _Rows(*(tensor.to(table.device) for tensor in rows))
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(pseudo_tokens, table.shape[1], generator=generator) * init_std
        self._start = start.to(table.device)
        # the last template is also that of the embedding that is returned, as the authors have it
        self._draws = torch.randint(len(templates), (steps,), generator=generator).tolist()
        with torch.no_grad():
            self._width = self._encode(self._start[None], 0).shape[1]

    @classmethod
    def of_encoder(cls, encoder: Encoder, **options: Any) -> ModalityInversion:
        """Invert through the text side of a CLIP encoder of :func:`build_encoder`.

        Raises:
            ValueError: the encoder is not CLIP.
        """
        from transformers import CLIPTextModelWithProjection

        if encoder.family != "clip":
            raise ValueError(
                f"modality inversion works through a CLIP text encoder, and {encoder.name!r} is "
                f"{encoder.family}; choose a CLIP model or another method."
            )
        with torch.device("meta"):  # an empty shell around the modules that are loaded already
            tower = CLIPTextModelWithProjection(encoder.model.config.text_config)
        tower.text_model = encoder.model.text_model
        tower.text_projection = encoder.model.text_projection
        return cls(tower, encoder.tokenizer, **options)

    def __call__(self, image_feats: Features) -> Inverted:
        """Invert images.

        Raises:
            ValueError: empty or NaN features, or of another width than the text encoder's.
        """
        images = unit_features("image_feats", image_feats, self._width)
        images = images.to(self._start.device)
        parts = [self._invert(rows) for rows in images.split(self.batch_size)]
        return Inverted(
            torch.cat([part.feats for part in parts]),
            torch.cat([part.cosine_start for part in parts]),
            torch.cat([part.cosine for part in parts]),
        )

    def _invert(self, images: Tensor) -> Inverted:
        # float32 master copy, whatever the encoder's type: ten small steps vanish in half precision
        tokens = self._start.expand(len(images), -1, -1).clone().requires_grad_()
        optimizer = torch.optim.AdamW([tokens], lr=self.options["learning_rate"], weight_decay=0.01)
        cosine_start = None
        with _frozen(self.text_model), torch.enable_grad():
            for draw in self._draws:
                cosine = (self._encode(tokens, draw) * images).sum(dim=1)
                cosine_start = cosine.detach() if cosine_start is None else cosine_start
                # gradients of `tokens` only; the encoder's are never made
                (tokens.grad,) = torch.autograd.grad((1 - cosine).sum(), [tokens])
                optimizer.step()
        with torch.no_grad():
            feats = self._encode(tokens, self._draws[-1])
        return Inverted(feats, cosine_start, (feats * images).sum(dim=1))

    def _encode(self, tokens: Tensor, template: int) -> Tensor:
        """[B, D] unit embeddings of one template with the pseudo-tokens [B, P, H] in it."""
        count = len(tokens)
        ids = self._rows.input_ids[template].expand(count, -1)
        mask = self._rows.attention_mask[template].expand(count, -1)
        embeds = self.text_model.get_input_embeddings()(ids)
        places = self._rows.places[template]
        embeds = embeds.index_copy(1, places, tokens.to(embeds.dtype))
        feats = encode_tokens(self.text_model, ids, mask, embeds).float()
        if not bool(torch.isfinite(feats).all()):
            raise ValueError(
                "modality inversion: the text encoder gave NaN or infinite values; use it in "
                "float32, or lower learning_rate."
            )
        return F.normalize(feats, dim=-1)


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients of parameters, and back as it was."""
    training, parameters = model.training, list(model.parameters())
    flags = [parameter.requires_grad for parameter in parameters]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        model.train(training)
        for parameter, flag in zip(parameters, flags, strict=True):
            parameter.requires_grad_(flag)


def _tokenize(tokenizer, templates: Sequence[str], pseudo_tokens: int) -> _Rows:
    """Templates to ids with a placeholder where the pseudo-tokens come."""
    if isinstance(templates, str) or not templates:
        raise ValueError("modality inversion: templates must be a non-empty list of texts.")
    placeholder = _ids(tokenizer, "x")[:1] * pseudo_tokens
    rows, places = [], []
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(
                f"modality inversion: template {template!r} must contain exactly one '{{}}'."
            )
        before, after = (_ids(tokenizer, part) for part in template.split("{}"))
        start = 1 + len(before)
        places.append(list(range(start, start + pseudo_tokens)))
        ends = [tokenizer.bos_token_id], [tokenizer.eos_token_id]
        rows.append([*ends[0], *before, *placeholder, *after, *ends[1]])
    longest, limit = max(map(len, rows)), min(tokenizer.model_max_length, 77)
    if longest > limit:
        raise ValueError(
            f"modality inversion: a template with {pseudo_tokens} pseudo-tokens takes {longest} "
            f"tokens, the text encoder {limit}; shorten it or use fewer pseudo-tokens."
        )
    pad = tokenizer.pad_token_id
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return _Rows(ids, mask, torch.tensor(places))


def _ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text.strip(), add_special_tokens=False)["input_ids"] if text.strip() else []
