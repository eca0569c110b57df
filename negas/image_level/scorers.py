"""Offline OOD scores of whole images: any score of `negas.scores` on ``scale * cosine``.

Larger = more in-distribution. Shape letters: N images, K ID labels, M negative labels, D channels.
CSP (Chen et al., NeurIPS 2024) is NegLabel's score with other texts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, make_dataclass, replace
from functools import cache
from typing import Any, get_type_hints

import torch
from torch import Tensor

from negas.embeddings.encoders import Features, unit_features
from negas.options import option
from negas.scores import (
    SCORES,
    Energy,
    EnvisionedOutlierExposure,
    MaximumConceptMatching,
    MaxLogit,
    MaxSoftmaxProbability,
    NegLabel,
    Score,
)
from negas.scores.stable import top_and_rest

from .method import CLIP_SCALE, Inputs, Method, MethodOptions

# Logits and images of one chunk: some MB on a CPU (its memory is then taken from the heap again and
# again; larger pieces come from the system each time, which doubled MCM's time), and fill a GPU.
_CHUNK_LOGITS = {"cpu": 2**22, "cuda": 2**26}
_CHUNK_IMAGES = {"cpu": 512}


@dataclass(frozen=True)
class ImageScore:
    """A callable ``(image_feats [N, D], id_feats [K, D], neg_feats [M, D] | None) -> [N]``.

    Works in chunks of images, so that memory does not grow with N times M; the result does not
    depend on the chunks.

    Args:
        score: of logits; its ``temperature`` is in units of ``scale * cosine``.
        scale: multiple of the cosine, 100 for CLIP's logits (``exp(logit_scale)``).
        chunk: images at a time; ``None`` chooses by the number of labels.
    """

    score: Score
    scale: float = CLIP_SCALE
    chunk: int | None = None

    def __call__(
        self,
        image_feats: Features,
        id_feats: Features,
        neg_feats: Features | None = None,
    ) -> Tensor:
        """Score every image, in float64 on the device of the image features.

        Cosines and sums over thousands of negatives are taken in float32, where the features have
        their precision; what distinguishes scores near 0 and 1 is float64.

        Raises:
            ValueError: empty, NaN or mismatched features, or no negatives where they are needed.
        """
        ids = unit_features("id_feats", id_feats)
        images = unit_features("image_feats", image_feats, ids.shape[1])
        ids = ids.to(images.device)
        negatives = None
        if neg_feats is not None and self.score.needs_negatives:
            negatives = unit_features("neg_feats", neg_feats, ids.shape[1]).to(images.device)
        elif self.score.needs_negatives:
            self.score(torch.zeros(1, len(ids)))  # raises the sentence about missing negatives
        score_chunk = self._chunk_score(ids, negatives)
        rows = self.chunk or _rows(images, len(ids) + (0 if negatives is None else len(negatives)))
        scores = torch.empty(len(images), dtype=torch.float64, device=images.device)
        for start in range(0, len(images), rows):
            scores[start : start + rows] = score_chunk(images[start : start + rows])
        return scores

    def _chunk_score(self, ids: Tensor, negatives: Tensor | None) -> Callable[[Tensor], Tensor]:
        """``unit images [n, D] -> [n]``: the score, in float32 where that loses nothing.

        NegLabel needs of the ID labels and of each group of negatives only the log-sum-exp, the
        softmax scores the largest logit and the log-sum-exp of the rest. Float32 finds them as well
        as float64 and several times as fast; log-odds of them do not saturate. NegLabel's texts
        are reordered once instead of the logits of every chunk.
        """
        score, scale = self.score, self.scale
        sharpness = scale / score.temperature
        if isinstance(score, NegLabel):
            order = score.group_order(len(negatives)).to(negatives.device)
            texts = negatives[order.flatten()]
            one_per_group = replace(
                score, groups=len(order), group_length=None, permutation=None, shuffle=False
            )

            def neglabel(images: Tensor) -> Tensor:
                logits = (sharpness * images @ texts.T).unflatten(1, order.shape)
                sums = logits.logsumexp(dim=-1) * score.temperature
                positive = (sharpness * images @ ids.T).logsumexp(dim=1, keepdim=True)
                return one_per_group(positive * score.temperature, sums)

            return neglabel
        if isinstance(score, EnvisionedOutlierExposure) and score.rule == "difference":

            def eoe(images: Tensor) -> Tensor:
                sides = (top_and_rest(sharpness * images @ texts.T) for texts in (ids, negatives))
                return score.compute_from_parts(*(part.double() for side in sides for part in side))

            return eoe
        if isinstance(score, MaxSoftmaxProbability | MaximumConceptMatching):
            log_odds = replace(score, log_odds=True)

            def softmax_max(images: Tensor) -> Tensor:
                odds = log_odds.compute(sharpness * images @ ids.T, None).double()
                return odds if score.log_odds else odds.sigmoid()

            return softmax_max
        if isinstance(score, Energy | MaxLogit):
            return lambda images: score.compute(sharpness * images @ ids.T, None).double()
        if negatives is None:
            return lambda images: score(scale * images @ ids.T)
        return lambda images: score(scale * images @ ids.T, scale * images @ negatives.T)


@dataclass(frozen=True)
class OfflineOptions(MethodOptions):
    """Options that all methods have which score each image by itself."""

    chunk: int | None = option(None, help="images at a time; changes time and memory only", ge=1)


@cache
def of_score(score: str, name: str = "", title: str = "", **defaults: Any) -> Method:
    """A score of ``negas.scores`` as a method; its fields are options of the method.

    Args:
        score: a key of ``negas.scores.SCORES``.
        name: of the method, where it is not the score's.
        title: of the method, the same.
        **defaults: of options that differ from :class:`OfflineOptions`, such as ``template``.

    Raises:
        KeyError: no such score.
    """
    kind = SCORES[score]
    types, names = get_type_hints(kind), [each.name for each in fields(kind)]
    common = get_type_hints(OfflineOptions)
    base = {each.name: (common[each.name], each.metadata) for each in fields(OfflineOptions)}
    described = [
        (each.name, types[each.name], option(each.default, help=f"of {kind.__name__}"))
        for each in fields(kind)
    ]
    described += [
        (key, base[key][0], option(value, **base[key][1])) for key, value in defaults.items()
    ]
    options = make_dataclass(
        f"{kind.__name__}Options", described, bases=(OfflineOptions,), frozen=True
    )

    def build(inputs: Inputs | None, options: OfflineOptions) -> ImageScore:
        values = {key: getattr(options, key) for key in names}
        return ImageScore(kind(**values), options.scale, options.chunk)

    needs = frozenset({"negatives"} if kind.needs_negatives else ())
    return Method(name or score, title or kind.title, options, build, needs)


# MCM's and EOE's own code works on plain cosines with temperature 1, the others on CLIP's logits.
OFFLINE = (
    of_score("mcm", scale=1.0, template="mcm"),
    of_score("msp"),
    of_score("max_logit"),
    of_score("energy"),
    of_score("neglabel", template="neglabel"),
    of_score("neglabel", "csp", "CSP", template="csp"),
    of_score("eoe", scale=1.0, template="mcm"),
)


def get_image_score(
    name: str, scale: float | None = None, chunk: int | None = None, **options: Any
) -> ImageScore:
    """Build an image score by the name of a method or of any score.

    Args:
        name: of :data:`OFFLINE` (authors' settings) or of ``negas.scores.SCORES``.
        scale: instead of the method's own.
        chunk: images at a time.
        **options: of the score, say ``groups=100`` for NegLabel with 10,000 negatives.

    Raises:
        KeyError: no such score.
        ValueError: no such option, or not with that value.
    """
    method = next((one for one in OFFLINE if one.name == name), None) or of_score(name)
    given = options | {"chunk": chunk} | ({} if scale is None else {"scale": scale})
    return method.build(None, method.options.from_settings(given, name))


def _rows(images: Tensor, labels: int) -> int:
    kind = images.device.type
    rows = max(16, _CHUNK_LOGITS.get(kind, _CHUNK_LOGITS["cuda"]) // labels)
    return min(rows, _CHUNK_IMAGES.get(kind, rows))
