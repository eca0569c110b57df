"""The calibration of a detector: its confidence cut and tau, and whom they were fitted for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from negas.evaluation.fitting import FittedState
from negas.files import check_file, file_sha256, read_json, write_json
from negas.labels.bank import NegativeLabelBank
from negas.labels.names import first_difference, read_names
from negas.models.base import detector_names
from negas.models.interface import OODDetector
from negas.models.postprocess import OODPostProcessor
from negas.models.unknown import UnknownFinder
from negas.options import Options, option
from negas.shipped import users_place
from negas.text import shown
from negas.unknown.thresholds import UnknownThreshold

VERSION = 1
SUFFIX = ".calibration.json"
# What a calibration belongs to, in the order of the check, and how to say that it differs. A
# detector may have further text options, see OODDetector.
_IDENTITY = {
    "checkpoint_sha256": "another checkpoint",
    "base_sha256": "another base checkpoint",
    "class_names": "other class names",
    "score": "another score",
    "score_options": "other score options",
    "neg_labels": "other negative labels",
    "template": "another template of the labels",
    "learned_prompt": "another kind of prompt",
    "prompt_negatives": "another use of the prompt (prompt_negatives)",
    "prefix": "another prefix of the labels",
    "token_reduce": "another reduction of tokens (token_reduce)",
    "neg_path": "another path of the negatives (neg_path)",
}
# of the search for unknown objects; which words these are tells the section itself
_SEARCH = ("id_weight", "agreement_weight", "id_overlap", "nms", "max_per_img", "min_size", "share")


def default_path(checkpoint: str | os.PathLike, labels: Mapping[str, Any] | None = None) -> Path:
    """Where the calibration of a checkpoint lies: ``<checkpoint>.calibration.json``.

    That of a checkpoint in an installed package lies in the working directory, see
    :func:`negas.shipped.users_place`.

    Args:
        checkpoint: a file.
        labels: ``model`` of a config with labels given at run time, which have a file of their own
            each, with a digest of them in its name; ``None``: those of the config.

    Raises:
        ValueError: the labels' bank is not sound.
        FileNotFoundError: it does not exist.
    """
    checkpoint = users_place(checkpoint)
    if labels is None:
        return Path(f"{checkpoint}{SUFFIX}")
    names = list(read_names(labels.get("class_names") or (), "class_names"))
    negatives = labels.get("neg_labels") or []
    if isinstance(negatives, str):
        negatives = NegativeLabelBank.load(negatives, names).neg_labels
    digest = hashlib.sha256(json.dumps([names, list(negatives)]).encode()).hexdigest()
    return Path(f"{checkpoint}.{digest[:8]}{SUFFIX}")


def state_path(calibration: str | os.PathLike) -> Path:
    """Where the state of a fitted score lies, beside the calibration."""
    return Path(f"{calibration}.safetensors")


def identity(model: OODDetector, checkpoint: str | os.PathLike) -> dict[str, Any]:
    """Everything that a detector's confidences and scores depend on, as JSON can hold it.

    Raises:
        ValueError: the model gives no OOD score, or the checkpoint is no local file.
    """
    postprocessor = scored(model)
    if not Path(checkpoint).is_file():
        raise ValueError(
            f"checkpoint {str(checkpoint)!r} is no local file, so a calibration cannot be tied to "
            "it; download it first"
        )
    options = dataclasses.asdict(postprocessor.score)
    found = dict(
        checkpoint_sha256=file_sha256(checkpoint),
        base_sha256=model.base_sha256,
        class_names=list(model.class_names),
        score=postprocessor.score_name,
        score_options={key: value for key, value in options.items() if _plain(value)},
        neg_labels=list(model.neg_labels),
        learned_prompt=model.prompt is not None,
        template=model.template,
        **model.text_options,
    )
    if model.finder is not None and not model.finder.options.is_calibrated:
        found["unknown"] = search_of(model.finder)
    # What one family of detectors has and another lacks is None there.
    return dict.fromkeys(_IDENTITY) | found


def scored(model: OODDetector) -> OODPostProcessor:
    """What judges a detector's boxes.

    Raises:
        ValueError: nothing does.
    """
    if model.postprocessor is None:
        raise ValueError(
            f"{type(model).__name__} gives no OOD score, so it has no verdict; use a config with "
            f"model.type={detector_names(takes_negatives=True)}"
        )
    return model.postprocessor


def words_digest(words: Sequence[str]) -> str:
    """SHA-256 of words in their order."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def search_of(finder: UnknownFinder) -> dict[str, Any]:
    """What a threshold of unknown objects depends on beside the detector and the words."""
    options = finder.options.record()
    return {key: options[key] for key in _SEARCH}


@dataclass(frozen=True)
class UnknownCalibration(UnknownThreshold):
    """The section ``unknown`` of a calibration.

    Attributes:
        vocabulary: ``source``, number of ``words`` before the hot ones went, their ``sha256``.
        fitted_for: see :func:`search_of`.
    """

    vocabulary: dict[str, Any] = option(help="where the words are from")
    fitted_for: dict[str, Any] = option(help="how unknown objects were sought")

    def __post_init__(self) -> None:
        """Check the keys.

        Raises:
            ValueError: ``fitted_for`` lacks one; see the class above.
        """
        super().__post_init__()
        if lost := set(_SEARCH) - set(self.fitted_for):
            raise ValueError(f"{self.called('fitted_for')} has no {sorted(lost)[0]!r}")


@dataclass(frozen=True)
class Calibration(Options):
    """A confidence cut and tau, and what they were fitted on.

    Attributes:
        cut: boxes of lower confidence are no detections, in [0, 1].
        tau: a detection is known iff its score is at least this.
        wanted_tpr: share of ID detections that was to be known, in (0, 1].
        reached_tpr: share that is, on the images of the fit.
        counts: ``images`` and ``detections`` (over the cut) of the fit.
        fitted_for: see :func:`identity`.
        source: set, bank, post-processing; for people.
        unknown: fields of :class:`UnknownCalibration`; ``None``: unknown objects are not sought.
        fitted: what the score was fitted on, ``about`` of its state; ``None``: it needs no fit.
        state: of a fitted score, in ``<file>.safetensors``.
    """

    cut: float = option(help="least confidence of a detection", ge=0, le=1)
    tau: float = option(help="least score of what is known, of any score's range")
    wanted_tpr: float = option(help="share that was to be known", gt=0, le=1)
    reached_tpr: float = option(help="share that is known", ge=0, le=1)
    counts: dict[str, int] = option(help="of the fit")
    fitted_for: dict[str, Any] = option(help="whom it belongs to")
    source: dict[str, Any] = option(help="what it was fitted on")
    unknown: dict[str, Any] | None = option(None, help="words and threshold of unknown objects")
    fitted: dict[str, Any] | None = option(None, help="whose state lies beside the file")

    state: ClassVar[FittedState | None] = None

    def with_state(self, state: FittedState | None) -> Calibration:
        """The same with the state of a fitted score, which :meth:`save` writes beside the file."""
        made = self if state is None else dataclasses.replace(self, fitted=state.about)
        object.__setattr__(made, "state", state)
        return made

    def __post_init__(self) -> None:
        """Check what types do not tell.

        Raises:
            ValueError: something in the section ``unknown`` makes no sense.
        """
        super().__post_init__()
        if self.unknown is not None:
            UnknownCalibration.from_settings(self.unknown, "unknown", section=True)

    def save(self, path: str | os.PathLike) -> Path:
        """Write readable JSON, whole or not at all.

        Raises:
            OSError: the folder cannot be written.
        """
        target = check_file(path, "--out")
        if self.state is not None:
            self.state.save(state_path(target))
        write_json(target, dict(version=VERSION, **asdict(self)), indent=2)
        return target

    @classmethod
    def load(cls, path: str | os.PathLike) -> Calibration:
        """Read a file of :meth:`save`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no calibration file, or a number in it makes no sense.
        """
        where = f"calibration {str(path)!r}"
        if not Path(path).is_file():
            raise FileNotFoundError(f"{where} does not exist; make one with negas calibrate")
        again = "make it again with negas calibrate"
        data = read_json(path, again, where)
        names = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]
        missing = [n for n in ("version", *names) if not isinstance(data, dict) or n not in data]
        if missing:
            raise ValueError(f"{where} has no {missing[0]!r}, so it is no calibration; {again}")
        if data["version"] != VERSION:
            version = shown(data["version"])
            raise ValueError(f"{where} is of version {version}, not {VERSION}; {again}")
        try:
            found = cls.from_settings(data, where, ("version",))
        except ValueError as error:
            raise ValueError(f"{error}; {again}") from error
        if lost := set(_IDENTITY) - set(found.fitted_for):
            raise ValueError(f"{where}: fitted_for has no {sorted(lost)[0]!r}; {again}")
        if found.fitted is None:
            return found
        state = FittedState.load(state_path(path))
        if state.about != found.fitted:
            file = str(state_path(path))
            raise ValueError(f"state {file!r} is not the one that {where} was made with; {again}")
        return found.with_state(state)

    def check(self, current: Mapping[str, Any], where: str = "the calibration") -> None:
        """Make sure that it was fitted for this detector.

        Args:
            current: :func:`identity` of the detector.
            where: what to call it in the error.

        Raises:
            ValueError: it was fitted for another one.
        """
        pairs = [
            (_IDENTITY.get(key, f"another {key}"), self.fitted_for.get(key), current.get(key))
            for key in dict.fromkeys((*_IDENTITY, *self.fitted_for, *current))
            if key != "unknown"
        ]
        if self.unknown is not None and current.get("unknown"):
            old, new = self.unknown["fitted_for"], current["unknown"]
            pairs += [
                (f"another search for unknown objects ({key})", old.get(key), new.get(key))
                for key in dict.fromkeys((*old, *new))
            ]
        for name, old, new in pairs:
            if old != new:
                raise ValueError(
                    f"{where} was fitted for {name} ({_difference(old, new)}); fit one for this "
                    "detector with negas calibrate"
                )


def _plain(value: object) -> bool:
    """Whether JSON can hold it, so that it reads back the same."""
    return value is None or isinstance(value, bool | int | float | str)


def _difference(old: object, new: object) -> str:
    if isinstance(old, list) and isinstance(new, list):
        return first_difference(old, new)
    return f"{shown(old)} instead of {shown(new)}"
