"""Scores of an image-level OOD run: the detector's own, offline and online methods.

Offline methods score each image by itself. Online methods see one seeded shuffle of the ID set and
ONE OOD set, once, and forget everything before the next set.

What an image-level OOD run collects.

Shape letters: N images, M negative labels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from negas.image_level.online import StreamResult, score_pair
from negas.labels.bank import NegativeLabelBank
from negas.metrics import ood_metrics
from negas.metrics.controls import rotated_bank
from negas.records import BoxRecords
from negas.scores import get_score

from .captioner import RunCaptions
from .data import Features, SetFeatures
from .methods import (
    Inputs,
    build_offline,
    build_online,
    inversion_options,
    is_online,
    template_of,
    with_scale,
)
from .options import ImageOodOptions

Scores = tuple[np.ndarray, np.ndarray]  # ID, OOD
DETECTOR = "detector: "  # in front of scores that the detector itself gave the same boxes


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
        kind = "detector" if method.startswith(DETECTOR) else kind
        about = {"view": self.options.view, "method": method, "kind": kind, "control": control}
        about |= {"ood_set": ood.name}
        about |= {"group": ood.group, "seed": seed}
        self.rows.append(about | ood_metrics(*scores).to_dict())
        if control == "none":
            self.scores[method, ood.name, seed] = scores


_BOX_SCORES = ("max_sigmoid", "negs", "negs_product")


def method_template(method: str, options: ImageOodOptions) -> str:
    """The template of a method in this run."""
    return template_of(method, options.method_options.get(method, {}), options.template)


def method_options(method: str, run: ImageOodRun) -> dict[str, Any]:
    """The options of a method in this run, its scale among them."""
    given = run.options.method_options.get(method, {})
    return with_scale(method, given, run.options.scale, run.encoder["logit_scale"])


def score_all(
    run: ImageOodRun,
    features: Features,
    captions: RunCaptions | None,
    save: Callable[[ImageOodRun], None] | None = None,
) -> None:
    """Add the numbers of all methods to the run; ``save`` is called after each method."""
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
            if save is not None and method != options.methods[-1]:
                save(run)


def score_boxes(run: ImageOodRun, notify: Callable[[str], None]) -> None:
    """The detector's own scores of the boxes whose crops are scored, where records hold them."""
    sets = [run.id_set, *run.ood_sets]
    if any(item.record is None for one in sets for item in one.items):
        return
    files = [one.source["detections"] for one in sets]
    records = [BoxRecords.load(file) for file in files]
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
    run: ImageOodRun, features: Features, captions: RunCaptions | None, method: str
) -> Iterator[None]:
    options = run.options
    score = build_offline(method, method_options(method, run))
    ids, negatives = features.labels(method_template(method, options))
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
    given = method_options(method, run)
    ids, negatives = features.labels(method_template(method, options))
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
