"""Texts that images bring: one caption for a training batch, and a word on what is not used."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from mmdet.structures import DetDataSample, SampleList
from mmengine.logging import print_log

from .captions import SEPARATOR, chunk_names, clean_name
from .language import BertTextModel


def merge_texts(
    language: BertTextModel, samples: SampleList, prefix: str = ""
) -> tuple[tuple[str, ...], str]:
    """The names of a batch's caption; labels are rewritten to index into them.

    All images share one caption (see ``GroundingDINODetector.transform``): what some image shows
    comes first, then the other texts as long as they fit. A text that one image shows and another
    does not is a negative there, so ``text_names`` must come from one vocabulary.

    Args:
        language: whose caption it is.
        samples: with ``text_names`` in their metainfo.
        prefix: words that shall stand before each name.

    Returns:
        Names, empty if the samples bring none (labels are left alone then); and the prefix, empty
        if it does not fit beside what the batch shows.

    Raises:
        ValueError: if what the batch shows does not fit one caption, or labels have no name.
    """
    texts = [tuple(sample.metainfo.get("text_names") or ()) for sample in samples]
    if not any(texts):
        return (), prefix
    if not all(texts):
        raise ValueError(
            "some images of the batch bring text_names and some do not; give them to all or none"
        )
    for names, sample in zip(texts, samples, strict=True):
        image, labels = sample.get("img_id", "?"), sample.gt_instances.labels.tolist()
        if not all(names):
            raise ValueError(f"text_names of image {image} has an empty name; leave it out")
        if max(labels, default=0) >= len(names):
            raise ValueError(
                f"image {image} has an object of label {max(labels)}, and text_names only "
                f"{len(names)} names; labels count from 0 in text_names"
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
    wanted = [*shown, *others]
    names = chunk_names(language, wanted, prefix)[0]
    if prefix and len(names) < len(shown):
        prefix, names = "", chunk_names(language, wanted)[0]
    if len(names) < len(shown):
        raise ValueError(
            f"the batch shows {len(shown)} labels, of which only {len(names)} fit a caption of "
            f"{language.max_tokens} tokens; lower train_dataloader.batch_size"
        )
    place = {name: i for i, name in enumerate(names)}
    for names_of_image, sample in zip(texts, samples, strict=True):
        labels = sample.gt_instances.labels
        places = [place[names_of_image[label]] for label in labels.tolist()]
        sample.gt_instances.labels = labels.new_tensor(places)
    return tuple(names), prefix


def warn_of_unused_texts(
    samples: SampleList,
    class_names: Sequence[str],
    said: set[str],
    training: bool = False,
    text_names: bool = False,
) -> None:
    """Say once of each key that MMDetection's Grounding DINO would follow it and ours does not.

    ``GroundingDINO.predict`` and ``loss`` take an image's labels from its ``text``,
    ``custom_entities``, ``tokens_positive`` and ``caption_prompt``. What asks for the labels that
    are used anyway is passed over.

    Args:
        samples: of a batch.
        class_names: of the detector.
        said: keys that were warned of, kept from call to call.
        training: whether it is a training batch.
        text_names: the caption was made of the samples' ``text_names``, see :func:`merge_texts`.
    """
    source = "text_names" if text_names else "model.class_names"
    for sample in samples:
        names = sample.get("text_names") if text_names else class_names
        for key, advice in _unused(sample, names, training):
            if key not in said:
                said.add(key)
                print_log(
                    f"{key}={reprlib.repr(sample.get(key))} of image {sample.get('img_id', '?')} "
                    f"is not used (said once): labels are those of {source}="
                    f"{reprlib.repr(tuple(names))}; {advice.format(source)}",
                    "current",
                    logging.WARNING,
                )


def warn_of_unused_chunks(test_cfg: dict | None, class_names: Sequence[str]) -> None:
    """Say that ``test_cfg.chunked_size`` is not used, where MMDetection would make several passes.

    A warning, not an error: its LVIS and DOD configs set it, and run here with names that fit.
    """
    size, count = (test_cfg or {}).get("chunked_size", -1), len(class_names)
    if 0 < size < count:
        print_log(
            f"model.test_cfg.chunked_size={size} is not used: all {count} class_names stand in one "
            "caption; leave it out, and give fewer names if they do not fit",
            "current",
            logging.WARNING,
        )


def _unused(
    sample: DetDataSample, names: Sequence[str], training: bool
) -> Iterator[tuple[str, str]]:
    """Keys of a sample that ask for other labels than ``names``, and what to do instead."""
    given = sample.get("text_names")
    if given and not _same(given, names):
        yield "text_names", "give these names as {}"
    text, positive = sample.get("text"), sample.get("tokens_positive")
    if positive and positive != -1:
        yield "tokens_positive", "give the phrases as {}"
    elif text is not None and not _same(_asked(text, positive == -1), names):
        yield "text", "give these names as {}"
    # Neither MMDetection's training nor its test of plain sentences takes prompts.
    if sample.get("caption_prompt") and sample.get("custom_entities") and not training:
        yield "caption_prompt", "words in front of every name are given as model.prefix"


def _asked(text: str | Sequence[str] | dict, whole: bool) -> list[str]:
    """The labels that MMDetection makes of ``text``; ``whole``: the sentence is one label.

    Of a sentence without ``custom_entities`` it takes the noun phrases; these are our names only if
    the sentence is a list of them.
    """
    if isinstance(text, str):
        return [text] if whole else text.strip(SEPARATOR).split(SEPARATOR)
    return list(text.values() if isinstance(text, dict) else text)


def _same(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two lists make the same caption."""
    return len(first) == len(second) and all(
        one == two or clean_name(one).lower() == clean_name(two).lower()
        for one, two in zip(first, second, strict=True)
    )
