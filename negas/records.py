"""Records of detections: what a detector leaves behind for scores, protocols and plots.

One record set = one data set seen by one detector. Every table can be computed from it without a
model. Shapes (numpy): N boxes, K ID labels, M negative labels, E embedding size.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from negas.files import check_names, parse_json
from negas.files.npz import read_npz, write_npz
from negas.from_detectors import FromDetectors
from negas.token_labels import against_tokens

# Names in a run: ID test, ID validation, and ID validation without unknown objects, from which
# only the threshold of unknown objects is taken; training images, on which scores may be fitted.
ID, ID_VAL, ID_VAL_CLEAN, ID_TRAIN = "id", "id_val", "id_val_clean", "id_train"
VALIDATION_SETS = (ID_VAL, ID_VAL_CLEAN, ID_TRAIN)  # ID sets that are not tested
ID_SETS = (ID, *VALIDATION_SETS)
SET_TITLES = {ID: "ID test", ID_VAL: "ID validation", ID_VAL_CLEAN: "ID validation, no unknowns"}
SET_TITLES |= {ID_TRAIN: "ID training"}
VERSION = 1
CHUNK = 16_384  # boxes scored at once: float64 copies stay in the cache and memory stays flat
_OPTIONAL = ("id_logits", "neg_logits", "embeddings", "query_inds")
_OPTIONAL += ("id_cosines", "neg_cosines", "agreement")
_AXES = dict(bboxes=2, labels=1, scores=1, id_logits=2, neg_logits=2)
_AXES |= dict(embeddings=2, query_inds=1, id_cosines=2, neg_cosines=2, agreement=1)
_NO_EMBEDDINGS = "these records hold no embeddings for {}; test again with embeddings kept."
_ARRAYS = ("image_ids", "bboxes", "labels", "scores", *_OPTIONAL, "images")
_PLACES = ("ann_file", "img_dir")  # of meta
_FOLDER = "working_dir"  # of meta in a file: where its relative places begin
_SURE = 1 - 2.0**-26  # nearer to 1 than any float32 below it: the logit of a confidence of 1


def check_set_names(names: Iterable[str]) -> None:
    """Names of OOD sets, which become files beside those of the ID sets.

    Raises:
        ValueError: one cannot be, or two are the same.
    """
    check_names(names, "ood_dataloaders: the set", (*ID_SETS, "text_feats", "score_head"))


@dataclass(frozen=True, eq=False)
class BoxRecords(FromDetectors):
    """The detections of one data set; :class:`~negas.from_detectors.FromDetectors` makes them.

    Attributes:
        image_ids: ``[N]``, integers or strings.
        bboxes: ``[N, 4]`` float32, xyxy in original-image pixels.
        labels: ``[N]`` int64, index into the ID labels.
        scores: ``[N]`` float32 in [0, 1], the confidence: largest sigmoid of the ID logits.
        id_logits: ``[N, K]`` float32, or ``None``: the detector tells its confidence only, and
            ``meta`` names the ID labels.
        neg_logits: ``[N, M]`` float32, or ``None``.
        embeddings: ``[N, E]`` float16 or float32, or ``None``: the logit of a box against any text
            embedding w (of length E - 1) is ``embeddings[:, :-1] @ w + embeddings[:, -1]``; that
            of a token, where labels are sets of tokens.
        id_cosines: ``[N, K]`` in [-1, 1], or ``None``: the mean cosine of a box and a label's
            tokens, where ID texts differ from image to image. ``neg_cosines`` ``[N, M]``: likewise.
        agreement: ``[N]`` in [0, 1], or ``None``: of neighbouring cells about the box, where boxes
            are those of cells (:func:`negas.unknown.agreement_of_neighbors`).
        images: ids of all images that were looked at, also those without a detection; by default
            the ids that occur in ``image_ids``.
        meta: what JSON can hold: data set name, ``id_labels``, ``neg_labels``, settings.
    """

    image_ids: np.ndarray
    bboxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    id_logits: np.ndarray | None = None
    neg_logits: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    query_inds: np.ndarray | None = None
    id_cosines: np.ndarray | None = None
    neg_cosines: np.ndarray | None = None
    agreement: np.ndarray | None = None
    images: np.ndarray | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)  # the dataclass is frozen

        images = self.image_ids if self.images is None else self.images
        put("image_ids", _ids("image_ids", self.image_ids))
        put("images", np.unique(_ids("images", images)))
        if not len(self.image_ids):  # an empty list has no type of its own
            put("image_ids", self.image_ids.astype(self.images.dtype))
        for name, ndim in _AXES.items():
            value = getattr(self, name)
            if value is not None:
                put(name, _array(name, value, _kind(name, value), ndim))
        self._validate()

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def num_ids(self) -> int:
        """K, the number of ID labels."""
        return len(self.meta["id_labels"]) if self.id_logits is None else self.id_logits.shape[1]

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file; parent folders are made, a half-written file never stays.

        Nothing is compressed: logits and embeddings hardly shrink, and take ten times as long.
        """
        meta = dict(self.meta)
        if any(not os.path.isabs(place) for place in map(meta.get, _PLACES) if place):
            meta[_FOLDER] = os.getcwd()
        arrays = {"version": np.array(VERSION), "meta": np.array(json.dumps(meta))}
        arrays |= {name: getattr(self, name) for name in _ARRAYS}
        present = {name: value for name, value in arrays.items() if value is not None}
        write_npz(path, present)

    @classmethod
    def load(cls, path: str | os.PathLike) -> BoxRecords:
        """Read a file of :meth:`save`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no record file, of another version, or a field does not fit.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such record file; write one with BoxRecords.save.")
        try:
            data = read_npz(path)
        except (ValueError, OSError) as error:
            raise ValueError(f"{path}: not a readable record file (.npz): {error}.") from error
        version = str(data.pop("version", None))[:20]
        if version != str(VERSION):
            raise ValueError(
                f"{path}: record format version {version}, this code reads version {VERSION}; "
                f"write the file again."
            )
        required = {"meta", *_ARRAYS} - set(_OPTIONAL)
        if missing := sorted(required - set(data)):
            raise ValueError(f"{path}: the field {missing[0]!r} is missing; write the file again.")
        try:
            meta = _from_here(parse_json(str(data.pop("meta")), "its meta"))
            return cls(**{name: data.get(name) for name in _ARRAYS}, meta=meta)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def select(self, mask: np.ndarray) -> BoxRecords:
        """Keep the boxes of a boolean mask ``[N]``, or of indices; ``images`` stay as they are."""
        mask = np.asarray(mask)
        if mask.dtype == bool and mask.shape != (len(self),):
            raise ValueError(f"the mask must have the shape ({len(self)},), got {mask.shape}.")
        index = np.flatnonzero(mask) if mask.dtype == bool else mask.astype(np.int64)
        kept = {name: getattr(self, name) for name in _ARRAYS if name != "images"}
        return replace(self, **{name: None if v is None else v[index] for name, v in kept.items()})

    def with_neg_logits(
        self, neg_logits: np.ndarray | None, neg_labels: Sequence[str] | None = None
    ) -> BoxRecords:
        """The same boxes with other negative logits ``[N, M]`` (and their labels in ``meta``)."""
        meta = {key: value for key, value in self.meta.items() if key != "neg_labels"}
        if neg_labels is not None:
            meta["neg_labels"] = list(neg_labels)
        return self._but(neg_logits=neg_logits, neg_cosines=None, meta=meta)

    def select_negatives(self, keep: Sequence[int]) -> BoxRecords:
        """The same boxes with some of the negative labels only, by column."""
        columns = list(keep)
        labels = self.meta.get("neg_labels")
        names = None if labels is None else [labels[i] for i in columns]
        cosines = None if self.neg_cosines is None else self.neg_cosines[:, columns]
        return self.with_neg_logits(self.neg_logits[:, columns], names)._but(neg_cosines=cosines)

    def rescore(
        self, neg_text_feats: np.ndarray, neg_labels: Sequence[str] | None = None
    ) -> BoxRecords:
        """Negative logits of another bank, from the stored embeddings.

        Args:
            neg_text_feats: ``[M, E - 1]`` text embeddings, normalised as the detector expects; or
                ``[M, T, E - 1]`` token embeddings, rows of NaN where a label has fewer tokens.
            neg_labels: their M names.

        Raises:
            ValueError: the records hold no embeddings, or of another size.
        """
        if self.embeddings is None:
            raise ValueError(_NO_EMBEDDINGS.format("negative logits of another bank"))
        feats = np.asarray(neg_text_feats, dtype=np.float32)
        size = self.embeddings.shape[1] - 1
        if feats.ndim not in (2, 3) or feats.shape[-1] != size:
            raise ValueError(
                f"neg_text_feats must have the shape [M, {size}] or [M, T, {size}], "
                f"got {feats.shape}."
            )
        embeddings = self.embeddings.astype(np.float32, copy=False)
        if feats.ndim == 3:
            logits, cosines = against_tokens(embeddings, feats, self.meta.get("token_reduce"))
            return self.with_neg_logits(logits, neg_labels)._but(neg_cosines=cosines)
        logits = embeddings[:, :-1] @ feats.T + embeddings[:, -1:]
        return self.with_neg_logits(logits, neg_labels)

    def as_cosines(self) -> BoxRecords:
        """The same boxes with cosines of region and text embeddings in place of logits.

        Recorded ones, or logits (without the bias) over the length of the region embedding, in
        [-1, 1]: YOLO-World's batch-normalised head has no cosine of its own.

        Raises:
            ValueError: the records hold no embeddings.
        """
        if self.embeddings is None:
            raise ValueError(_NO_EMBEDDINGS.format("cosines"))
        if self.id_cosines is not None:
            if self.neg_cosines is None and self.neg_logits is not None:
                raise ValueError("negative logits without cosines: rescore the records first")
            return self._but(id_logits=self.id_cosines, neg_logits=self.neg_cosines)
        length = self._lengths
        bias = self.embeddings[:, -1:].astype(np.float32)
        neg = None if self.neg_logits is None else (self.neg_logits - bias) / length
        return self._but(id_logits=(self.id_logits - bias) / length, neg_logits=neg)

    def score_with(
        self,
        score: Callable[[np.ndarray, np.ndarray | None, np.ndarray | None], np.ndarray],
        rows: np.ndarray | None = None,
    ) -> np.ndarray:
        """Scores ``[n]``, float64, of the rows (by default of all boxes), larger = known.

        Args:
            score: what :func:`negas.scores.get_score` gives.
            rows: indices ``[n]``; a box may occur more than once.

        Raises:
            ValueError: the score needs logits, negatives or embeddings that these records lack.
        """
        rows = np.arange(len(self)) if rows is None else rows
        values = np.empty(len(rows))
        if self.id_logits is None and getattr(score, "needs_logits", True):
            raise ValueError(
                f"the score {getattr(score, 'name', score)!r} needs ID logits [N, K], and "
                "these records hold confidences only; choose max_sigmoid, or make records "
                "with id_logits (BoxRecords.from_detections)."
            )
        embeddings = self.embeddings if getattr(score, "needs_embeddings", True) else None
        inputs = [self.best_logits, self.neg_logits, embeddings]
        if getattr(score, "needs_fit", False):
            inputs.append(self.image_keys)  # a box of the fit set is judged without its image
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            cut = [None if each is None else each[part] for each in inputs]
            values[start : start + CHUNK] = score(*cut)
        return values

    @property
    def best_logits(self) -> np.ndarray:
        """``[N, K]``; ``[N, 1]``, the best label's alone, where there are confidences only."""
        if self.id_logits is not None:
            return self.id_logits
        sure = self.scores.astype(np.float64).clip(np.finfo(np.float64).tiny, _SURE)
        return np.log(sure / (1 - sure))[:, None]

    @cached_property
    def image_keys(self) -> np.ndarray:
        """``[N]`` int64: image ids that no image of other annotations has, in any run.

        Annotations are told apart by the names of their file and its folder, wherever that lies.
        """
        home = "/".join(Path(self.meta.get("ann_file") or self.meta.get("set") or "").parts[-2:])
        images, place = np.unique(self.image_ids, return_inverse=True)
        digests = [blake2b(f"{home} {one}".encode(), digest_size=8) for one in images.tolist()]
        keys = [int.from_bytes(each.digest(), "big", signed=True) for each in digests]
        return np.array(keys, dtype=np.int64)[place]

    @cached_property
    def _lengths(self) -> np.ndarray:
        """Of the region embeddings, ``[N, 1]``."""
        regions = self.embeddings[:, :-1].astype(np.float32)
        return np.linalg.norm(regions, axis=1, keepdims=True).clip(min=1e-12)

    def _but(self, **changes: Any) -> BoxRecords:
        """As ``replace``, for logits and meta of the same boxes, which are not checked again."""
        made = copy.copy(self)
        for name, value in changes.items():
            if name in _AXES and value is not None:
                value = _array(name, value, _kind(name, value), _AXES[name])
            object.__setattr__(made, name, value)
        made._check_columns()
        return made

    def _validate(self) -> None:
        self._check_columns()
        if self.bboxes.shape[1] != 4:
            raise ValueError(f"records: bboxes must be [N, 4] xyxy, got {self.bboxes.shape}.")
        for name, wrong in (
            ("scores must lie in [0, 1]", (self.scores < 0) | (self.scores > 1)),
            ("bboxes must be xyxy", (self.bboxes[:, 2:] < self.bboxes[:, :2]).any(1)),
        ):
            if wrong.any():
                row = int(wrong.argmax())
                value = getattr(self, name.split()[0])[row].tolist()
                raise ValueError(f"records: {name}, got {value} in row {row}.")
        if len(self) and not (0 <= self.labels.min() and self.labels.max() < self.num_ids):
            raise ValueError(
                f"records: labels must lie in 0..{self.num_ids - 1} (there are {self.num_ids} ID "
                f"labels), got {self.labels.min()}..{self.labels.max()}."
            )
        if self.image_ids.dtype.kind != self.images.dtype.kind:
            raise ValueError("records: image_ids and images must both be integers or both strings.")
        unlisted = np.setdiff1d(self.image_ids, self.images)
        if len(unlisted):
            raise ValueError(f"records: image {unlisted[0]!r} has boxes but is not in images.")

    def _check_columns(self) -> None:
        """Rows by boxes, columns by labels."""
        for name in _ARRAYS:
            value = getattr(self, name)
            if value is not None and name != "images" and len(value) != len(self):
                raise ValueError(
                    f"records: {name} has {len(value)} rows, expected {len(self)} as in scores."
                )
        self._check_meta()
        if self.id_logits is None and not self.meta.get("id_labels"):
            raise ValueError(
                "records without id_logits need meta['id_labels'], the ID label names."
            )
        for key, logits in (("id_labels", self.id_logits), ("neg_labels", self.neg_logits)):
            names = self.meta.get(key)
            if names is not None and logits is not None and len(names) != logits.shape[1]:
                raise ValueError(
                    f"records: meta[{key!r}] has {len(names)} names for {logits.shape[1]} columns "
                    f"of logits."
                )

    def _check_meta(self) -> None:
        """What scoring and reports rely on: lists of names, texts."""
        if not isinstance(self.meta, dict):
            raise ValueError(
                f"its meta cannot be read: it must be an object, got {self.meta!r:.60}"
            )
        for key in ("id_labels", "neg_labels", "set", *_PLACES, _FOLDER):
            value, many = self.meta.get(key), key.endswith("labels")
            if value is None:
                continue
            names = value if many else [value]
            if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
                raise ValueError(
                    f"its meta cannot be read: meta[{key!r}] must be "
                    f"{'a list of names' if many else 'a text'}, got {value!r:.60}"
                )


def _from_here(meta: object) -> object:
    """What a file's meta says, with places that hold in the working directory, too."""
    if not isinstance(meta, dict) or not isinstance(meta.get(_FOLDER), str):
        return meta
    folder = meta.pop(_FOLDER)
    for key in _PLACES if folder != os.getcwd() else ():
        place = meta.get(key)
        if (
            place
            and isinstance(place, str)
            and os.path.exists(there := os.path.join(folder, place))
        ):
            meta[key] = str(Path(there))
    return meta


def _ids(name: str, values: object) -> np.ndarray:
    array = np.asarray(values)
    if array.size == 0 and array.dtype.kind not in "iuU":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iuU" or array.ndim != 1:
        raise ValueError(
            f"records: {name} must be a list of integers or of strings, "
            f"got {array.dtype} of the shape {array.shape}."
        )
    return array if array.dtype.kind == "U" else array.astype(np.int64)


def _kind(name: str, values: object) -> type:
    if name == "embeddings" and np.asarray(values).dtype == np.float16:
        return np.float16  # half the disk space, for those who want it
    return np.int64 if name in ("labels", "query_inds") else np.float32


def _array(name: str, values: object, dtype: type, ndim: int) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != ndim:
        raise ValueError(f"records: {name} must have {ndim} axes, got the shape {array.shape}.")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"records: {name} must hold numbers, got {array.dtype}.")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = np.argwhere(~np.isfinite(array))[0][0]
        raise ValueError(f"records: {name} holds NaN or infinity in row {row}.")
    return array
