"""An exported detector on pictures: ``Detector("model.onnx")("street.jpg")``."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from negas.pictures import read_rgb
from negas.predictions import Results
from negas.text import UNKNOWN_LABEL, UNKNOWN_NAME, shown

from .letterbox import Place
from .metadata import Metadata
from .session import load_session
from .words import Words

Picture = str | os.PathLike | Image.Image | np.ndarray


class Detector:
    """Boxes of pictures with their verdicts, by ONNX Runtime alone.

    >>> detector = Detector("model.onnx")  # doctest: +SKIP
    >>> results = detector("street.jpg")  # doctest: +SKIP
    >>> results[results.known == False]  # doctest: +SKIP

    Args:
        path: file of ``negas export``.
        providers: of ONNX Runtime; ``None``: the CPU.
        threads: of an operator; ``None``: ONNX Runtime's choice.

    Attributes:
        about: what the file says about itself.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no exported detector.
        ImportError: ONNX Runtime is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{str(path)!r} does not exist; make it with negas export")
        self.session = load_session(self.path, providers, threads)
        where = f"exported detector {str(path)!r}"
        props = self.session.get_modelmeta().custom_metadata_map
        self.about = Metadata.of_props(props, where)
        self.outputs = [output.name for output in self.session.get_outputs()]
        self._tau, self._score_thr = self.about.tau, self.about.score_thr
        self._unknown_thr = (self.about.unknown or {}).get("score_thr")
        self._texts: dict[str, np.ndarray] = {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """ID labels."""
        return self.about.class_names

    @property
    def neg_labels(self) -> tuple[str, ...]:
        """Negative labels."""
        return self.about.neg_labels

    @property
    def words(self) -> tuple[str, ...]:
        """The vocabulary by which unknown objects are found; empty: none are."""
        return tuple((self.about.unknown or {}).get("words", ()))

    def set_labels(self, classes: Sequence[str], negatives: Sequence[str] = ()) -> None:
        """Other words, for a file of the mode ``open``.

        Tau and the threshold of unknown objects were fitted for the words before and go: set them.
        Words of the vocabulary that name a class, by WordNet, find none.

        Args:
            classes: ID names.
            negatives: negative words; none only if the file was made without.

        Raises:
            ValueError: the file takes no other words, or these are not sound.
            FileNotFoundError: its text encoder is not beside it.
            ImportError: tokenizers is not installed.
        """
        if self.about.mode != "open":
            raise ValueError(
                f"{str(self.path)!r} has its labels inside; export it with --mode open for others"
            )
        if not classes:
            raise ValueError("classes: no names; give at least one")
        if bool(negatives) != bool(self.neg_labels):
            needs = "needs negatives" if self.neg_labels else "was made without negatives"
            raise ValueError(f"{str(self.path)!r} {needs}; give words accordingly")
        words = Words(self.path, self.about.template)
        texts = dict(id_embeddings=words(classes))
        if negatives:
            texts["neg_embeddings"] = words(negatives)
        if self.words:
            from negas.labels import Vocabulary

            left = set(Vocabulary(self.words).without(classes).words)
            texts["words"] = np.array([word in left for word in self.words])
        self._texts, self._tau, self._unknown_thr = texts, None, None
        unknown = self.about.unknown and self.about.unknown | dict(calibrated=False)
        self.about = replace(
            self.about,
            class_names=tuple(classes),
            neg_labels=tuple(negatives),
            tau=None,
            calibration=None,
            bank_sha256=None,
            unknown=unknown,
        )

    @property
    def tau(self) -> float | None:
        """A box is known iff its score is at least this; ``None``: no verdict. Can be set."""
        return self._tau

    @tau.setter
    def tau(self, value: float | None) -> None:
        if value is not None and not math.isfinite(value):
            raise ValueError(f"tau must be a finite number or None, got {shown(value)}")
        self._tau = None if value is None else float(value)

    @property
    def score_thr(self) -> float:
        """Least confidence of a box. Can be raised; the file has no boxes below its own.

        Raises:
            ValueError: when set below the file's.
        """
        return self._score_thr

    @score_thr.setter
    def score_thr(self, value: float) -> None:
        least = self.about.score_thr
        if not least <= value <= 1:
            raise ValueError(
                f"score_thr must lie in [{least}, 1], got {shown(value)}: boxes below are not in "
                "the file; export it again with a lower --score-thr"
            )
        self._score_thr = float(value)

    @property
    def unknown_thr(self) -> float | None:
        """Least score of an unknown object; ``None``: none are given. Can be set.

        Raises:
            ValueError: when set below the file's, or the file finds none.
        """
        return self._unknown_thr

    @unknown_thr.setter
    def unknown_thr(self, value: float | None) -> None:
        if value is not None and self.about.unknown is None:
            raise ValueError(
                f"{str(self.path)!r} finds no unknown objects; export it again with --unknown"
            )
        if value is not None and not (least := self.about.unknown["score_thr"]) <= value < 1:
            raise ValueError(
                f"unknown_thr must lie in [{least}, 1), got {shown(value)}: objects below are not "
                "in the file; export it again with a lower --unknown-thr"
            )
        self._unknown_thr = None if value is None else float(value)

    def __call__(self, pictures: Picture | Sequence[Picture]) -> Results | list[Results]:
        """Detect and judge.

        Args:
            pictures: a file, a Pillow image, or an array [H, W, 3] of uint8 in OpenCV's order
                (BGR); or a list of these, which is one batch.

        Returns:
            The results of the picture, or of each of the list.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no readable picture.
        """
        if isinstance(pictures, list | tuple):
            return self._batch(pictures)
        return self._batch([pictures])[0]

    def _batch(self, pictures: Sequence[Picture]) -> list[Results]:
        if not pictures:
            return []
        prepared = [self.about.letterbox(_opened(one)) for one in pictures]
        found = self.run(
            np.stack([pixels for pixels, _ in prepared]), [place for _, place in prepared]
        )
        names = [
            os.fspath(one) if isinstance(one, str | os.PathLike) else f"{i:08d}.png"
            for i, one in enumerate(pictures)
        ]
        return [
            self._results({key: values[i] for key, values in found.items()}, place, name, one)
            for i, (name, one, (_, place)) in enumerate(zip(names, pictures, prepared, strict=True))
        ]

    def run(
        self, images: np.ndarray, places: Sequence[Place] | None = None
    ) -> dict[str, np.ndarray]:
        """What the file gives.

        Args:
            images: RGB, uint8, [B, 3, h, w], of the size that the file takes.
            places: of the pictures in them; ``None``: pictures fill them.
        """
        given = dict(images=images, **self._texts)
        if places is not None and self.words:
            given["places"] = np.array([place.row() for place in places], np.float32)
        found = self.session.run(None, given)
        return dict(zip(self.outputs, found, strict=True))

    def judge_pixels(self, pixels: np.ndarray, place: Place) -> Results:
        """Detections of an input as it is.

        Args:
            pixels: RGB, uint8, [3, h, w], of the size that the file takes.
            place: where the picture lies in it.
        """
        rows = {key: values[0] for key, values in self.run(pixels[None], [place]).items()}
        return self._results(rows, place, "input", pixels)

    def _results(
        self, rows: dict[str, np.ndarray], place: Place, name: str, picture: Picture
    ) -> Results:
        objects = self._objects(rows)
        keep = (rows["labels"] >= 0) & (rows["scores"] >= np.float32(self.score_thr))
        rows = {key: values[keep] for key, values in rows.items() if not key.startswith("object_")}
        if self.tau is None:
            known: Any = [None] * keep.sum()
            order = np.argsort(-rows["id_scores"], kind="stable")  # as the Inferencer gives them
            rows = {key: values[order] for key, values in rows.items()}
        elif self.tau == self.about.tau:
            known = rows["known"].tolist()
        else:
            known = (rows["id_scores"] >= self.tau).tolist()
        like: Any = [None] * keep.sum()
        if "unknown_like" in rows:
            like = [self.neg_labels[i] for i in rows["unknown_like"]]
        like_score = rows.get("unknown_like_score", np.full(keep.sum(), np.nan))
        count = len(objects["scores"])
        boxes = np.concatenate([rows["boxes"], objects["boxes"]])
        return Results(
            boxes=self.about.letterbox.restore(boxes, place),
            labels=[*rows["labels"], *[UNKNOWN_LABEL] * count],
            names=[*(self.class_names[i] for i in rows["labels"]), *[UNKNOWN_NAME] * count],
            confidence=np.concatenate([rows["scores"], objects["scores"]]),
            id_score=np.concatenate([rows["id_scores"], np.full(count, np.nan)]),
            known=[*known, *[False] * count],
            unknown_like=[*like, *(self.words[i] for i in objects["like"])],
            unknown_like_score=np.concatenate([like_score, objects["like_score"]]),
            class_names=self.class_names,
            file_name=name,
            size=place.size,
            is_file=isinstance(picture, str | os.PathLike),
        )

    def _objects(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Unknown objects: the file's own, or as thresholds that were raised have them."""
        own = {
            key.removeprefix("object_"): values
            for key, values in rows.items()
            if key.startswith("object_")
        }
        if self.unknown_thr is None:
            return dict(boxes=np.zeros((0, 4)), scores=[], like=[], like_score=[])
        about = self.about.unknown
        keep = own["mask"]
        if about["id_score_thr"] is None and self.score_thr > self.about.score_thr:
            # ID boxes that are not shown any more hide nothing
            free = (own["like"] >= 0) & (own["under"] < np.float32(self.score_thr))
            keep = free & (free.cumsum() <= about["max_per_img"])
        keep = keep & (own["scores"] >= np.float32(self.unknown_thr))
        return {key: values[keep] for key, values in own.items()}


def _opened(picture: Picture) -> Image.Image:
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
            raise ValueError(
                f"an array must be uint8 [H, W, 3], got {picture.dtype} {list(picture.shape)}"
            )
        return Image.fromarray(np.ascontiguousarray(picture[..., ::-1]))
    return picture if isinstance(picture, Image.Image) else read_rgb(picture)
