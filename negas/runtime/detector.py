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
from negas.text import shown

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
        self._texts: dict[str, np.ndarray] = {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """ID labels."""
        return self.about.class_names

    @property
    def neg_labels(self) -> tuple[str, ...]:
        """Negative labels."""
        return self.about.neg_labels

    def set_labels(self, classes: Sequence[str], negatives: Sequence[str] = ()) -> None:
        """Other words, for a file of the mode ``open``.

        Tau was fitted for the words before and goes: set one.

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
        self._texts, self._tau = texts, None
        self.about = replace(
            self.about,
            class_names=tuple(classes),
            neg_labels=tuple(negatives),
            tau=None,
            calibration=None,
            bank_sha256=None,
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
        found = self.run(np.stack([pixels for pixels, _ in prepared]))
        names = [
            os.fspath(one) if isinstance(one, str | os.PathLike) else f"{i:08d}.png"
            for i, one in enumerate(pictures)
        ]
        return [
            self._results({key: values[i] for key, values in found.items()}, place, name, one)
            for i, (name, one, (_, place)) in enumerate(zip(names, pictures, prepared, strict=True))
        ]

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the file gives.

        Args:
            images: RGB, uint8, [B, 3, h, w], of the size that the file takes.
        """
        found = self.session.run(None, dict(images=images, **self._texts))
        return dict(zip(self.outputs, found, strict=True))

    def judge_pixels(self, pixels: np.ndarray, place: Place) -> Results:
        """Detections of an input as it is.

        Args:
            pixels: RGB, uint8, [3, h, w], of the size that the file takes.
            place: where the picture lies in it.
        """
        rows = {key: values[0] for key, values in self.run(pixels[None]).items()}
        return self._results(rows, place, "input", pixels)

    def _results(
        self, rows: dict[str, np.ndarray], place: Place, name: str, picture: Picture
    ) -> Results:
        keep = (rows["labels"] >= 0) & (rows["scores"] >= np.float32(self.score_thr))
        rows = {key: values[keep] for key, values in rows.items()}
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
        return Results(
            boxes=self.about.letterbox.restore(rows["boxes"], place),
            labels=rows["labels"],
            names=[self.class_names[i] for i in rows["labels"]],
            confidence=rows["scores"],
            id_score=rows["id_scores"],
            known=known,
            unknown_like=like,
            unknown_like_score=rows.get("unknown_like_score", np.full(keep.sum(), np.nan)),
            class_names=self.class_names,
            file_name=name,
            size=place.size,
            is_file=isinstance(picture, str | os.PathLike),
        )


def _opened(picture: Picture) -> Image.Image:
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
            raise ValueError(
                f"an array must be uint8 [H, W, 3], got {picture.dtype} {list(picture.shape)}"
            )
        return Image.fromarray(np.ascontiguousarray(picture[..., ::-1]))
    return picture if isinstance(picture, Image.Image) else read_rgb(picture)
