"""A detector on which words are tried: one look of the network, then verdicts at any threshold."""

from __future__ import annotations

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from negas.apis.calibration import scored
from negas.apis.inferencer import Inferencer
from negas.predictions import Results
from negas.unknown.thresholds import LEAST

from .judging import judged
from .validation import Validation, fitted_tau

UNCALIBRATED = 0.5  # where the slider of unknown objects starts without a calibration


@dataclass(frozen=True, eq=False)
class Look:
    """What the network has said about a picture.

    Attributes:
        pixels: ``[H, W, 3]`` uint8, RGB.
        results: boxes, with unknown objects from the score :data:`~negas.unknown.thresholds.LEAST`
            on.
        negatives: negative labels that boxes were scored with.
        id_scores: of ID validation boxes, ``[v]``, ascending; ``None``: none are of these names.
        tau: to start from; ``None``: nothing tells.
        tau_from: where it is from, half a sentence.
        unknown_thr: to start from; ``None``: no unknown objects were sought.
        calibrated_thr: whether it is a calibration's.
    """

    pixels: np.ndarray
    results: Results
    negatives: tuple[str, ...]
    id_scores: np.ndarray | None
    tau: float | None
    tau_from: str
    unknown_thr: float | None
    calibrated_thr: bool

    def at(self, tau: float | None, unknown_thr: float | None = None) -> Results:
        """The boxes judged at thresholds; see :func:`~negas.app.judging.judged`."""
        return judged(self.results, tau, None if self.unknown_thr is None else unknown_thr)


class Bench:
    """An Inferencer and its ID validation boxes; calls from several threads take turns.

    Args:
        inferencer: with the labels to start from; it seeks no unknown objects yet.
        validation: boxes of its ID validation images; ``None``: none are known.
        unknown: fields of :class:`~negas.unknown.UnknownOptions` for the search; ``None``: none can
            be sought.
        calibration: as of the Inferencer, of the labels to start from.
        labels: ``classes`` and ``negatives`` that the Inferencer was made with.

    Raises:
        ValueError: the detector gives no OOD score.
    """

    def __init__(
        self,
        inferencer: Inferencer,
        validation: Validation | None = None,
        unknown: Mapping[str, Any] | None = None,
        calibration: str | os.PathLike | None = "auto",
        labels: Mapping[str, Any] | None = None,
    ) -> None:
        scored(inferencer.model)
        self.inferencer, self.validation = inferencer, validation
        self._unknown = None if unknown is None else dict(unknown)
        self._calibration, self._labels = calibration, dict(labels or {})
        model = inferencer.model
        self.classes, self.negatives = tuple(model.class_names), tuple(model.neg_labels)
        self._current = (self.classes, self.negatives, False)
        self._lock = Lock()

    @property
    def seeks(self) -> bool:
        """Whether unknown objects can be sought."""
        return self._unknown is not None

    def look(
        self,
        picture: np.ndarray,
        classes: Sequence[str],
        negatives: Sequence[str],
        unknown: bool = False,
    ) -> Look:
        """Run the network on a picture, once.

        Args:
            picture: ``[H, W, 3]`` uint8, RGB.
            classes: ID names.
            negatives: negative words; none: scored without.
            unknown: whether unknown objects are sought.

        Raises:
            ValueError: words that are not sound, or a picture that the detector cannot take.
        """
        wanted = (tuple(classes), tuple(negatives), bool(unknown) and self.seeks)
        with self._lock:
            self._take(*wanted)
            bgr = np.ascontiguousarray(picture[..., ::-1])
            (results,) = self.inferencer(bgr)["predictions"]
            return self._look(picture, results, wanted[2])

    def id_scores(self, classes: Sequence[str], negatives: Sequence[str]) -> np.ndarray | None:
        """Scores ``[v]`` of ID validation boxes with other words, ascending; no picture is seen.

        Raises:
            ValueError: words that are not sound.
        """
        with self._lock:
            self._take(tuple(classes), tuple(negatives), self._current[2])
            return self._validation_scores()

    def text_feats(self, classes: Sequence[str], words: Sequence[str]) -> tuple[np.ndarray, ...]:
        """Text embeddings of ID names ``[K, D]`` and of any words ``[V, D]``.

        Labels of several tokens, ``[T, D]`` each, are the mean of theirs.

        Raises:
            ValueError: names that are not sound.
        """
        with self._lock:
            model = self.inferencer.model
            found = [model.bank_feats(part).detach().cpu().numpy() for part in (classes, words)]
        return tuple(np.nanmean(each, 1) if each.ndim == 3 else each for each in found)

    def _take(self, classes: tuple[str, ...], negatives: tuple[str, ...], unknown: bool) -> None:
        """Give the detector these labels, if it has others."""
        if (classes, negatives, unknown) == self._current:
            return
        seek = self._unknown | dict(score_thr=LEAST) if unknown else False
        if (classes, negatives) == (self.classes, self.negatives):
            labels = self._labels | dict(calibration=self._calibration)
        else:
            labels = dict(classes=list(classes), negatives=list(negatives))
        self.inferencer.set_labels(**labels, unknown=seek)
        self._current = (classes, negatives, unknown)

    def _look(self, picture: np.ndarray, results: Results, unknown: bool) -> Look:
        model, calibration = self.inferencer.model, self.inferencer.calibration
        id_scores = self._validation_scores()
        tau, source = self.inferencer.tau, "of the config"
        if calibration is not None:
            source = f"calibrated: {100 * calibration.wanted_tpr:g}% of ID detections are known"
        elif tau is None:
            tau = fitted_tau(id_scores)
            source = "95% of the ID validation boxes are known"
            if tau is None:
                source = "no calibration of these words; move the slider"
        thr, calibrated = None, False
        if unknown:
            section = None if calibration is None else calibration.unknown
            given = (self._unknown or {}).get("score_thr")
            calibrated = section is not None and given is None
            thr = section["score_thr"] if calibrated else UNCALIBRATED if given is None else given
        negatives = tuple(model.neg_labels)
        return Look(picture, results, negatives, id_scores, tau, source, thr, calibrated)

    def _validation_scores(self) -> np.ndarray | None:
        if self.validation is None:
            return None
        found = self.validation.scores(self.inferencer.model)
        return None if found is None else np.sort(found)
