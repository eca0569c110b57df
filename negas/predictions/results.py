"""The detections of one picture with their verdicts.

This file imports numpy alone; a method that makes another library's object imports that library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any

import numpy as np

_COLUMNS = (
    "boxes",
    "labels",
    "names",
    "confidence",
    "id_score",
    "known",
    "unknown_like",
    "unknown_like_score",
)


@dataclass(frozen=True)
class Detection:
    """One row of :class:`Results`, in Python's own types; None stands for NaN.

    Attributes:
        box: xyxy in pixels.
    """

    box: tuple[float, float, float, float]
    label: int
    name: str
    confidence: float
    id_score: float | None
    known: bool | None
    unknown_like: str | None
    unknown_like_score: float | None


@dataclass(frozen=True, eq=False)
class Results:
    """What a detector says about one picture: n boxes of ID names, then unknown objects.

    ``len``, iteration (:class:`Detection`), ``results[3]`` and, for a part of them,
    ``results[results.known == True]`` or any other mask, slice or list of indices.

    Attributes:
        boxes: ``[n, 4]`` float32, xyxy in pixels of the picture.
        labels: ``[n]`` int64, the class that a box was taken for, an index into ``class_names``;
            -1 for an object that no class fires on.
        names: ``[n]`` texts, the names of the labels; ``unknown`` for such an object.
        confidence: ``[n]`` float32 in [0, 1]; of unknown objects their own score.
        id_score: ``[n]`` float32, the OOD score, larger = known; NaN for unknown objects, and where
            the detector gives none.
        known: ``[n]`` of True, False or None: there is no verdict. Unknown objects are False.
        unknown_like: ``[n]`` of a text or None: the nearest negative label, of unknown objects the
            nearest word of the vocabulary.
        unknown_like_score: ``[n]`` float32, its sigmoid; NaN without one.
        class_names: the K ID names.
        file_name: path or address of the picture; of an array, the name of its painted copy.
        size: width and height in pixels.
        frame: index in a video; ``None``: it is no frame.
        is_file: whether ``file_name`` names a file.
    """

    boxes: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    confidence: np.ndarray
    id_score: np.ndarray
    known: np.ndarray
    unknown_like: np.ndarray
    unknown_like_score: np.ndarray
    class_names: tuple[str, ...]
    file_name: str
    size: tuple[int, int]
    frame: int | None = None
    is_file: bool = True

    def __post_init__(self) -> None:
        """Bring columns into their types.

        Raises:
            ValueError: columns have different lengths.
        """
        kinds = dict(boxes=np.float32, labels=np.int64, names=object, known=object)
        kinds |= dict(unknown_like=object)
        for key in _COLUMNS:
            value = np.array(getattr(self, key), dtype=kinds.get(key, np.float32))
            object.__setattr__(self, key, value.reshape(-1, 4) if key == "boxes" else value)
            if len(getattr(self, key)) != len(self.boxes):
                raise ValueError(
                    f"Results: {key} has {len(getattr(self, key))} entries for {len(self.boxes)} "
                    "boxes"
                )
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "size", tuple(int(side) for side in self.size))

    # --- rows ---------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Detection]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> Detection | Results:
        if isinstance(index, int | np.integer):
            row = {key: getattr(self, key)[index] for key in _COLUMNS}
            return Detection(
                tuple(row["boxes"].tolist()),
                int(row["labels"]),
                row["names"],
                float(row["confidence"]),
                _or_none(row["id_score"]),
                row["known"],
                row["unknown_like"],
                _or_none(row["unknown_like_score"]),
            )
        rows = index if isinstance(index, slice) else np.asarray(index)
        if not isinstance(rows, slice) and not rows.size:
            rows = rows.astype(bool if rows.dtype == bool else np.int64)
        return replace(self, **{key: getattr(self, key)[rows] for key in _COLUMNS})

    def __str__(self) -> str:
        found = self.labels < 0
        verdicts = [
            f"{sum(self.known[~found] == verdict)} {word}"
            for verdict, word in ((True, "known"), (False, "unknown"))
        ]
        judged = all(verdict is not None for verdict in self.known[~found])
        count, more = sum(~found), sum(found)
        parts = [f"{count} box{'' if count == 1 else 'es'}"]
        if not found.all():
            parts += verdicts if judged else ["no verdict"]
        objects = f", {more} unknown object{'' if more == 1 else 's'}" if more else ""
        return f"{self.file_name}: {', '.join(parts)}{objects}"

    # --- plain values -------------------------------------------------------------------------
    def record(self) -> dict[str, Any]:
        """All of it as JSON can hold it; :meth:`of_record` reads it back."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        for key in _COLUMNS:
            row[key] = row[key].tolist()
        for key in ("id_score", "unknown_like_score"):
            row[key] = [_or_none(value) for value in row[key]]
        return row | dict(class_names=list(self.class_names), size=list(self.size))

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Results:
        """From what :meth:`record` gave.

        Raises:
            TypeError: a field is missing, or there is another.
            ValueError: columns have different lengths.
        """
        return cls(**record)

    # --- other people's tools -----------------------------------------------------------------
    def to_coco(
        self,
        ann_file: Any,
        unknown_category_id: int | str | None = None,
        image_id: int | str | None = None,
    ) -> list[dict[str, Any]]:
        """COCO results with the ids of a json, as pycocotools' ``loadRes`` takes them.

        Boxes have the category of their label, also those flagged unknown: ``known``,
        ``id_score``, ``unknown_like`` stand beside.

        Args:
            ann_file: path of the COCO json; or its content, or a ``COCO`` object.
            unknown_category_id: of unknown objects; ``None``: they are left out.
            image_id: of the picture; ``None``: the one whose ``file_name`` is the end of its path.

        Raises:
            FileNotFoundError: there is no such json.
            ValueError: it is none, has not this picture, another size of it, or not a class.
        """
        from .coco import CocoIds

        return CocoIds.of(ann_file).rows(self, unknown_category_id, image_id)

    def to_supervision(self) -> Any:
        """``supervision.Detections``, with the other columns in its ``data``.

        ``known`` is an array of bool where all have a verdict. Unknown objects have the class id K.

        Raises:
            ImportError: supervision is not installed.
        """
        sv = _library("supervision")
        judged = all(verdict is not None for verdict in self.known)
        data = dict(
            class_name=self.names.astype(str),
            known=self.known.astype(bool) if judged else self.known.copy(),
            id_score=self.id_score.copy(),
            unknown_like=self.unknown_like.copy(),
            unknown_like_score=self.unknown_like_score.copy(),
        )
        return sv.Detections(
            xyxy=self.boxes.copy(),
            confidence=self.confidence.copy(),
            class_id=np.where(self.labels < 0, len(self.class_names), self.labels),
            data=data,
        )

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``, a row per detection; its ``known`` may be ``<NA>``.

        Raises:
            ImportError: pandas is not installed.
        """
        pd = _library("pandas")
        columns: dict[str, Any] = dict(image=[self.file_name] * len(self))
        if self.frame is not None:
            columns["frame"] = self.frame
        columns |= dict(zip(("x1", "y1", "x2", "y2"), self.boxes.T, strict=True))
        columns |= {key: getattr(self, key) for key in _COLUMNS[1:]}
        table = pd.DataFrame(columns)
        return table.astype(dict(known="boolean", names=object)).rename(
            columns=dict(labels="label", names="name")
        )

    def to_fiftyone(self) -> dict[str, Any]:
        """FiftyOne's ``Detections`` in its JSON form, for ``fo.Detections.from_dict``.

        FiftyOne need not be installed.
        """
        from .fiftyone import detections

        return detections(self)

    def to_label_studio(self, prefix: str | None = None) -> dict[str, Any]:
        """A Label Studio task whose pre-annotations are the boxes that are unknown.

        Args:
            prefix: in front of the file name, to make the address that Label Studio loads it from;
                ``None``: its local file storage.
        """
        from .label_studio import task

        return task(self) if prefix is None else task(self, prefix)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _library(name: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(f"{name} is not installed; pip install {name}") from error
