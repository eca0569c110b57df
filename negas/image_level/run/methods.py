"""The methods of an image-level OOD run by name, and what each of them reads.

Shape letters: K ID labels, M negative labels, D channels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from negas.embeddings.templates import resolve_templates
from negas.image_level.adaneg import AdaNeg
from negas.image_level.ants import ANTS, AUTHORS_CODE, AntsOptions
from negas.image_level.interneg import InterNeg, ModalityInversion
from negas.image_level.online import OnlineScorer
from negas.image_level.scorers import CLIP_SCALE, METHODS, ImageScore, get_image_score
from negas.image_level.tanl import TANL
from negas.scores import SCORES

ONLINE = {"adaneg": AdaNeg, "interneg": InterNeg, "ants": ANTS, "tanl": TANL}
ALL = (*METHODS, *ONLINE)
# What the authors' codes put around a label
_TEMPLATES = {"mcm": "mcm", "eoe": "mcm", "neglabel": "neglabel", "csp": "csp"}
_TEMPLATES |= dict.fromkeys(ONLINE, "openood")
# Made by the run, not by the user
_GIVEN = {"self", "id_feats", "neg_feats", "image_proxies", "invert", "noise_feats", "options"}
_GIVEN |= {"class_names", "encode_text", "caption", "similar_labels"}


@dataclass(frozen=True)
class Inputs:
    """What scorers are built from.

    Attributes:
        class_names: the K ID labels.
        id_feats: [K, D] texts in the method's template.
        neg_feats: [M, D] the same, of the bank.
        encode_text: sentences as they are -> [n, D].
        proxies: [K, D] image proxies, for InterNeg.
        invert: from image to text features, for InterNeg.
        noise: [n, D] features of noise images, for TANL.
        caption: rows of the stream -> sentences, for ANTS.
        similar: class names -> lists of labels, for ANTS.
    """

    class_names: Sequence[str]
    id_feats: Tensor
    neg_feats: Tensor
    encode_text: Callable[[list[str]], Tensor] | None = None
    proxies: Tensor | None = None
    invert: Callable[[Tensor], Any] | None = None
    noise: Tensor | None = None
    caption: Callable[[list[Any]], list[str]] | None = None
    similar: Callable[[list[str]], list[list[str]]] | None = None


def is_online(method: str) -> bool:
    """Whether the method learns from the stream it scores."""
    return method in ONLINE


def template_of(method: str, options: Mapping[str, Any], common: str | None) -> str:
    """The template of a method: its option's, the run's, or the method's own."""
    return options.get("template") or common or _TEMPLATES.get(method, "clip")


def with_scale(
    method: str, options: Mapping[str, Any], common: str | float | None, logit_scale: float
) -> dict[str, Any]:
    """A method's options with the run's scale, where the method works on CLIP's logits.

    MCM and EOE stay on plain cosines, and a method's own ``scale`` option wins.

    Args:
        method: its name.
        options: its options.
        common: the run's: a number, ``encoder`` for what the encoder was trained with, or ``None``
            for each method's own (100).
        logit_scale: of the encoder.
    """
    own = METHODS[method].scale if method in METHODS else CLIP_SCALE
    scale = own
    if own == CLIP_SCALE and common is not None:
        scale = logit_scale if common == "encoder" else float(common)
    return {"scale": scale, **options}


def check_method(
    method: str,
    options: Mapping[str, Any],
    common_template: str | None,
    num_ids: int,
    num_negatives: int,
) -> None:
    """Build the method with small stand-ins, so that what cannot work is said before long work.

    Raises:
        ValueError: no such method or option, or not with this value or so few negatives.
    """
    if method not in ONLINE and method not in METHODS and method not in SCORES:
        extra = sorted(set(SCORES) - set(METHODS))
        raise ValueError(
            f"there is no method {method!r}; there are {', '.join(ALL)} (and the scores "
            f"{', '.join(extra)})."
        )
    kinds = {"template": str, "seed": int, "authors_code": bool, "inversion": Mapping}
    for option, kind in kinds.items():
        if option in options and not isinstance(options[option], kind):
            raise ValueError(f"{method}: {option} cannot be {options[option]!r}.")
    resolve_templates(template_of(method, options, common_template))
    if method in ONLINE:
        known = _option_names(method)
        strange = sorted(set(options) - known)
        if strange:
            raise ValueError(
                f"{method} has no option {strange[0]!r}; it has {', '.join(sorted(known))}."
            )
    generator = torch.Generator().manual_seed(0)
    feats = torch.randn(num_ids + num_negatives, 8, generator=generator)
    ids, negatives = feats[:num_ids], feats[num_ids:]
    names = [str(k) for k in range(num_ids)]
    stand_in = Inputs(
        names, ids, negatives, None, ids, lambda x: x, ids[:1], lambda x: x, lambda x: x
    )
    try:
        if method not in ONLINE:
            build_offline(method, options)(ids[:1], ids, negatives)
            return
        scorer = build_online(method, stand_in, options, seed=0)
        if method != "ants":  # its step would ask a captioner
            scorer.update(ids[:1])
    except (TypeError, AttributeError, RuntimeError) as error:  # of Python and torch
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{method} cannot work with the options {dict(options)}; one is of the wrong kind "
            f"({reason})."
        ) from error


def build_offline(method: str, options: Mapping[str, Any]) -> ImageScore:
    """An offline score with its options."""
    return get_image_score(method, **{k: v for k, v in options.items() if k != "template"})


def build_online(
    method: str, inputs: Inputs, options: Mapping[str, Any], seed: int
) -> OnlineScorer:
    """A fresh online scorer; ``seed`` is that of all it draws unless the options name one.

    CHOICE: TANL uses half of a bank of fewer than 2000 labels (its own pool has 69,554 of which it
    uses 1000), and scores them all at once if these are fewer than its step.
    """
    given = {"seed": seed} | {
        k: v for k, v in options.items() if k not in ("template", "inversion")
    }
    labels = {"id_feats": inputs.id_feats, "neg_feats": inputs.neg_feats}
    if method == "adaneg":
        return AdaNeg(**labels, **given)
    if method == "interneg":
        return InterNeg(**labels, image_proxies=inputs.proxies, invert=inputs.invert, **given)
    if method == "tanl":
        num = given.setdefault("num", min(1000, max(1, len(inputs.neg_feats) // 2)))
        given.setdefault("step", min(2, num))
        return TANL(**labels, noise_feats=inputs.noise, **given)
    authors = given.pop("authors_code", False)
    scale = {"scale": given.pop("scale")} if "scale" in given else {}
    base = AUTHORS_CODE.as_dict() if authors else {}
    return ANTS(
        **labels,
        class_names=inputs.class_names,
        encode_text=inputs.encode_text,
        caption=inputs.caption,
        similar_labels=inputs.similar,
        options=AntsOptions(**(base | given)),
        **scale,
    )


def inversion_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """InterNeg's options of the modality inversion.

    Raises:
        ValueError: an unknown one.
    """
    given = options.get("inversion", {})
    known = set(inspect.signature(ModalityInversion.__init__).parameters)
    known -= {"self", "text_model", "tokenizer"}
    strange = sorted(set(given) - known)
    if strange:
        raise ValueError(
            f"interneg's inversion has no option {strange[0]!r}; it has {', '.join(sorted(known))}."
        )
    return dict(given)


def _option_names(method: str) -> set[str]:
    if method == "ants":
        return set(AntsOptions().as_dict()) | {"scale", "template", "authors_code"}
    names = set(inspect.signature(ONLINE[method].__init__).parameters) - _GIVEN | {"template"}
    return names | {"inversion"} if method == "interneg" else names
