"""Whether an exported file says what the detector says, and how fast it says it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS

from negas.apis.calibration import identity
from negas.apis.fit import validation_loader
from negas.apis.inferencer import Inferencer
from negas.apis.inputs import Pictures
from negas.labels.names import first_difference
from negas.metrics.matching import match
from negas.pictures import read_rgb
from negas.predictions import Results
from negas.runtime import Detector
from negas.runtime.letterbox import Place
from negas.unknown import UnknownOptions

VALUES = ("boxes", "confidence", "id_score", "unknown_like_score")
_SAME = 0.9  # IoU from which two boxes of one label are the same


@dataclass
class Agreement:
    """Two lists of results of the same pictures, side by side.

    Attributes:
        boxes: of the detector.
        alone: boxes that only one of the two has.
        objects: unknown objects of the detector.
        objects_alone: unknown objects that only one of the two has.
        largest: column -> its largest difference on boxes and unknown objects that both have, 0
            without one.
        renamed: boxes whose nearest negative, and objects whose nearest word, is another.
        to_unknown: known boxes that the file calls unknown.
        to_known: unknown boxes that the file calls known.
    """

    boxes: int = 0
    alone: int = 0
    objects: int = 0
    objects_alone: int = 0
    largest: dict[str, float] = field(default_factory=lambda: dict.fromkeys(VALUES, 0.0))
    renamed: int = 0
    to_unknown: int = 0
    to_known: int = 0

    @property
    def flips(self) -> int:
        """Verdicts that differ."""
        return self.to_unknown + self.to_known

    def add(self, theirs: Results, ours: Results) -> None:
        """Compare one picture.

        Args:
            theirs: of the detector.
            ours: of the file.
        """
        objects = theirs.labels < 0
        self.boxes += int((~objects).sum())
        self.objects += int(objects.sum())
        rows = np.argsort(-ours.confidence, kind="stable")
        found = match(
            ours.boxes[rows], theirs.boxes, _SAME, ours.labels[rows], theirs.labels, next_best=True
        ).objects
        same = found >= 0
        alone = np.concatenate([ours.labels[rows[~same]], np.delete(theirs.labels, found[same])])
        self.alone += int((alone >= 0).sum())
        self.objects_alone += int((alone < 0).sum())
        ours, theirs = ours[rows[same]], theirs[found[same]]
        for key in VALUES:
            gaps = np.abs(getattr(ours, key) - getattr(theirs, key))
            self.largest[key] = max(self.largest[key], float(np.nan_to_num(gaps).max(initial=0)))
        self.renamed += int((ours.unknown_like != theirs.unknown_like).sum())
        self.to_unknown += int(((theirs.known == True) & (ours.known == False)).sum())  # noqa: E712
        self.to_known += int(((theirs.known == False) & (ours.known == True)).sum())  # noqa: E712


def search_of(detector: Detector) -> dict[str, Any] | bool:
    """``unknown`` of the Inferencer that seeks unknown objects as a file does."""
    if detector.about.unknown is None:
        return False
    names = [each.name for each in fields(UnknownOptions)]
    about = detector.about.unknown
    own = {key: about[key] for key in names if about.get(key) is not None}
    return own | dict(vocabulary=about["words"])


def check_same(detector: Detector, inferencer: Inferencer) -> None:
    """Make sure that a file was made of this detector.

    Raises:
        ValueError: it was made of another one.
    """
    about, model = detector.about, inferencer.model
    where = f"exported detector {str(detector.path)!r}"
    for key, mine in (
        ("class_names", list(model.class_names)),
        ("neg_labels", list(model.neg_labels)),
    ):
        made = list(getattr(about, key))
        if made != mine:
            raise ValueError(
                f"{where} was made with other {key} ({first_difference(made, mine)}); give the "
                "same --classes and --negatives"
            )
    who = identity(model, inferencer.weights)
    for key, name in (("checkpoint_sha256", "checkpoint"), ("base_sha256", "base checkpoint")):
        made = about.weights_sha256 if key == "checkpoint_sha256" else about.base_sha256
        if made != who[key]:
            raise ValueError(f"{where} was made of another {name}; give that one, or export again")
    if about.score != who["score"] or about.score_options != who["score_options"]:
        raise ValueError(
            f"{where} was made with the score {about.score} {about.score_options}, the config has "
            f"{who['score']} {who['score_options']}; export again"
        )
    inferencer.tau = about.tau


def compare(
    detector: Detector, inferencer: Inferencer, files: Sequence[str]
) -> tuple[Agreement, Agreement]:
    """The file against the detector: on the same pixels, and from picture files.

    The first leaves only the network to differ, the second also resizing and, in a detector that
    takes inputs of any proportions, filling up.
    """
    pixels, pictures = Agreement(), Agreement()
    for path in files:
        image, place = detector.about.letterbox(read_rgb(path))
        size = detector.about.letterbox.size
        whole = Place(size, size, 0, 0)
        pixels.add(
            inferencer.judge_pixels(image, detector.score_thr), detector.judge_pixels(image, whole)
        )
        (theirs,) = inferencer(path, pred_score_thr=detector.score_thr)["predictions"]
        pictures.add(theirs, detector(path))
    return pixels, pictures


@dataclass(frozen=True)
class Speed:
    """Medians, in seconds an image.

    Attributes:
        threads: of both.
        network: of PyTorch and of ONNX Runtime, from pixels to rows.
        whole: of both, from a decoded picture to results.
    """

    threads: int
    network: tuple[float, float]
    whole: tuple[float, float]


def measure(path: str, inferencer: Inferencer, file: str, threads: int, repeats: int) -> Speed:
    """Speed of a file beside the detector's, in turns, so that both see the same machine.

    Args:
        path: of the exported detector.
        inferencer: of the detector.
        file: a picture.
        threads: of both.
        repeats: of each measurement.
    """
    detector = Detector(path, threads=threads)
    before = torch.get_num_threads()
    picture = read_rgb(file)
    array = np.ascontiguousarray(np.asarray(picture)[..., ::-1])
    pixels, _ = detector.about.letterbox(picture)
    threshold = detector.score_thr
    torch.set_num_threads(threads)
    try:
        network = _medians(
            lambda: inferencer.judge_pixels(pixels, threshold),
            lambda: detector.run(pixels[None]),
            repeats,
        )
        whole = _medians(
            lambda: inferencer(array, pred_score_thr=threshold),
            lambda: detector(array),
            repeats,
        )
    finally:
        torch.set_num_threads(before)
    return Speed(threads, network, whole)


def _medians(
    first: Callable[[], Any], second: Callable[[], Any], repeats: int
) -> tuple[float, float]:
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for call, times in zip((first, second), taken, strict=True):
            start = time.perf_counter()
            call()
            if turn:  # the first one warms up
                times.append(time.perf_counter() - start)
    return statistics.median(taken[0]), statistics.median(taken[1])


def compare_files(first: Detector, second: Detector, files: Sequence[str]) -> Agreement:
    """One exported file against another."""
    found = Agreement()
    for path in files:
        found.add(first(path), second(path))
    return found


def pictures_of(cfg: Config, data: str | None, count: int) -> list[str]:
    """Picture files to compare on.

    Args:
        cfg: whose ID validation pictures are taken if no others are given.
        data: a picture or a folder of them.
        count: at most.

    Raises:
        FileNotFoundError: there are none.
        ValueError: the config has no ID validation set.
    """
    if data is None:
        images = DATASETS.build(validation_loader(cfg).dataset)
        return [images.get_data_info(i)["img_path"] for i in range(min(count, len(images)))]
    pictures = Pictures.of(data)
    return [picture.path for picture in islice(pictures, count) if picture.is_file]
