"""Settings and images that Grounding DINO would fail on deep inside, said in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmdet.structures import OptSampleList
from torch import Tensor

from .captions import clean_name

if TYPE_CHECKING:
    from .detector import GroundingDINODetector


def check_caption_length(detector: GroundingDINODetector) -> None:
    """Every token of a caption has a score.

    Raises:
        ValueError: if captions may be longer than what the head scores.
    """
    tokens, scored = detector.language_model.max_tokens, detector.bbox_head.max_text_len
    if tokens > scored:
        raise ValueError(
            f"language_model.max_tokens={tokens} is more than bbox_head.contrastive_cfg."
            f"max_text_len={scored}, the tokens that are scored; raise both, or lower the first"
        )


def check_label_count(detector: GroundingDINODetector, count: int) -> None:
    """Denoising queries, which every training step makes, have an embedding per class.

    Raises:
        ValueError: for training with more classes than that.
    """
    limit = detector.dn_query_generator.num_classes
    if count > limit:
        raise ValueError(
            f"{count} classes are more than bbox_head.num_classes={limit}, the label embeddings of "
            "denoising queries; raise it, or train with fewer classes"
        )


def check_negatives(class_names: Sequence[str], neg_labels: Sequence[str]) -> None:
    """Captions leave out what stands in brackets, so other words may be the same text.

    Raises:
        ValueError: for a negative that reads as an ID label: no score could tell them apart.
    """
    known = {clean_name(name).lower(): name for name in class_names}
    for negative in neg_labels:
        if name := known.get(clean_name(negative).lower()):
            raise ValueError(
                f"the negative {negative!r} reads as the ID label {name!r} in Grounding DINO's "
                "caption, which leaves out brackets and full stops; take it out of the bank"
            )


def check_places(
    detector: GroundingDINODetector, feats: Sequence[Tensor], samples: OptSampleList
) -> None:
    """Queries are chosen among the cells of all levels.

    Raises:
        ValueError: if an image has fewer of these than there are queries.
    """
    places = sum(level.shape[-2] * level.shape[-1] for level in feats)
    if places < detector.num_queries:
        height, width = samples[0].batch_input_shape
        raise ValueError(
            f"an image that is {width}x{height} pixels for the network has {places} places, fewer "
            f"than the {detector.num_queries} queries; use larger or less elongated images, or "
            "lower num_queries"
        )


def freeze_children(detector: GroundingDINODetector, names: Sequence[str] | str) -> tuple[str, ...]:
    """Take the gradients from children of the detector.

    Returns:
        Their names.

    Raises:
        ValueError: for one that the detector does not have.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    parts = dict(detector.named_children())
    for name in names:
        if name not in parts:
            known = ", ".join(parts)
            raise ValueError(f"frozen: {name!r} is no part of the detector; it has {known}")
        parts[name].requires_grad_(False)
    return names
