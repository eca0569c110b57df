"""Image-level OOD runs: sets of images or crops, methods, numbers.

Offline methods score each image by itself. Online methods see one seeded shuffle of the ID set and
ONE OOD set, once, and forget everything before the next set. Shape letters: N images, M negatives.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from negas.apis.image_ood_captions import RunCaptions, check_captioner
from negas.apis.image_ood_data import (
    Features,
    SetFeatures,
    encode,
    load_labels,
    load_set,
    training_items,
)
from negas.apis.image_ood_methods import (
    Inputs,
    build_offline,
    build_online,
    check_method,
    inversion_options,
    is_online,
    template_of,
)
from negas.apis.image_ood_options import ImageOodOptions
from negas.image_level.encoders import build_encoder
from negas.image_level.image_sets import ImageSet
from negas.image_level.online import StreamResult, score_pair
from negas.labels.bank import NegativeLabelBank
from negas.metrics import ood_metrics
from negas.metrics.controls import rotated_bank

Scores = tuple[np.ndarray, np.ndarray]  # ID, OOD


@dataclass
class ImageOodRun:
    """What a run found.

    Attributes:
        options: it was made with.
        class_names: the K ID labels.
        bank: negative labels.
        id_set: the ID test set.
        ood_sets: the OOD sets.
        rows: one dict per method, control, set and seed (or rotation) with the metrics.
        scores: (method, set, seed) -> ID and OOD scores; without controls.
        streams: what the online results depend on, one record per method, set and seed.
        encoder: name, digests and scale of the encoder.
        captions: settings of the captioner and how often it was asked, or empty.
        id_accuracy: template -> share of ID images with one known class whose nearest label is it.
    """

    options: ImageOodOptions
    class_names: tuple[str, ...]
    bank: NegativeLabelBank
    id_set: SetFeatures
    ood_sets: list[SetFeatures]
    rows: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[tuple[str, str, int], Scores] = field(default_factory=dict)
    streams: list[dict[str, Any]] = field(default_factory=list)
    encoder: dict[str, Any] = field(default_factory=dict)
    captions: dict[str, Any] = field(default_factory=dict)
    id_accuracy: dict[str, float] = field(default_factory=dict)

    def add(self, method: str, control: str, ood: SetFeatures, seed: int, scores: Scores) -> None:
        """Metrics of one pair of sets."""
        kind = "online" if is_online(method) else "offline"
        about = {"method": method, "kind": kind, "control": control, "ood_set": ood.name}
        about |= {"group": ood.group, "seed": seed}
        self.rows.append(about | ood_metrics(*scores).to_dict())
        if control == "none":
            self.scores[method, ood.name, seed] = scores


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
    train = load_set(options.train, options, names, True) if options.train else None
    if train is not None and "interneg" in options.methods:
        for seed in options.seeds:
            training_items(train, names, options.images_per_class, seed)
    sets = [load_set(options.id, options, names, True)]
    sets += [load_set(spec, options, names, False) for spec in options.ood]
    return Prepared(names, bank, train, sets)


def run_image_ood(
    options: ImageOodOptions, notify: Callable[[str], None] = tqdm.write
) -> ImageOodRun:
    """Check everything, encode everything, score everything.

    Args:
        options: of the run.
        notify: told what is going on, a line at a time.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: anything else that cannot work; nothing long was done before it is said.
    """
    ready = prepare(options)
    names, bank, train, sets = ready.class_names, ready.bank, ready.train, ready.sets
    for line in ready.lines():
        notify(line)
    encoder = build_encoder(
        options.encoder, options.device, options.dtype, options.encoder_batch, options.workers
    )
    features = Features(encoder, names, bank.neg_labels, train, options)
    captions = None
    if options.captioner and "ants" in options.methods:
        captions = RunCaptions(options.captioner, features, options.cache, options.device)
    templates = {m: _template(m, options) for m in options.methods}
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
    _score_all(run, features, captions)
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


def _template(method: str, options: ImageOodOptions) -> str:
    return template_of(method, options.method_options.get(method, {}), options.template)


def _score_all(run: ImageOodRun, features: Features, captions: RunCaptions | None) -> None:
    options = run.options
    streams = sum(map(is_online, options.methods)) * len(options.seeds)
    total = len(run.ood_sets) * (len(options.methods) - sum(map(is_online, options.methods)))
    with tqdm(
        total=total + streams * len(run.ood_sets),
        desc="methods",
        delay=2,
        leave=False,
        disable=None,
    ) as bar:
        for method in options.methods:
            bar.set_postfix_str(method)
            score = _score_online if is_online(method) else _score_offline
            for _ in score(run, features, captions, method):
                bar.update()


def _score_offline(
    run: ImageOodRun, features: Features, captions: RunCaptions | None, method: str
) -> Iterator[None]:
    options = run.options
    score = build_offline(method, options.method_options.get(method, {}))
    ids, negatives = features.labels(_template(method, options))
    banks = [("none", 0, negatives)]
    if score.score.needs_negatives:
        turned = range(options.rotations)
        banks += [("rotated", seed, rotated_bank(negatives, seed)) for seed in turned]
    for control, seed, bank in banks:
        of_id = score(run.id_set.feats, ids, bank).numpy()
        for ood in run.ood_sets:
            of_ood = score(ood.feats, ids, bank).numpy()
            run.add(method, control, ood, seed, (of_id, of_ood))
            if control == "none":
                yield


def _score_online(
    run: ImageOodRun, features: Features, captions: RunCaptions | None, method: str
) -> Iterator[None]:
    options = run.options
    given = options.method_options.get(method, {})
    ids, negatives = features.labels(_template(method, options))
    # ANTS' own negatives are the captions; turning the bank would only change what is captioned
    controls = ["none"] + ["rotated"] * (options.rotations > 0 and method != "ants")
    for seed in options.seeds:
        for ood in run.ood_sets:
            for control in controls:
                bank = negatives if control == "none" else rotated_bank(negatives, seed)
                inputs = Inputs(
                    run.class_names,
                    ids,
                    bank,
                    features.sentences,
                    proxies=features.proxies(seed) if method == "interneg" else None,
                    invert=features.invert(seed, **inversion_options(given))
                    if method == "interneg"
                    else None,
                    noise=features.noise(seed) if method == "tanl" else None,
                    caption=captions.of_stream([run.id_set, ood]) if method == "ants" else None,
                    similar=captions.similar if method == "ants" else None,
                )
                scorer = build_online(method, inputs, given, seed)
                rows = list(range(len(run.id_set.feats) + len(ood.feats)))
                of_id, of_ood, result = score_pair(
                    scorer,
                    run.id_set.feats,
                    ood.feats,
                    batch_size=options.batch_size,
                    seed=seed,
                    images=rows if method == "ants" else None,
                    progress=sys.stderr.isatty(),
                )
                run.add(method, control, ood, seed, (of_id.numpy(), of_ood.numpy()))
                run.streams.append(_stream(result, control, ood.name))
            yield


def _stream(result: StreamResult, control: str, ood_set: str) -> dict[str, Any]:
    last = result.log[-1]
    return {"ood_set": ood_set, "control": control, **result.record, "last_step": last}


def _accuracy(images: SetFeatures, id_feats: Any) -> float:
    """Share of images with exactly one known class that are nearest to its label; NaN if none."""
    rows = [i for i, item in enumerate(images.items) if len(item.labels) == 1]
    if not rows:
        return float("nan")
    truth = np.array([images.items[i].labels[0] for i in rows])
    return float(np.mean((images.feats[rows] @ id_feats.T).argmax(dim=1).numpy() == truth))
