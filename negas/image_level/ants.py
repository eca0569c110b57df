"""ANTS: negatives written by a multimodal language model about the test images (CVPR 2026).

Where the paper and the authors' code differ, both are here.
Shape letters: B images, K ID labels, M negative labels, X rows of a bank, D channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from negas.embeddings import fingerprint
from negas.embeddings.encoders import Features, unit_features
from negas.labels.names import name_key
from negas.options import option
from negas.scores import NegLabel

from .method import CLIP_SCALE, Inputs, Method, OnlineOptions
from .online import OnlineBatch, OnlineScorer

ThresholdRule = Literal["percentile", "lowest"]
_BINS = np.arange(0, 1.1, 0.1)  # the authors' edges, with their rounding (0.30000000000000004)


class NegativeThreshold(NamedTuple):
    """Where negative images begin.

    Attributes:
        gamma: the threshold, in the units of the score.
        upper: scores from here on were left out before.
        mined: [N] bool, which of the scores are negative images.
    """

    gamma: float
    upper: float
    mined: np.ndarray


def negative_threshold(
    scores: np.ndarray, eta: float = 0.5, rule: ThresholdRule = "percentile"
) -> NegativeThreshold:
    """Threshold that adapts to a history of scores.

    The histogram (bins of width 0.1) is cut at its steepest step, the first of equals; of the
    scores below that edge (of all, if there is none) ``eta`` are negative.

    Args:
        scores: [N] NegLabel scores, about [0, 1] (values outside are clipped).
        eta: share of the scores below the edge, in (0, 1).
        rule: ``percentile``: gamma is the ``eta`` percentile (linear interpolation) and scores
            below it are negative (authors' code); ``lowest``: the ``max(1, floor(eta * n))`` lowest
            are, with all that equal the largest of them (paper).

    Raises:
        ValueError: no scores, NaN, or an option out of range.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not scores.size or np.isnan(scores).any():
        raise ValueError(
            f"negative_threshold: scores must be a non-empty [N] without NaN, got shape "
            f"{list(scores.shape)}."
        )
    if not 0 < eta < 1:
        raise ValueError(f"negative_threshold: eta must be in (0, 1), got {eta!r}.")
    if rule not in ("percentile", "lowest"):
        raise ValueError(
            f"negative_threshold: rule must be 'percentile' or 'lowest', got {rule!r}."
        )
    clipped = scores.clip(0, 1)
    steps = np.abs(np.diff(np.histogram(clipped, _BINS)[0]))
    upper = float(_BINS[steps.argmax() + 1])
    low = clipped[clipped < upper]
    low = low if low.size else clipped
    if rule == "percentile":
        gamma = float(np.percentile(low, 100 * eta))
        return NegativeThreshold(gamma, upper, clipped < gamma)
    gamma = float(np.sort(low)[max(1, int(eta * low.size)) - 1])
    return NegativeThreshold(gamma, upper, clipped <= gamma)


def adaptive_weight(far_mean: float, near_mean: float, eps: float = 1e-12) -> float:
    """Weight of the far score: ``(1 - a) / ((1 - a) + (1 - b))``; 0.5 where that is 0 / 0.

    Args:
        far_mean: a, mean score with the captions as negatives, in [0, 1].
        near_mean: b, mean score with the similar labels as negatives, in [0, 1].
        eps: smallest denominator.
    """
    total = (1 - far_mean) + (1 - near_mean)
    return 0.5 if total < eps else (1 - far_mean) / total


def clean_sentences(sentences: Iterable[str], drop: Iterable[str] = ()) -> list[str]:
    """Captions and labels of a model as it may write them: blanks, full stops, repeats.

    Args:
        sentences: untrusted texts.
        drop: texts that must not come out, by :func:`~negas.labels.names.name_key`.

    Returns:
        Distinct non-empty texts, in order, without a full stop at the end.
    """
    known = {name_key(_bare(text)) for text in drop}
    kept = []
    for sentence in sentences:
        text = _bare(sentence)
        if text and name_key(text) not in known:
            known.add(name_key(text))
            kept.append(text)
    return kept


def _bare(text: str) -> str:
    return " ".join(str(text).split()).rstrip(". ")


Mode = Literal["adaptive", "far_only", "near_only"]
Images = Literal["negatives", "all"]


# The values of the released code, where they are not those of the paper
AUTHORS_CODE: dict[str, Any] = dict(
    max_updates=10,
    similar_from="all",
    similar_limit=40,
    similar_template="The nice {}.",
    weight_from="all",
)


@dataclass(frozen=True)
class AntsOptions(OnlineOptions):
    """Options of ANTS; where paper and released code differ, the paper's are the defaults."""

    authors_code: bool = option(False, help="the code's values for what is not given")
    mode: Mode = option(
        "adaptive",
        help="both kinds of negatives, only captions (what the released far scripts run), or only "
        "similar labels (near scripts)",
    )
    eta: float = option(0.5, help="share of the low scores that are negative images", gt=0, lt=1)
    threshold_rule: ThresholdRule = option("percentile", help="see negative_threshold")
    initial_threshold: float = option(
        0.8, help="of negative images, until the first update", ge=0, le=1
    )
    min_candidates: int = option(
        200, help="captions are made when more negative images than this wait", ge=0
    )
    max_updates: int = option(20, help="at most this many times", ge=0)
    max_captions: int = option(10_000, help="that are kept; the oldest go first", ge=1)
    similar_from: Images = option(
        "negatives",
        help="which images' predictions choose the ID classes that get similar labels: the "
        "negative images' (paper) or all (code)",
    )
    similar_share: float = option(
        0.08, help="share of the ID classes that do; at least one class", gt=0, le=1
    )
    similar_limit: int | None = option(None, help="their number, instead of a share", ge=1)
    similar_per_class: int = option(5, help="most similar labels of a class", ge=1)
    similar_start: int = option(10, help="the first batch that chooses classes, from 1", ge=1)
    similar_interval: int = option(40, help="and every so many batches from then on", ge=1)
    similar_template: str = option(
        "the nice {}", help="around similar labels; captions are encoded as they are"
    )
    weight_from: Images = option(
        "negatives",
        help="images whose mean scores set the weight: all negative images so far, with the "
        "present negatives (paper), or all images, each with the negatives of its time, in groups "
        "of K labels and ten times the similar labels (code)",
    )
    group_length: int = option(100, help="labels per group of NegLabel's score", ge=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.similar_template.count("{}") != 1:
            raise ValueError(
                f"similar_template must be one {{}} in a text, got {self.similar_template!r}"
            )

    @classmethod
    def from_settings(cls, settings: Any, where: str) -> AntsOptions:
        """Options; with ``authors_code`` what is not given has the released code's values."""
        authors = isinstance(settings, Mapping) and settings.get("authors_code") is True
        return super().from_settings(AUTHORS_CODE | dict(settings) if authors else settings, where)

    def similar_count(self, classes: int) -> int:
        """How many of the ID classes get similar labels."""
        if self.similar_limit is not None:
            return self.similar_limit
        return max(1, round(self.similar_share * classes))


Captioner = Callable[[list[Any]], list[str]]
SimilarLabels = Callable[[list[str]], list[list[str]]]
TextEncoder = Callable[[list[str]], Features]


class ANTS(OnlineScorer):
    """``w * S_far + (1 - w) * S_near``: NegLabel's score against two banks made on the way.

    Images with a low NegLabel score (:func:`~negas.image_level.ants.negative_threshold` of
    all scores so far) are negative images. Far bank: their captions. Near bank: labels that look
    like the ID classes most often predicted. Until a bank exists, NegLabel's score against
    ``neg_feats`` stands in. w is :func:`~negas.image_level.ants.adaptive_weight`.
    A batch is taken in before it is scored, so batch size and order matter.

    Args:
        id_feats: [K, D].
        neg_feats: [M, D].
        class_names: the K ID labels; texts equal to one never become negatives.
        encode_text: ``texts -> [n, D]``; must cut what is too long for it.
        caption: ``images -> texts``, one each; not needed in mode ``near_only``.
        similar_labels: ``class names -> lists of labels`` that look alike, one list each; not
            needed in mode ``far_only``.
        scale: multiple of the cosine.
        **options: see :class:`AntsOptions`; ``seed`` is that of the groups' permutation.
    """

    name = "ants"
    Options = AntsOptions
    options: AntsOptions

    def __init__(
        self,
        id_feats: Features,
        neg_feats: Features,
        class_names: Sequence[str],
        encode_text: TextEncoder,
        caption: Captioner | None = None,
        similar_labels: SimilarLabels | None = None,
        scale: float = CLIP_SCALE,
        **options: Any,
    ) -> None:
        super().__init__(id_feats, neg_feats, scale, **options)
        self.class_names = list(class_names)
        if len(self.class_names) != len(self.id_feats):
            raise ValueError(
                f"ants: {len(self.class_names)} class names came with {len(self.id_feats)} rows of "
                f"id_feats; give one name per row."
            )
        self._far, self._near = self.options.mode != "near_only", self.options.mode != "far_only"
        if self._far and caption is None:
            raise ValueError(
                "ants: this mode needs caption, a function from images to sentences; give one or "
                "choose mode='near_only'."
            )
        if self._near and similar_labels is None:
            raise ValueError(
                "ants: this mode needs similar_labels, a function from class names to labels; give "
                "one or choose mode='far_only'."
            )
        self._encode, self._caption, self._similar = encode_text, caption, similar_labels
        seed = self.options.seed
        self._score = NegLabel(group_length=self.options.group_length, generator=seed)
        self._balanced = NegLabel(group_length=len(self.id_feats), generator=seed)
        self.reset()

    def reset(self) -> None:  # noqa: D102
        empty = self.id_feats.new_zeros(0, self.id_feats.shape[1])
        self.threshold = self.options.initial_threshold
        self.batches = self.updates = 0
        self._history: list[float] = []
        self._predicted: Counter[int] = Counter()  # of the images that `similar_from` names
        self._waiting: list[Any] = []
        self.captions: list[str] = []  # newest first, as the rows of far_feats
        self.far_feats = empty
        self.similar: dict[int, list[str]] = {}  # of each chosen ID class
        self.near_feats = empty
        self._negatives, self._negatives_base = empty, empty[:, 0].double()
        self._sums = torch.zeros(2, dtype=torch.float64)  # of S_far and S_near
        self._count = 0
        self._bank_changed = False

    def _update(self, images: Tensor, sources: Sequence[Any] | None) -> OnlineBatch:
        if sources is None and self._far:
            raise ValueError("ants: update needs images, what the captioner reads, one per row.")
        id_logits = self.scale * images @ self.id_feats.T
        base = self._score(id_logits, self.scale * images @ self.neg_feats.T)
        predictions = id_logits.argmax(dim=1)
        negative = base < self.threshold
        self.batches += 1
        self._remember(images, sources, base, predictions, negative)
        captioned = self._update_far() if self._far else 0
        changed = self._update_near() if self._near else False
        far, near = self._bank_scores(images, id_logits, base)
        weight = self._weight(images, id_logits, base, far, near, negative)
        log = {
            "threshold": self.threshold,
            "negative_images": int(negative.sum()),
            "captioned": captioned,
            "captions": len(self.far_feats),
            "similar_changed": changed,
            "similar_labels": len(self.near_feats),
            "weight": weight,
        }
        return OnlineBatch(weight * far + (1 - weight) * near, base, predictions, log)

    def _remember(
        self,
        images: Tensor,
        sources: Sequence[Any] | None,
        base: Tensor,
        predictions: Tensor,
        negative: Tensor,
    ) -> None:
        self._history += base.tolist()
        from_all = self.options.similar_from == "all"
        self._predicted.update(predictions[slice(None) if from_all else negative].tolist())
        chosen = negative.nonzero()[:, 0].tolist()
        if self._far and self.updates < self.options.max_updates:
            self._waiting += [sources[i] for i in chosen]
        if self.options.weight_from == "negatives":
            self._negatives = torch.cat([self._negatives, images[negative]])
            self._negatives_base = torch.cat([self._negatives_base, base[negative]])

    def _update_far(self) -> int:
        """Caption all waiting images once they are enough; say how many."""
        count = len(self._waiting)
        if count <= self.options.min_candidates or self.updates >= self.options.max_updates:
            return 0
        texts = list(self._caption(self._waiting))
        if len(texts) != count:
            raise ValueError(f"ants: caption returned {len(texts)} sentences for {count} images.")
        texts = clean_sentences(texts, drop=self.class_names)
        feats = self._encoded("captions", texts) if texts else self.far_feats[:0]
        limit = self.options.max_captions
        self.captions = (texts + self.captions)[:limit]
        self.far_feats = torch.cat([feats, self.far_feats])[:limit]
        history = torch.tensor(self._history, dtype=torch.float64).numpy()
        rule = self.options.threshold_rule
        self.threshold = negative_threshold(history, self.options.eta, rule).gamma
        self._waiting = []
        self.updates += 1
        self._bank_changed = True
        return count

    def _update_near(self) -> bool:
        """Choose the ID classes anew where the schedule says so; say if the bank changed."""
        late = self.batches - self.options.similar_start
        if late < 0 or late % self.options.similar_interval:
            return False
        limit = self.options.similar_count(len(self.class_names))
        wanted = [label for label, _ in self._predicted.most_common(limit)]
        new = [label for label in wanted if label not in self.similar]
        if not new and len(wanted) == len(self.similar):
            return False
        answers = list(self._similar([self.class_names[label] for label in new])) if new else []
        if len(answers) != len(new):
            raise ValueError(
                f"ants: similar_labels returned {len(answers)} lists for {len(new)} class names."
            )
        kept = {label: texts for label, texts in self.similar.items() if label in wanted}
        most = self.options.similar_per_class
        self.similar = kept | {
            label: clean_sentences(answer, drop=self.class_names)[:most]
            for label, answer in zip(new, answers, strict=True)
        }
        labels = self.similar_words
        prompts = [self.options.similar_template.replace("{}", label) for label in labels]
        self.near_feats = self._encoded("similar labels", prompts) if labels else self.id_feats[:0]
        self._bank_changed = True
        return True

    @property
    def similar_words(self) -> list[str]:
        """The similar labels in the order of ``near_feats``."""
        return clean_sentences(text for texts in self.similar.values() for text in texts)

    def _encoded(self, what: str, texts: list[str]) -> Tensor:
        feats = unit_features(
            f"ants: features of {what}", self._encode(texts), self.id_feats.shape[1]
        )
        if len(feats) != len(texts):
            raise ValueError(
                f"ants: encode_text returned {len(feats)} rows for {len(texts)} texts."
            )
        return feats.to(self.id_feats.device)

    def _bank_scores(
        self, images: Tensor, id_logits: Tensor, base: Tensor, balanced: bool = False
    ) -> tuple[Tensor, Tensor]:
        """S_far and S_near [B]; balanced: both with groups of K labels (authors' code)."""
        score = self._balanced if balanced else self._score
        banks = (self.far_feats, self.near_feats.repeat(10, 1) if balanced else self.near_feats)
        far, near = (
            score(id_logits, self.scale * images @ bank.T) if len(bank) else base for bank in banks
        )
        return far, near

    def _weight(
        self,
        images: Tensor,
        id_logits: Tensor,
        base: Tensor,
        far: Tensor,
        near: Tensor,
        negative: Tensor,
    ) -> float:
        """Take the batch into the mean scores and weigh the far one."""
        if self.options.mode != "adaptive":
            return float(self._far)
        if self.options.weight_from == "all":
            pair = self._bank_scores(images, id_logits, base, balanced=True)
            self._add(*pair)
        elif self._bank_changed:  # the means are over all negative images with the present banks
            self._sums.zero_()
            self._count = 0
            for part, part_base in zip(
                self._negatives.split(1024), self._negatives_base.split(1024), strict=True
            ):
                logits = self.scale * part @ self.id_feats.T
                self._add(*self._bank_scores(part, logits, part_base))
        else:
            self._add(far[negative], near[negative])
        self._bank_changed = False
        if self._count == 0:
            return 0.5
        return adaptive_weight(*(self._sums / self._count).tolist())

    def _add(self, far: Tensor, near: Tensor) -> None:
        self._sums += torch.stack([far.sum(), near.sum()]).cpu()
        self._count += len(far)

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        if not all(isinstance(image, str | int) for image in self._waiting):
            raise ValueError(
                "ants: the state holds loaded images that wait for a caption and cannot be saved; "
                "hand in paths or indices as images, and load them in the captioner."
            )
        tensors = {
            "history": torch.tensor(self._history, dtype=torch.float64),
            "far_feats": self.far_feats.clone(),
            "near_feats": self.near_feats.clone(),
            "negatives": self._negatives.clone(),
            "negatives_base": self._negatives_base.clone(),
            "sums": self._sums.clone(),
        }
        names = ("threshold", "batches", "updates", "captions", "_waiting", "_count")
        values = {name: getattr(self, name) for name in names}
        values["predicted"] = list(self._predicted.items())  # the order breaks ties
        values["similar"] = list(self.similar.items())
        return tensors, values

    def _restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        self._history = tensors["history"].tolist()
        self.far_feats, self.near_feats = tensors["far_feats"], tensors["near_feats"]
        self._negatives, self._negatives_base = tensors["negatives"], tensors["negatives_base"]
        self._sums = tensors["sums"].cpu()
        values = dict(values)
        self._predicted = Counter(dict(values.pop("predicted")))
        self.similar = {label: texts for label, texts in values.pop("similar")}
        for name, value in values.items():
            setattr(self, name, value)

    def _identity(self) -> dict[str, Any]:
        return {**super()._identity(), "class_names": fingerprint(*self.class_names)}


def _build(inputs: Inputs, options: AntsOptions) -> ANTS:
    return ANTS(
        inputs.id_feats,
        inputs.neg_feats,
        inputs.class_names,
        inputs.encode_text,
        inputs.caption,
        inputs.similar,
        **vars(options),
    )


METHOD = Method(
    "ants", "ANTS", AntsOptions, _build, frozenset({"negatives", "captions"}), online=True
)
