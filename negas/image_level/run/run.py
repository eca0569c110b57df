"""An image-level OOD run: check, encode, score.

Scores are the detector's own, of offline and of online methods. Offline methods score each image by
itself. Online methods see one seeded shuffle of the ID set and ONE OOD set, once, and forget
everything before the next set. Shape letters: N images, K ID labels, M negative labels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from negas.embeddings.encoders import build_encoder
from negas.evaluation.result_files import read_set
from negas.image_level.image_sets import ImageSet
from negas.image_level.method import Inputs, Method
from negas.image_level.online import StreamResult, score_pair
from negas.image_level.registry import find_method
from negas.labels.bank import NegativeLabelBank
from negas.metrics import ood_metrics
from negas.metrics.controls import rotated_bank
from negas.scores import get_score

from .captioner import RunCaptions, check_captioner
from .data import Features, SetFeatures, check_labels, encode, load_labels, load_set, training_items
from .options import ImageOodOptions

Scores = tuple[np.ndarray, np.ndarray]  # ID, OOD
DETECTOR = "detector: "  # in front of scores that the detector itself gave the same boxes
_BOX_SCORES = ("max_sigmoid", "negs", "negs_product")


def kind_of(method: str) -> str:
    """``offline``, ``online`` or ``detector``."""
    if method.startswith(DETECTOR):
        return "detector"
    return "online" if find_method(method).online else "offline"


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
        captions: settings of the captioner and what it was asked and answered, or empty.
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
        about = {"view": self.options.view, "method": method, "kind": kind_of(method)}
        about |= {"control": control, "ood_set": ood.name, "group": ood.group, "seed": seed}
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
            if "left out" in one.source:
                lines[-1] += f"; left out of the folder: {one.source['left out']}"
        return lines


def prepare(options: ImageOodOptions) -> Prepared:
    """Read labels and sets, and check all that can be checked without a model.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: anything else that cannot work.
    """
    names, bank = load_labels(options)
    for method in map(find_method, options.methods):
        method.check(options.settled(method), len(names), len(bank))
    train = None
    if wants := _wanting(options, "proxies"):
        if options.train is None:
            raise ValueError(
                f"{wants[0].name} needs ID training images for its image proxies; give --train or "
                f"leave the method out."
            )
        train = load_set(options.train, options, names, True)
        for seed in options.seeds:
            training_items(train, names, options.images_per_class, seed)
    if wants := _wanting(options, "captions"):
        if options.captioner is None:
            raise ValueError(
                f"{wants[0].name} needs a captioner; give --captioner server, local or names, or "
                f"leave the method out."
            )
        check_captioner(options.captioner)
    sets = [load_set(options.id, options, names, True)]
    check_labels(sets[0], names)
    sets += [load_set(spec, options, names, False) for spec in options.ood]
    return Prepared(names, bank, train, sets)


def _wanting(options: ImageOodOptions, need: str) -> list[Method]:
    return [method for method in map(find_method, options.methods) if need in method.needs]


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
    for method in _wanting(options, "inversion"):
        # an encoder that it cannot work through: say so now
        method.check(options.settled(method), len(names), len(bank), features.inversion)
    captions = None
    if _wanting(options, "captions"):
        captions = RunCaptions(options.captioner, features, options.cache, options.device)
    methods = map(find_method, options.methods)
    templates = list(dict.fromkeys(options.settled(method).template for method in methods))
    width = features.labels(templates[0])[0].shape[1]
    groups = [None, *(spec.group for spec in options.ood)]
    found = [
        encode(encoder, one, group, options.cache, width)
        for one, group in zip(sets, groups, strict=True)
    ]
    run = ImageOodRun(options, names, bank, found[0], found[1:])
    run.encoder = {"name": encoder.name, "fingerprint": encoder.fingerprint}
    run.encoder |= {"image_key": encoder.image_key, "logit_scale": encoder.logit_scale}
    run.encoder |= {"device": options.device, "dtype": str(encoder.dtype)}
    for template in templates:
        run.id_accuracy[template] = _accuracy(run.id_set, features.labels(template)[0])
    _score_boxes(run, notify)
    _score_methods(run, features, captions, save)
    if captions is not None:
        run.captions = {**captions.settings, **captions.counts}
    return run


def _score_methods(
    run: ImageOodRun,
    features: Features,
    captions: RunCaptions | None,
    save: Callable[[ImageOodRun], None] | None,
) -> None:
    """Add the numbers of all methods to the run; ``save`` is called after each but the last."""
    options = run.options
    methods = [find_method(name) for name in options.methods]
    passes = sum(len(options.seeds) if method.online else 1 for method in methods)
    total = passes * len(run.ood_sets)
    with tqdm(total=total, desc="methods", delay=2, leave=False, disable=None) as bar:
        for method in methods:
            bar.set_postfix_str(method.name)
            score = _score_online if method.online else _score_offline
            for _ in score(run, features, captions, method):
                bar.update()
            if save is not None and method is not methods[-1]:
                save(run)


def _score_boxes(run: ImageOodRun, notify: Callable[[str], None]) -> None:
    """The detector's own scores of the boxes whose crops are scored, where records hold them."""
    sets = [run.id_set, *run.ood_sets]
    if any(item.record is None for one in sets for item in one.items):
        return
    files = [one.source["detections"] for one in sets]
    records = [read_set(file)[0] for file in files]
    records = [
        r.select(np.array([i.record for i in one.items]))
        for r, one in zip(records, sets, strict=True)
    ]
    wanted = set(run.bank.neg_labels)
    same = all(
        r.neg_logits is not None and set(r.meta.get("neg_labels") or ()) == wanted for r in records
    )
    if not same:
        notify(
            f"{files[0]}: the detector was tested with other negative labels than "
            f"{run.options.bank}, so of its own scores only max sigmoid is shown"
        )
    for name in _BOX_SCORES if same else _BOX_SCORES[:1]:
        score = get_score(name)
        values = [
            score(
                *(None if x is None else torch.from_numpy(x) for x in (r.id_logits, r.neg_logits))
            )
            for r in records
        ]
        for ood, of_ood in zip(run.ood_sets, values[1:], strict=True):
            run.add(DETECTOR + name, "none", ood, 0, (values[0].numpy(), of_ood.numpy()))


def _score_offline(
    run: ImageOodRun, features: Features, captions: RunCaptions | None, method: Method
) -> Iterator[None]:
    options = run.options.settled(method, run.encoder["logit_scale"])
    ids, negatives = features.labels(options.template)
    score = method.build(Inputs(run.class_names, ids, negatives), options)
    banks = [("none", 0, negatives)]
    if method.turned:
        turned = range(run.options.rotations)
        banks += [("rotated", seed, rotated_bank(negatives, seed)) for seed in turned]
    for control, seed, bank in banks:
        of_id = score(run.id_set.feats, ids, bank).numpy()
        for ood in run.ood_sets:
            of_ood = score(ood.feats, ids, bank).numpy()
            run.add(method.name, control, ood, seed, (of_id, of_ood))
            if control == "none":
                yield


def _score_online(
    run: ImageOodRun, features: Features, captions: RunCaptions | None, method: Method
) -> Iterator[None]:
    controls = ["none"] + ["rotated"] * (run.options.rotations > 0 and method.turned)
    for seed in run.options.seeds:
        options = run.options.settled(method, run.encoder["logit_scale"], seed)
        ids, negatives = features.labels(options.template)
        for ood in run.ood_sets:
            for control in controls:
                bank = negatives if control == "none" else rotated_bank(negatives, seed)
                inputs = _inputs(method, run, features, captions, (ids, bank), ood, seed)
                rows = list(range(len(run.id_set.feats) + len(ood.feats)))
                of_id, of_ood, result = score_pair(
                    method.build(inputs, options),
                    run.id_set.feats,
                    ood.feats,
                    batch_size=run.options.batch_size,
                    seed=seed,
                    images=rows if "captions" in method.needs else None,
                    progress=sys.stderr.isatty(),
                )
                run.add(method.name, control, ood, seed, (of_id.numpy(), of_ood.numpy()))
                run.streams.append(_stream(result, control, ood.name))
            yield


def _inputs(
    method: Method,
    run: ImageOodRun,
    features: Features,
    captions: RunCaptions | None,
    labels: tuple[Tensor, Tensor],
    ood: SetFeatures,
    seed: int,
) -> Inputs:
    """What the method needs, prepared for one stream."""
    made: dict[str, Any] = {}
    if "proxies" in method.needs:
        made["proxies"] = features.proxies(seed)
    if "inversion" in method.needs:
        made["inversion"] = features.inversion
    if "noise" in method.needs:
        made["noise"] = features.noise(seed)
    if "captions" in method.needs:
        made["caption"] = captions.of_stream([run.id_set, ood])
        made["similar"] = captions.similar
    return Inputs(run.class_names, *labels, features.sentences, **made)


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
