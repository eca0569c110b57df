"""What an image-level method declares of itself, in its own file, and what a run hands to it.

A method is its file and its place in the list of :mod:`negas.image_level.registry`; tables,
options, checks and preparation follow from its :class:`Method`.
Shape letters: K ID labels, M negative labels, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from negas.embeddings.templates import resolve_templates
from negas.options import Options, option

CLIP_SCALE = 100.0

#: what a run can prepare for a method, beside the ID labels
NEEDS = {
    "negatives": "the bank's texts",
    "proxies": "an image proxy per ID class, of ID training images",
    "inversion": "modality inversion through the encoder's text side",
    "noise": "features of noise images",
    "captions": "a captioner, which also names look-alikes of classes",
}


@dataclass(frozen=True)
class MethodOptions(Options):
    """Options that all methods have; the defaults are the method's own."""

    scale: float = option(CLIP_SCALE, help="multiple of the cosine", gt=0)
    template: str = option("clip", help="around a label: a name, or a sentence with {}")

    def __post_init__(self) -> None:
        super().__post_init__()
        resolve_templates(self.template)


@dataclass(frozen=True)
class OnlineOptions(MethodOptions):
    """Options that all methods that learn from the stream have."""

    template: str = option("openood", help="around a label: a name, or a sentence with {}")
    seed: int = option(0, help="of all that is drawn", ge=0)


@dataclass(frozen=True)
class Inputs:
    """What a method is built from; what it does not need is ``None``.

    Attributes:
        class_names: the K ID labels.
        id_feats: [K, D] texts in the method's template.
        neg_feats: [M, D] the same, of the bank.
        encode_text: sentences as they are -> [n, D].
        proxies: [K, D] image proxies.
        inversion: options -> a callable from image to text features.
        noise: [n, D] features of noise images.
        caption: rows of the stream -> sentences.
        similar: class names -> lists of labels that look alike.
    """

    class_names: Sequence[str]
    id_feats: Tensor
    neg_feats: Tensor
    encode_text: Callable[[list[str]], Tensor] | None = None
    proxies: Tensor | None = None
    inversion: Callable[..., Callable[[Tensor], Any]] | None = None
    noise: Tensor | None = None
    caption: Callable[[list[Any]], list[str]] | None = None
    similar: Callable[[list[str]], list[list[str]]] | None = None


@dataclass(frozen=True)
class Method:
    """One image-level method.

    Attributes:
        name: of the command line and of presets.
        title: in tables.
        options: its options and their defaults, the template and the scale among them.
        build: the scorer: an :class:`~negas.image_level.online.OnlineScorer` of an online method,
            otherwise a callable ``(image_feats, id_feats, neg_feats) -> scores``.
        needs: some of :data:`NEEDS`.
        online: whether it learns from the stream that it scores.
    """

    name: str
    title: str
    options: type[MethodOptions]
    build: Callable[[Inputs, MethodOptions], Any]
    needs: frozenset[str] = frozenset()
    online: bool = False

    def __post_init__(self) -> None:
        strange = sorted(set(self.needs) - set(NEEDS))
        if strange:
            raise ValueError(f"{self.name} needs {strange[0]!r}; a run has {', '.join(NEEDS)}.")

    @property
    def turned(self) -> bool:
        """Whether the rotated-bank control says something of it.

        Not where the negatives are captions: turning the bank would only change what is captioned.
        """
        return "negatives" in self.needs and "captions" not in self.needs

    def settle(
        self,
        given: Mapping[str, Any],
        template: str | None = None,
        scale: str | float | None = None,
        logit_scale: float = CLIP_SCALE,
        seed: int = 0,
    ) -> MethodOptions:
        """Its options in a run; what is given for the method itself wins over the run's.

        Args:
            given: options of the method.
            template: one for all methods, or ``None`` for each method's own.
            scale: one for all that work on CLIP's logits (not for those on plain cosines): a
                number, ``encoder``, or ``None`` for each method's own.
            logit_scale: what the encoder was trained with.
            seed: of the run.

        Raises:
            ValueError: an unknown option, or one that cannot have this value.
        """
        settings: dict[str, Any] = {} if template is None else {"template": template}
        defaults = {each.name: each.default for each in fields(self.options)}
        if scale is not None and defaults["scale"] == CLIP_SCALE:
            settings["scale"] = logit_scale if scale == "encoder" else float(scale)
        if "seed" in defaults:
            settings["seed"] = seed
        return self.options.from_settings({**settings, **given}, self.name)

    def check(
        self,
        options: MethodOptions,
        num_ids: int,
        num_negatives: int,
        inversion: Callable[..., Any] = lambda **options: lambda feats: feats,
    ) -> None:
        """Build it with small stand-ins, so that what cannot work is said before long work.

        Raises:
            ValueError: it cannot work with these options or so few negatives.
        """
        generator = torch.Generator().manual_seed(0)
        feats = torch.randn(num_ids + num_negatives, 8, generator=generator)
        ids, negatives = feats[:num_ids], feats[num_ids:]
        names = [str(k) for k in range(num_ids)]
        stand_in = Inputs(
            names, ids, negatives, lambda x: x, ids, inversion, ids[:1], lambda x: x, lambda x: x
        )
        scorer = self.build(stand_in, options)
        if not self.online:
            scorer(ids[:1], ids, negatives)
