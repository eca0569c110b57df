"""Image-level OOD runs: check, encode, score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from negas.embeddings.encoders import build_encoder
from negas.image_level.image_sets import ImageSet
from negas.labels.bank import NegativeLabelBank

from .captioner import RunCaptions, check_captioner
from .data import Features, SetFeatures, check_labels, encode, load_labels, load_set, training_items
from .methods import check_method, inversion_options
from .options import ImageOodOptions
from .score import ImageOodRun, method_template, score_all, score_boxes


@dataclass(frozen=True)
class Prepared:
    """What a run works on, before anything is encoded.

    Attributes:
        class_names: the K ID labels.
        bank: negative labels.
        train: ID training images, or ``None``.
        sets: the ID test set, then the OOD sets.
    """

    class_names: tuple[str, ...]
    bank: NegativeLabelBank
    train: ImageSet | None
    sets: list[ImageSet]

    def lines(self) -> list[str]:
        """Counts, for people."""
        lines = [f"{len(self.class_names)} ID labels, {len(self.bank)} negative labels"]
        for one in (*self.sets, *([self.train] if self.train else [])):
            what = "images" if one.items[0].box is None else "crops"
            lines.append(f"{one.name}: {len(one.items)} {what}")
        return lines


def prepare(options: ImageOodOptions) -> Prepared:
    """Read labels and sets, and check all that can be checked without a model.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: anything else that cannot work.
    """
    names, bank = load_labels(options)
    _check_methods(options, len(names), len(bank))
    train = None
    if "interneg" in options.methods:
        train = load_set(options.train, options, names, True)
        for seed in options.seeds:
            training_items(train, names, options.images_per_class, seed)
    sets = [load_set(options.id, options, names, True)]
    check_labels(sets[0], names)
    sets += [load_set(spec, options, names, False) for spec in options.ood]
    return Prepared(names, bank, train, sets)


def run_image_ood(
    options: ImageOodOptions,
    ready: Prepared | None = None,
    notify: Callable[[str], None] = tqdm.write,
    save: Callable[[ImageOodRun], None] | None = None,
) -> ImageOodRun:
    """Check everything, encode everything, score everything.

    Args:
        options: of the run.
        ready: of :func:`prepare`, which is called where it is ``None``.
        notify: told what is going on, a line at a time.
        save: called after each method but the last with what there is so far, such as
            :func:`~negas.reports.image_level.write_partial`.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: anything else that cannot work; nothing long was done before it is said.
    """
    ready = ready or prepare(options)
    names, bank, train, sets = ready.class_names, ready.bank, ready.train, ready.sets
    for line in ready.lines():
        notify(line)
    encoder = build_encoder(
        options.encoder, options.device, options.dtype, options.encoder_batch, options.workers
    )
    features = Features(encoder, names, bank.neg_labels, train, options)
    if "interneg" in options.methods:
        # an encoder or an option that it cannot work with: say so now
        features.invert(0, **inversion_options(options.method_options.get("interneg", {})))
    captions = None
    if options.captioner and "ants" in options.methods:
        captions = RunCaptions(options.captioner, features, options.cache, options.device)
    templates = {m: method_template(m, options) for m in options.methods}
    width = features.labels(next(iter(templates.values())))[0].shape[1]
    groups = [None, *(spec.group for spec in options.ood)]
    found = [
        encode(encoder, one, group, options.cache, width)
        for one, group in zip(sets, groups, strict=True)
    ]
    run = ImageOodRun(options, names, bank, found[0], found[1:])
    run.encoder = {"name": encoder.name, "fingerprint": encoder.fingerprint}
    run.encoder |= {"image_key": encoder.image_key, "logit_scale": encoder.logit_scale}
    run.encoder |= {"device": options.device, "dtype": str(encoder.dtype)}
    for template in dict.fromkeys(templates.values()):
        run.id_accuracy[template] = _accuracy(run.id_set, features.labels(template)[0])
    score_boxes(run, notify)
    score_all(run, features, captions, save)
    if captions is not None:
        run.captions = {**captions.settings, "asked": captions.asked}
    return run


def _check_methods(options: ImageOodOptions, num_ids: int, num_negatives: int) -> None:
    if not options.methods:
        raise ValueError("there is no method; give at least one with --methods.")
    lost = sorted(set(options.method_options) - set(options.methods))
    if lost:
        raise ValueError(f"there are options for {lost[0]!r}, which is not among the methods.")
    for method in options.methods:
        given = options.method_options.get(method, {})
        check_method(method, given, options.template, num_ids, num_negatives)
    if "interneg" in options.methods:
        inversion_options(options.method_options.get("interneg", {}))
        if options.train is None:
            raise ValueError(
                "interneg needs ID training images for its image proxies; give --train or leave "
                "the method out."
            )
    if "ants" in options.methods and not options.captioner:
        raise ValueError(
            "ants needs a captioner; give --captioner server, local or names, or leave the method "
            "out."
        )
    if options.captioner and "ants" in options.methods:
        check_captioner(options.captioner)


def _accuracy(images: SetFeatures, id_feats: Any) -> float:
    """Share of images with exactly one known class that are nearest to its label; NaN if none."""
    rows = [i for i, item in enumerate(images.items) if len(item.labels) == 1]
    if not rows:
        return float("nan")
    truth = np.array([images.items[i].labels[0] for i in rows])
    return float(np.mean((images.feats[rows] @ id_feats.T).argmax(dim=1).numpy() == truth))
