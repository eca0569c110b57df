"""What an exported file says about itself, in ONNX' ``metadata_props``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from .letterbox import Letterbox

PREFIX = "negas."


@dataclass(frozen=True)
class Metadata:
    """All that a file needs to be used and traced back.

    Attributes:
        version: of negas.
        detector: class of the detector.
        mode: ``baked``: labels are fixed; ``open``: embeddings of others may be given.
        class_names: ID labels, which ``labels`` index.
        neg_labels: negative labels, which ``unknown_like`` indexes.
        template: phrase around a name.
        score: name of the OOD score.
        score_options: of it.
        score_thr: least confidence of a row.
        tau: a row is known iff its ``id_scores`` is at least this; ``None``: no verdict.
        calibration: its ``file`` and ``sha256`` (if it was read from one), share wanted and
            reached, and on how many images and detections; ``source``: which set and bank, as
            names of files with their ``sha256``; ``None``: tau and cut were chosen by hand.
        letterbox: how a picture becomes the input.
        weights_sha256: of the checkpoint.
        base_sha256: of the full weights under a checkpoint of trained parameters.
        bank_sha256: of the file of negative labels; ``None``: they come from elsewhere.
        unknown: how unknown objects are found: ``words``, which ``object_like`` indexes, their
            ``words_sha256``, whether ``score_thr`` is ``calibrated``, and the other numbers of
            :class:`negas.unknown.UnknownOptions`, ``id_score_thr`` being ``None`` where that is
            ``score_thr`` of the ID boxes; ``None``: the file finds none.
    """

    version: str
    detector: str
    mode: Literal["baked", "open"]
    class_names: tuple[str, ...]
    neg_labels: tuple[str, ...]
    template: str
    score: str
    score_options: dict[str, Any]
    score_thr: float
    tau: float | None
    calibration: dict[str, Any] | None
    letterbox: Letterbox
    weights_sha256: str
    base_sha256: str | None
    bank_sha256: str | None
    unknown: dict[str, Any] | None

    def props(self) -> dict[str, str]:
        """As strings, each field as JSON."""
        return {PREFIX + key: json.dumps(value) for key, value in asdict(self).items()}

    @classmethod
    def of_props(cls, props: Mapping[str, str], where: str) -> Metadata:
        """Back from strings.

        Args:
            props: of the file; others are passed over.
            where: what to call the file in errors.

        Raises:
            ValueError: something is missing.
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if PREFIX + name not in props]
        if missing:
            raise ValueError(
                f"{where} says no {missing[0]!r} about itself, so it is no file of this version of "
                "negas export; export the detector again"
            )
        found = {name: json.loads(props[PREFIX + name]) for name in names}
        box = found["letterbox"]
        box |= {key: tuple(box[key]) for key in ("size", "fit", "fill")}
        found["letterbox"] = Letterbox(**box)
        found |= {key: tuple(found[key]) for key in ("class_names", "neg_labels")}
        return cls(**found)
