"""Settings and images that Grounding DINO would fail on deep inside, said in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from types import SimpleNamespace

import mmdet
import torch
from mmdet.models.layers.transformer.dino_layers import DinoTransformerDecoder
from mmdet.structures import OptSampleList
from torch import Tensor

from negas.models.interface import UnfitImageError

from .captions import clean_name


def check_decoder() -> None:
    """MMDetection's decoder encodes boxes as wide as Grounding DINO's weights expect.

    The maintained fork has doubled the width in DINO's decoder, whose forward is Grounding DINO's,
    too, and not in Grounding DINO's own layers.

    Raises:
        RuntimeError: it does not.
    """
    widths: list[int] = []

    def head(encoded: Tensor) -> Tensor:
        widths.append(encoded.shape[-1])
        raise _SeenError

    pretended = SimpleNamespace(layers=[None], ref_point_head=head)
    boxes, ratios = torch.zeros(1, 1, 4), torch.ones(1, 1, 2)
    with suppress(_SeenError):
        DinoTransformerDecoder.forward(
            pretended, torch.zeros(1, 1, 256), None, None, None, boxes, None, None, ratios, None
        )
    if widths != [512]:
        raise RuntimeError(
            f"MMDetection {mmdet.__version__} cannot run Grounding DINO: its decoder encodes boxes "
            f"in {widths[0]} channels, the weights are for 512 (known of onedl-mmdetection 3.5.1); "
            "run `pip uninstall -y onedl-mmdetection`, then `pip install mmdet==3.3.0`"
        )


class _SeenError(Exception):
    """Enough is known."""


def check_caption_length(tokens: int, scored: int) -> None:
    """Every token of a caption has a score.

    Args:
        tokens: that a caption may have.
        scored: tokens that the head scores.

    Raises:
        ValueError: if captions may be longer than what the head scores.
    """
    if tokens > scored:
        raise ValueError(
            f"language_model.max_tokens={tokens} is more than bbox_head.contrastive_cfg."
            f"max_text_len={scored}, the tokens that are scored; raise both, or lower the first"
        )


def check_label_count(count: int, limit: int) -> None:
    """Denoising queries, which every training step makes, have an embedding per class.

    Raises:
        ValueError: for training with more classes than these ``limit`` embeddings.
    """
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


def check_places(feats: Sequence[Tensor], samples: OptSampleList, num_queries: int) -> None:
    """Queries are chosen among the cells of all levels.

    Args:
        feats: the levels.
        samples: of the batch, all padded to one shape.
        num_queries: of the detector.

    Raises:
        UnfitImageError: if an image has fewer of these than there are queries.
    """
    places = sum(level.shape[-2] * level.shape[-1] for level in feats)
    if places < num_queries:
        height, width = samples[0].batch_input_shape
        raise UnfitImageError(
            f"an image that is {width}x{height} pixels for the network has {places} places, fewer "
            f"than the {num_queries} queries; use larger or less elongated images, or "
            "lower num_queries"
        )
