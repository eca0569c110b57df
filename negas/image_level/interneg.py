"""InterNeg: negatives inverted from test images, in the distances of both modalities (CVPR 2026).

Its modality inversion finds the text embedding that comes nearest to an image: a pseudo-token takes
the place of the class name in a prompt and is optimised through the frozen text encoder until the
prompt's embedding points where the image's does.
Shape letters: B images, K ID labels, M negative labels, E extra negatives in memory, V embeddings,
T tokens of a row, P pseudo-tokens, H channels of the text transformer, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from negas.embeddings import encode_tokens, fingerprint
from negas.embeddings.encoders import Features, unit_features
from negas.labels.selection.interneg import base_distances, deviations
from negas.options import Options, option
from negas.scores import NegLabel

from .method import CLIP_SCALE, Inputs, Method, OnlineOptions
from .online import OnlineBatch, OnlineScorer

if TYPE_CHECKING:
    from negas.embeddings.encoders import Encoder


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


@dataclass(frozen=True)
class InversionOptions(Options):
    """Options of the modality inversion.

    CHOICE: the authors draw one of CLIP's 80 ImageNet templates per step and image, the paper has
    "a photo of"; one fixed template is the default, several give a draw per step.
    """

    templates: tuple[str, ...] = option(("a photo of a {}.",), help="texts with one {} each")
    pseudo_tokens: int = option(1, help="in the place of the class name", ge=1)
    steps: int = option(10, help="of AdamW (weight decay 0.01)", ge=1)
    learning_rate: float = option(2e-2, help="step size of AdamW", gt=0)
    init_std: float = option(0.02, help="standard deviation of the start", ge=0)
    seed: int = option(0, help="of the start and of the draws", ge=0)
    batch_size: int = option(64, help="images at a time; changes speed only", ge=1)


class ModalityInversion:
    """A callable ``image_feats [B, D] -> Inverted``.

    Each image is inverted for itself: the loss is the sum of ``1 - cosine`` over the batch, so
    that an image's gradient does not depend on its neighbours (the authors take the mean, which
    AdamW scales away). Start and templates are drawn from ``seed`` alone and are the same for all
    images, so the result depends neither on the order nor on the batch.

    Args:
        text_model: frozen transformers ``CLIPTextModelWithProjection``; left as it is.
        tokenizer: its tokenizer.
        **options: see :class:`InversionOptions`.
    """

    def __init__(self, text_model: nn.Module, tokenizer: Any, **options: Any) -> None:
        self.options = InversionOptions.from_settings(options, "modality inversion")
        self.text_model = text_model
        templates, count = self.options.templates, self.options.pseudo_tokens
        table = text_model.get_input_embeddings().weight
        rows = _tokenize(tokenizer, templates, count)
        self._rows = _Rows(*(tensor.to(table.device) for tensor in rows))
        generator = torch.Generator().manual_seed(self.options.seed)
        start = torch.randn(count, table.shape[1], generator=generator) * self.options.init_std
        self._start = start.to(table.device)
        # the last template is also that of the embedding that is returned, as the authors have it
        steps = (self.options.steps,)
        self._draws = torch.randint(len(templates), steps, generator=generator).tolist()
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
        parts = [self._invert(rows) for rows in images.split(self.options.batch_size)]
        return Inverted(
            torch.cat([part.feats for part in parts]),
            torch.cat([part.cosine_start for part in parts]),
            torch.cat([part.cosine for part in parts]),
        )

    def _invert(self, images: Tensor) -> Inverted:
        # float32 master copy, whatever the encoder's type: ten small steps vanish in half precision
        tokens = self._start.expand(len(images), -1, -1).clone().requires_grad_()
        optimizer = torch.optim.AdamW([tokens], lr=self.options.learning_rate, weight_decay=0.01)
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
    if not templates:
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


@dataclass(frozen=True)
class InterNegOptions(OnlineOptions):
    """Options of InterNeg."""

    threshold: float = option(0.35, help="scores up to it are doubtful", ge=0, le=1)
    max_extra: int = option(2000, help="most texts in memory", ge=0)
    groups: int = option(
        1, help="of all negatives, 1 in the paper; the code uses 5 for far sets", ge=1
    )
    update: Literal["image", "batch"] = option("image", help="the paper's, or the code's")
    inversion: dict[str, Any] = option(help="options of the modality inversion", factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        InversionOptions.from_settings(self.inversion, "inversion")


class InterNeg(OnlineScorer):
    """NegLabel's score with the M negatives and up to E texts inverted from doubtful images.

    An image with a score of at most ``threshold`` is inverted to a text embedding v. With the
    image proxy p_k of each ID class and its base distance ``d_k = 1 - cos(t_k, p_k)``, v is kept
    if ``1 - cos(v, p_k) > d_k`` for all k; of the kept ones the ``max_extra`` with the largest
    ``Dev(v) = sum_k (1 - cos(v, p_k) - d_k)`` stay. The image is then scored again.

    ``update="image"`` is the paper: one image after another, so the batch size does not matter.
    ``update="batch"`` is the authors' code: the memory is updated once with all doubtful images of
    a batch, and then the whole batch is scored again if there was one. In batches of one image the
    two agree, but for a score that equals the threshold.

    The paper states a temperature of 1, its code does not use it; with it all scores would be
    near K / (K + M). Here ``scale`` is CLIP's 100.

    Args:
        id_feats: [K, D].
        neg_feats: [M, D], say of ``negas.labels.selection.interneg.select_interneg``.
        image_proxies: [K, D] of ``negas.labels.selection.interneg.image_proxies``.
        invert: ``image_feats [V, D] -> text feats [V, D]`` (or :class:`Inverted`), say a
            ``ModalityInversion``.
        scale: multiple of the cosine.
        **options: see :class:`InterNegOptions`; ``seed`` is that of the groups' permutation.
    """

    name = "interneg"
    Options = InterNegOptions
    options: InterNegOptions

    def __init__(
        self,
        id_feats: Features,
        neg_feats: Features,
        image_proxies: Features,
        invert: Callable[[Tensor], Tensor | Inverted],
        scale: float = CLIP_SCALE,
        **options: Any,
    ) -> None:
        super().__init__(id_feats, neg_feats, scale, **options)
        width = self.id_feats.shape[1]
        self.proxies = unit_features("image_proxies", image_proxies, width).cpu()
        self.base_distance = base_distances(self.id_feats, self.proxies)
        self._invert = invert
        self._score = NegLabel(groups=self.options.groups, generator=self.options.seed)
        self._score.group_order(len(self.neg_feats))  # too many groups: say so before the stream
        self.reset()

    def reset(self) -> None:  # noqa: D102
        #: [E, D] extra negatives, largest deviation first; [E] deviations and stream positions
        self.extra_feats = self.neg_feats.new_zeros(0, self.neg_feats.shape[1])
        self.extra_deviation = torch.zeros(0, dtype=torch.float64)
        self.extra_source = torch.zeros(0, dtype=torch.int64)
        self.seen = self.accepted = 0

    def settings(self) -> dict[str, Any]:  # noqa: D102
        found = super().settings()
        if isinstance(self._invert, ModalityInversion):
            found["inversion"] = self._invert.options.record()
            del found["inversion"]["batch_size"]  # changes speed only
        return found

    def _update(self, images: Tensor, sources: Sequence[Any] | None) -> OnlineBatch:
        logits = self.scale * images @ torch.cat([self.id_feats, self.neg_feats]).T
        by_image = self.options.update == "image"
        before = self.accepted
        initial, scores, doubtful = (self._by_image if by_image else self._by_batch)(images, logits)
        self.seen += len(images)
        log = {
            "doubtful": int(doubtful.sum()),
            "accepted": self.accepted - before,
            "in_memory": len(self.extra_feats),
        }
        return OnlineBatch(scores, initial, logits[:, : len(self.id_feats)].argmax(dim=1), log)

    def _by_image(self, images: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        threshold = self.options.threshold
        initial = torch.empty(len(images), dtype=torch.float64, device=images.device)
        scores = initial.clone()
        # one call for all that the present memory finds doubtful; the others as they turn up
        first = (self._scores(images, logits) <= threshold).nonzero()[:, 0]
        inverted = dict(zip(first.tolist(), self._texts(images[first]), strict=True))
        for i in range(len(images)):
            row = slice(i, i + 1)
            initial[row] = scores[row] = self._scores(images[row], logits[row])
            if initial[i] <= threshold:
                if i not in inverted:
                    inverted[i] = self._texts(images[row])[0]
                self._insert(inverted[i][None], torch.tensor([self.seen + i]))
                scores[row] = self._scores(images[row], logits[row])
        return initial, scores, initial <= threshold

    def _by_batch(self, images: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        initial = self._scores(images, logits)
        doubtful = initial < self.options.threshold
        if not bool(doubtful.any()):
            return initial, initial, doubtful
        chosen = doubtful.nonzero()[:, 0]
        self._insert(self._texts(images[chosen]), self.seen + chosen.cpu())
        return initial, self._scores(images, logits), doubtful

    def _scores(self, images: Tensor, logits: Tensor) -> Tensor:
        """[B] of logits [B, K + M] together with the extra negatives."""
        extra = self.scale * images @ self.extra_feats.T
        count = len(self.id_feats)
        return self._score(logits[:, :count], torch.cat([logits[:, count:], extra], dim=1))

    def _texts(self, images: Tensor) -> Tensor:
        if len(images) == 0:
            return images
        inverted = self._invert(images)
        feats = inverted.feats if isinstance(inverted, Inverted) else inverted
        feats = unit_features("inverted features", feats, images.shape[1]).to(images.device)
        if len(feats) != len(images):
            raise ValueError(
                f"{self.name}: invert returned {len(feats)} rows for {len(images)} images; it must "
                f"return one text feature per image."
            )
        return feats

    def _insert(self, feats: Tensor, sources: Tensor) -> None:
        """Keep those of [V, D] that are farther from every proxy than its own text is."""
        passes, deviation = map(
            torch.from_numpy, deviations(feats, self.proxies, self.base_distance)
        )
        self.accepted += int(passes.sum())
        deviation = torch.cat([self.extra_deviation, deviation[passes]])
        # stable: a new text comes behind an older one of equal deviation
        order = deviation.argsort(descending=True, stable=True)[: self.options.max_extra]
        feats = torch.cat([self.extra_feats, feats[passes.to(feats.device)]])
        self.extra_feats = feats[order.to(feats.device)]
        self.extra_deviation = deviation[order]
        self.extra_source = torch.cat([self.extra_source, sources[passes]])[order]

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {
            "extra_feats": self.extra_feats.clone(),
            "extra_deviation": self.extra_deviation.clone(),
            "extra_source": self.extra_source.clone(),
        }
        return tensors, {"seen": self.seen, "accepted": self.accepted}

    def _restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        self.extra_feats = tensors["extra_feats"]
        self.extra_deviation = tensors["extra_deviation"].cpu()
        self.extra_source = tensors["extra_source"].cpu()
        self.seen, self.accepted = values["seen"], values["accepted"]

    def _identity(self) -> dict[str, Any]:
        return {**super()._identity(), "proxies": fingerprint(self.proxies)}


def _build(inputs: Inputs, options: InterNegOptions) -> InterNeg:
    invert = inputs.inversion(**{"seed": options.seed, **options.inversion})
    labels = (inputs.id_feats, inputs.neg_feats)
    return InterNeg(*labels, inputs.proxies, invert, **vars(options))


METHOD = Method(
    "interneg",
    "InterNeg",
    InterNegOptions,
    _build,
    frozenset({"negatives", "proxies", "inversion"}),
    online=True,
)
