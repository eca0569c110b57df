"""One caption for a training batch whose images bring texts of their own."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from mmdet.structures import SampleList

from .captions import chunk_names

if TYPE_CHECKING:
    from .detector import GroundingDINODetector


def merge_texts(
    detector: GroundingDINODetector, samples: SampleList, prefix: bool = True
) -> tuple[tuple[str, ...], bool]:
    """The names of a batch's caption; labels are rewritten to index into them.

    All images share one caption (see ``GroundingDINODetector.transform``): what some image shows
    comes first, then the other texts as long as they fit. A text that one image shows and another
    does not is a negative there, so ``text_names`` must come from one vocabulary.

    Args:
        detector: whose caption it is.
        samples: with ``text_names`` in their metainfo.
        prefix: whether the detector's prefix shall stand before each name.

    Returns:
        Names, empty if the samples bring none (labels are left alone then); and whether the prefix
        fits beside what the batch shows.

    Raises:
        ValueError: if what the batch shows does not fit one caption.
    """
    texts = [tuple(sample.metainfo.get("text_names") or ()) for sample in samples]
    if not any(texts):
        return (), prefix
    if not all(texts):
        raise ValueError(
            "some images of the batch bring text_names and some do not; give them to all or none"
        )
    shown = {
        names[label]: None
        for names, sample in zip(texts, samples, strict=True)
        for label in sample.gt_instances.labels.tolist()
    }
    # Round by round over the images, so that each brings some of its negatives.
    others = {
        name: None for row in zip_longest(*texts) for name in row if name and name not in shown
    }
    wanted, language = [*shown, *others], detector.language_model
    names = chunk_names(language, wanted, detector.prefix if prefix else "")[0]
    if prefix and len(names) < len(shown):
        prefix, names = False, chunk_names(language, wanted)[0]
    if len(names) < len(shown):
        raise ValueError(
            f"the batch shows {len(shown)} labels, of which only {len(names)} fit a caption of "
            f"{language.max_tokens} tokens; lower train_dataloader.batch_size"
        )
    place = {name: i for i, name in enumerate(names)}
    for own, sample in zip(texts, samples, strict=True):
        labels = sample.gt_instances.labels
        sample.gt_instances.labels = labels.new_tensor([place[own[i]] for i in labels.tolist()])
    return tuple(names), prefix
