"""What an image-level OOD run collects.

Shape letters: N images, M negative labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from negas.apis.image_ood_data import SetFeatures
from negas.apis.image_ood_methods import is_online
from negas.apis.image_ood_options import ImageOodOptions
from negas.labels.bank import NegativeLabelBank
from negas.metrics import ood_metrics

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
