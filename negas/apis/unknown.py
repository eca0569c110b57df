"""Whether the Inferencer seeks unknown objects: by what it is asked, its config, calibration."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from mmengine.config import ConfigDict
from mmengine.logging import print_log

from negas.models.interface import OODDetector
from negas.models.unknown import WHERE, own_test_cfg, vocabulary_of
from negas.text import shown
from negas.unknown import CALIBRATED, UnknownOptions

from .calibration import Calibration, words_digest

Wanted = bool | str | os.PathLike | Sequence[str] | Mapping[str, Any] | None


class UnknownSearch:
    """Puts the search for unknown objects into a config, then its threshold into the detector.

    Args:
        wanted: ``None``: as the config says, if a threshold is known; ``False``: none; ``True``: in
            any case; a vocabulary; or fields of :class:`~negas.unknown.UnknownOptions` in place of
            the config's. Words that are not named here are the calibration's, else the config's or
            the shipped ones.
        model: ``model`` of a config with the run's labels, changed in place.
        class_names: the run's ID names.
        calibration: the one that will be tried; it says something only if it is of these names.
        where: what to call it in errors.
        tell: say so where there is no threshold; whoever fits one wants none.

    Raises:
        ValueError: settings that cannot be, a vocabulary that is unreadable or names ID classes
            only, a calibration of other words, or no threshold for what was asked for.
        FileNotFoundError: there is no such vocabulary.
    """

    def __init__(
        self,
        wanted: Wanted,
        model: ConfigDict,
        class_names: Sequence[str],
        calibration: Calibration | None,
        where: str,
        tell: bool = True,
    ) -> None:
        self._tell = tell
        self.asked = wanted is not None and wanted is not False
        test_cfg = own_test_cfg(model)
        given, own = _settings(wanted, test_cfg.get("unknown"))
        self._own_cut, named = "id_score_thr" in own, "vocabulary" in own
        of_these = calibration is not None and _names(calibration) == list(class_names)
        section = calibration.unknown if of_these else None
        if given is None and section is not None and wanted is None:
            given = {}
        test_cfg.unknown = None
        self.words: Sequence[str] | None = None
        self.score_thr: float | None = None
        if given is None:
            return
        if section is not None:
            given.setdefault("vocabulary", tuple(section["words"]))
        key = "unknown" if self.asked else WHERE
        options = UnknownOptions.from_settings(given, key, section=True)
        vocabulary = vocabulary_of(options, class_names).words
        words = set(vocabulary)
        test_cfg.unknown = ConfigDict(given)
        # a number for words that are named needs no calibration
        if section is not None and not (options.is_calibrated and named):
            foreign = [word for word in section["words"] if word not in words]
            more = named and not _same_words(vocabulary, section)
            if not options.is_calibrated and (foreign or more):
                which = "the vocabulary has more"
                if foreign:
                    which = f"{shown(foreign[0])} is none of the vocabulary, or names an ID class"
                raise ValueError(
                    f"{where} has a threshold for other words: {which}; fit one for this "
                    "vocabulary with negas calibrate, or give a threshold (--unknown-thr)"
                )
            if not foreign:
                self.words = tuple(section["words"])
                number = options.score_thr if options.is_calibrated else section["score_thr"]
                self.score_thr = float(number)
        elif not options.is_calibrated:
            self._without()

    def _without(self) -> None:
        """There is no threshold."""
        if self.asked:
            raise ValueError(
                "unknown objects need a threshold, and no calibration of these labels and weights "
                "has one; fit one with negas calibrate, or give a number (--unknown-thr)"
            )
        if self._tell:
            print_log(
                f"{WHERE}: no calibration says from which score on an object is unknown, so that "
                "none is sought",
                "current",
            )

    def apply(self, model: OODDetector, calibration: Calibration | None) -> None:
        """Give the detector its threshold, if the calibration turned out to be its own.

        Raises:
            ValueError: it did not, and unknown objects were asked for.
        """
        if self.words is None:
            return
        if calibration is None:
            if not model.finder.options.is_calibrated:
                model.finder = None
                self._without()
        else:
            model.finder.calibrate(self.words, self.score_thr)

    def hide_from(self, model: OODDetector, threshold: float) -> bool:
        """ID boxes that are shown hide unknown objects, unless other ones were asked for."""
        if finds_unknown(model) and not self._own_cut:
            cut = float(np.float32(threshold))  # as it is compared
            model.finder.options = replace(model.finder.options, id_score_thr=cut)
        return not self._own_cut


def _same_words(words: Sequence[str], section: Mapping[str, Any]) -> bool:
    """Whether a calibration was fitted with these words, or kept just these."""
    return words_digest(words) == section["vocabulary"]["sha256"] or (
        list(words) == list(section["words"])
    )


def finds_unknown(model: OODDetector) -> bool:
    """Whether predictions of a detector have ``unknown_instances``."""
    return model.finder is not None and model.finder.options.is_calibrated


def _settings(
    wanted: Wanted, config: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Fields of the options, and those of them that were asked for."""
    base = dict(config or {})
    if wanted is False:
        return None, {}
    if wanted is None:
        return base or None, {}
    if wanted is True:
        return base, {}
    if isinstance(wanted, str | os.PathLike | list | tuple):
        wanted = dict(vocabulary=wanted)
    elif not isinstance(wanted, Mapping):
        raise ValueError(
            "unknown must be true, false, a vocabulary, or an object of its options, got "
            f"{shown(wanted)}"
        )
    asked = dict(wanted)
    if "vocabulary" in asked:  # a threshold belongs to its words
        base["score_thr"] = CALIBRATED
        if isinstance(asked["vocabulary"], os.PathLike):
            asked["vocabulary"] = os.fspath(asked["vocabulary"])
    return base | asked, asked


def _names(calibration: Calibration) -> list[str]:
    return list(calibration.fitted_for["class_names"])
