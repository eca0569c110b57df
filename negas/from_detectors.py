"""Records from the output of any detector; no detector's package is imported.

Outputs are read by the attributes that their libraries document. Shapes: n boxes of an image, K ID
labels, M negative labels, E embedding size.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from negas.coco_json import check_coco, check_images
from negas.files import read_json
from negas.text import listed, shown

if TYPE_CHECKING:
    from typing import Self

FIELDS = ("bboxes", "labels", "scores")
MORE = ("id_logits", "neg_logits", "embeddings", "id_cosines", "neg_cosines", "agreement")
_AXES = dict.fromkeys(("labels", "scores", "query_inds", "agreement"), 1)  # the others have two
_NO_CLASS = ("__background__", "N/A")  # torchvision's list of COCO's classes


class FromDetectors:
    """Constructors of :class:`negas.records.BoxRecords`.

    All take what belongs to a data set, too: ``ann_file``, its COCO json, which metrics and reports
    read again, and ``img_dir``, the folder of its images, for pictures.

    With an ``ann_file``, images may be named by their ``file_name`` (or a path that ends with it)
    in place of their id, and each image of the json must be there: where nothing was found, say so
    with empty arrays.

    ``id_logits`` are optional. Without them records hold confidences, and of all scores only
    ``max_sigmoid`` can be computed, which is then the confidence itself. Probabilities of all
    labels are logits by ``np.log(p / (1 - p))``.
    """

    @classmethod
    def from_detections(
        cls,
        detections: Iterable[Mapping[str, Any]],
        id_labels: Sequence[str],
        *,
        neg_labels: Sequence[str] | None = None,
        ann_file: str | os.PathLike | None = None,
        img_dir: str | os.PathLike | None = None,
    ) -> Self:
        """From plain arrays, tensors or lists.

        Args:
            detections: one mapping for every image that was looked at: ``image_id``, ``bboxes``
                ``[n, 4]`` (xyxy in original-image pixels), ``labels`` ``[n]`` (indices into
                ``id_labels``, or names), ``scores`` ``[n]`` (confidences in [0, 1]), and, for all
                images or for none, ``id_logits`` ``[n, K]``, ``neg_logits`` ``[n, M]``,
                ``embeddings`` ``[n, E]``.
            id_labels: the K names.
            neg_labels: the M names.
            ann_file: COCO json of the set.
            img_dir: folder of its images.

        Raises:
            ValueError: an image lacks a field, has no place in the json, or comes twice; boxes are
                no pixels; or what :class:`negas.records.BoxRecords` refuses.
            FileNotFoundError: there is no such json.
        """
        names = _labels(id_labels)
        ids: list[int | str] = []
        parts: list[dict[str, np.ndarray]] = []
        for index, detection in enumerate(detections):
            where = f"detections[{index}]"
            if "image_id" not in detection:
                raise ValueError(f"{where} has no 'image_id'; name the image that it is of")
            ids.append(_plain_id(detection["image_id"]))
            parts.append(_arrays(detection, where, names))
        if not parts:
            raise ValueError("there are no detections; give one mapping for every image")
        keys = {key for part in parts for key in part}
        for index, part in enumerate(parts):
            if len(part["scores"]) and (lost := sorted(keys - set(part))):
                raise ValueError(
                    f"detections[{index}] (image {shown(ids[index])}) has no {lost[0]!r}, which "
                    "others have; give it for all images, or for none"
                )
        ids = _known_images(ids, ann_file)
        counts = [len(part["scores"]) for part in parts]
        columns = dict(bboxes=4, id_logits=len(names), neg_logits=len(neg_labels or ()))
        joined = {
            key: _joined(key, [part[key] for part in parts if key in part], columns.get(key, 0))
            for key in sorted(keys)
        }
        _check_pixels(joined["bboxes"])
        meta = _meta(names, neg_labels, ann_file, img_dir)
        return cls(image_ids=np.repeat(ids, counts), images=np.asarray(ids), meta=meta, **joined)

    @classmethod
    def from_mmdet(cls, samples: Iterable[Any], id_labels: Sequence[str], **about: Any) -> Self:
        """From MMDetection's ``DetDataSample``, as ``model.test_step`` returns them.

        Args:
            samples: predictions, boxes scaled to the original images (``rescale=True``). Their
                ``pred_instances`` may hold ``id_logits`` and more; a box with several labels is one
                row, of its best label, where ``prior_inds`` or ``query_inds`` tell.
            id_labels: ``model.dataset_meta["classes"]``.
            **about: as of :meth:`from_detections`.

        Raises:
            ValueError: see :meth:`from_detections`.
        """
        return cls.from_detections(map(_of_sample, samples), id_labels, **about)

    @classmethod
    def from_ultralytics(
        cls,
        results: Iterable[Any],
        id_labels: Sequence[str] | None = None,
        image_ids: Sequence[int | str] | None = None,
        **about: Any,
    ) -> Self:
        """From the ``Results`` that an Ultralytics model returns.

        Predict with ``conf=0.001``: its default of 0.25 leaves out boxes that AP and the confidence
        cut need.

        Args:
            results: one an image; a generator (``stream=True``) is fine.
            id_labels: ``None``: the model's ``names``.
            image_ids: ``None``: each result's ``path``, which ``ann_file`` turns into an id.
            **about: as of :meth:`from_detections`.

        Raises:
            ValueError: a result holds no boxes (of another task than detection), or see
                :meth:`from_detections`.
        """
        found = list(results)
        if found and id_labels is None:
            names = found[0].names
            id_labels = [names[i] for i in sorted(names)] if isinstance(names, Mapping) else names
        ids = [r.path for r in found] if image_ids is None else list(image_ids)
        _check_count(ids, found, "results")
        detections = []
        for index, (image_id, result) in enumerate(zip(ids, found, strict=True)):
            boxes = result.boxes
            if boxes is None:
                raise ValueError(
                    f"results[{index}] holds no boxes; predict with a model of the task 'detect'"
                )
            detections.append(
                dict(image_id=image_id, bboxes=boxes.xyxy, scores=boxes.conf, labels=boxes.cls)
            )
        return cls.from_detections(detections, id_labels or (), **about)

    @classmethod
    def from_torchvision(
        cls,
        outputs: Iterable[Mapping[str, Any]],
        image_ids: Sequence[int | str],
        categories: Sequence[str],
        **about: Any,
    ) -> Self:
        """From the dicts that a torchvision detector returns.

        Args:
            outputs: ``boxes``, ``labels``, ``scores`` of each image, and ``logits`` ``[n, C]``
                where you keep them.
            image_ids: one an output.
            categories: ``weights.meta["categories"]``, whose place is the label (C of them;
                ``__background__`` and ``N/A`` are no ID labels). A list without
                ``__background__``: your classes, counted from 1 as torchvision does.
            **about: as of :meth:`from_detections`.

        Raises:
            ValueError: a label of the background, or see :meth:`from_detections`.
        """
        listed_all = list(categories)
        if _NO_CLASS[0] not in listed_all:
            listed_all = [_NO_CLASS[0], *listed_all]
        kept = [i for i, name in enumerate(listed_all) if name not in _NO_CLASS]
        place = np.full(len(listed_all), -1)
        place[kept] = np.arange(len(kept))
        found = list(outputs)
        _check_count(image_ids, found, "outputs")
        detections = []
        for index, (image_id, output) in enumerate(zip(image_ids, found, strict=True)):
            labels = _numbers(output["labels"]).astype(np.int64)
            outside = (labels < 0) | (labels >= len(place))
            if outside.any() or (place[labels] < 0).any():
                wrong = labels[outside if outside.any() else place[labels] < 0][0]
                raise ValueError(
                    f"outputs[{index}] has the label {wrong}, which is none of the "
                    f"{len(kept)} categories; give all that the model was built for, in order"
                )
            made = dict(image_id=image_id, bboxes=output["boxes"], scores=output["scores"])
            made["labels"] = place[labels]
            if "logits" in output:
                logits = _numbers(output["logits"]).reshape(len(labels), -1)
                columns = kept if logits.shape[1] == len(listed_all) else slice(None)
                made["id_logits"] = logits[:, columns]
            detections.append(made)
        return cls.from_detections(detections, [listed_all[i] for i in kept], **about)

    @classmethod
    def from_coco_results(
        cls,
        results: Sequence[Mapping[str, Any]] | str | os.PathLike,
        ann_file: str | os.PathLike,
        id_ann_file: str | os.PathLike | None = None,
        id_labels: Sequence[str] | None = None,
        *,
        img_dir: str | os.PathLike | None = None,
    ) -> Self:
        """From COCO results, which nearly every detector can write; confidences only.

        Args:
            results: a list of ``image_id, category_id, bbox [x, y, w, h], score``, or its json.
            ann_file: COCO json of the set that the detector looked at.
            id_ann_file: json whose category ids the results use, that of the ID set; ``None``:
                ``ann_file`` (which is then the ID set's).
            id_labels: names of its categories that the detector knows, in any order; ``None``: all.
            img_dir: folder of the images.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a json is not sound, or a result is of an unknown image or category.
        """
        truth = check_coco(read_json(ann_file), str(ann_file), ids=False)
        source = ann_file if id_ann_file is None else id_ann_file
        own = truth if id_ann_file is None else read_json(source)
        own = own if own is truth else check_coco(own, str(source), ids=False)
        by_name = {category["name"]: category["id"] for category in own["categories"]}
        names = _labels(by_name if id_labels is None else id_labels)
        if lost := [name for name in names if name not in by_name]:
            raise ValueError(f"{source} has no category {lost[0]!r} ({listed(list(by_name), 8)})")
        where = "the results" if not isinstance(results, str | os.PathLike) else str(results)
        rows = read_json(results) if isinstance(results, str | os.PathLike) else list(results)
        images = [image["id"] for image in truth["images"]]
        label = {by_name[name]: index for index, name in enumerate(names)}
        _check_rows(rows, where, set(images), label, str(ann_file), str(source))
        boxes = np.array([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        _check_pixels(boxes)
        return cls(
            image_ids=np.array([row["image_id"] for row in rows]),
            bboxes=boxes,
            labels=np.array([label[row["category_id"]] for row in rows], dtype=np.int64),
            scores=np.array([row["score"] for row in rows], dtype=np.float64),
            images=np.array(images),
            meta=_meta(names, None, ann_file, img_dir),
        )


def instance_arrays(
    pred: Mapping[str, Any],
    min_score: float = 0.0,
    one_per_box: bool = True,
    half: bool = False,
) -> dict[str, np.ndarray]:
    """Arrays of MMDetection's predicted instances.

    Args:
        pred: ``bboxes, labels, scores``, perhaps ``id_logits``, ``neg_logits``, ``embeddings``,
            ``prior_inds`` or ``query_inds``.
        min_score: leave out boxes of lower confidence.
        one_per_box: keep a candidate's best label only, where multi-label post-processing returned
            it several times: one box is one sample.
        half: keep half precision, which takes half the space.
    """
    arrays = {key: _numbers(pred[key], half) for key in (*FIELDS, *MORE) if key in pred}
    candidates = pred["prior_inds"] if "prior_inds" in pred else pred.get("query_inds")
    keep = arrays["scores"] >= min_score
    if candidates is not None:
        arrays["query_inds"] = _numbers(candidates)
        if one_per_box:
            order = np.argsort(-arrays["scores"], kind="stable")
            _, first = np.unique(arrays["query_inds"][order], return_index=True)
            best = np.zeros(len(keep), bool)
            best[order[first]] = True
            keep &= best
            if "id_logits" in arrays:
                # NMS is class-wise: it may drop a candidate's best label as a duplicate of another
                # box and keep a lesser label, whose confidence its logits would contradict.
                keep &= arrays["labels"] == arrays["id_logits"].argmax(1)
    return {key: value[keep] for key, value in arrays.items()}


def _of_sample(sample: Any) -> dict[str, Any]:
    """A detection of a ``DetDataSample``, or of its dict."""
    data = sample if isinstance(sample, Mapping) else sample.to_dict()
    if "img_id" not in data or "pred_instances" not in data:
        lost = "img_id" if "img_id" not in data else "pred_instances"
        raise ValueError(
            f"a data sample has no {lost!r}; give the model's predictions on a data set"
        )
    return dict(image_id=data["img_id"]) | instance_arrays(data["pred_instances"])


def _numbers(value: Any, half: bool = False) -> np.ndarray:
    """A numpy array of a tensor, an array, a list, or MMDetection's boxes."""
    value = getattr(value, "tensor", value)
    if hasattr(value, "detach"):  # a torch tensor, on whatever device
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() and not half else value
    return np.asarray(value)


def _arrays(detection: Mapping[str, Any], where: str, names: list[str]) -> dict[str, np.ndarray]:
    """Checked arrays of one image."""
    for key in FIELDS:
        if key not in detection:
            raise ValueError(f"{where} has no {key!r}; it needs {', '.join(FIELDS)}")
    keys = [key for key in (*FIELDS, *MORE, "query_inds") if detection.get(key) is not None]
    arrays = {key: _numbers(detection[key]) for key in keys}
    count = len(arrays["scores"])
    for key, array in arrays.items():
        if count == 0 and array.size == 0:
            continue  # an empty list has no shape of its own
        if array.ndim != _AXES.get(key, 2) or len(array) != count:
            raise ValueError(
                f"{where}: {key} has the shape {array.shape}, expected {_AXES.get(key, 2)} axes "
                f"and {count} rows as in scores"
            )
    labels = arrays["labels"]
    if labels.dtype.kind in "UO" and labels.size:
        place = {name: index for index, name in enumerate(names)}
        if unknown := [label for label in labels.tolist() if label not in place]:
            raise ValueError(
                f"{where}: the label {shown(unknown[0])} is no ID label ({listed(names, 8)})"
            )
        labels = np.array([place[label] for label in labels.tolist()])
    arrays["labels"] = labels.astype(np.int64)
    wrong = (arrays["labels"] < 0) | (arrays["labels"] >= len(names))
    if wrong.any():
        raise ValueError(
            f"{where}: the label {arrays['labels'][wrong][0]} is outside 0..{len(names) - 1}, the "
            f"places of the {len(names)} ID labels"
        )
    return arrays


def _joined(key: str, parts: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Rows of all images; ``columns`` where no image has a row."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return np.zeros((0,) if _AXES.get(key, 2) == 1 else (0, columns))
    widths = {part.shape[1:] for part in filled}
    if len(widths) > 1:
        raise ValueError(
            f"{key} has {' and '.join(str(w[0]) for w in sorted(widths))} columns in different "
            "images; all must have the same"
        )
    return np.concatenate(filled)


def _check_pixels(bboxes: np.ndarray) -> None:
    if len(bboxes) and bboxes.max() <= 1:
        raise ValueError(
            "no number of any box is above 1, so the boxes are shares of the image; expected xyxy "
            "in pixels of the original image"
        )


def _check_count(ids: Sequence, found: Sequence, what: str) -> None:
    if len(ids) != len(found):
        raise ValueError(f"there are {len(ids)} image_ids for {len(found)} {what}; give one each")


def _check_rows(
    rows: Any, where: str, images: set, label: Mapping, ann_file: str, source: str
) -> None:
    """Refuse COCO results that do not belong to the json, at the first fault."""
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError(
            f"{where}: expected a list of COCO results (image_id, category_id, bbox, score)"
        )
    for index, row in enumerate(rows):
        for key in ("image_id", "category_id", "bbox", "score"):
            if row.get(key) is None:
                raise ValueError(f"{where}: result {index} has no {key!r}")
        if row["image_id"] not in images:
            raise ValueError(
                f"{where}: result {index} is of the image {shown(row['image_id'])}, which is not "
                f"in {ann_file}; results and annotations must be of one set"
            )
        if row["category_id"] not in label:
            raise ValueError(
                f"{where}: result {index} has the category_id {shown(row['category_id'])}, which "
                f"is no ID label's ({source} has the ids {listed(sorted(label, key=str), 8)})"
            )
        box, score = row["bbox"], row["score"]
        boxed = isinstance(box, Sequence) and len(box) == 4 and all(map(_is_number, box))
        if not boxed or box[2] < 0 or box[3] < 0:
            raise ValueError(
                f"{where}: result {index} has the bbox {shown(box)}; expected [x, y, width, "
                "height] in pixels"
            )
        if not (_is_number(score) and 0 <= score <= 1):
            raise ValueError(
                f"{where}: result {index} has the score {shown(score)}; expected a confidence in "
                "[0, 1]"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _known_images(ids: list[int | str], ann_file: str | os.PathLike | None) -> list[int | str]:
    """Ids of the json for ids or file names; each image of it once."""
    if ann_file is not None:
        images = check_images(read_json(ann_file), str(ann_file))
        known = {image["id"] for image in images}
        by_file = _by_file(images)
        ids = [each if each in known else _by_name(each, by_file, ann_file) for each in ids]
        if lost := sorted(known - set(ids), key=str):
            raise ValueError(
                f"{ann_file} lists {len(known)} images, and {len(lost)} of them were not given, "
                f"first {shown(lost[0])}; give every image, also where nothing was found"
            )
    image, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise ValueError(f"the image {shown(image)} is given {times} times; give each image once")
    return ids


def _by_file(images: Sequence[Mapping[str, Any]]) -> dict[str, list[int | str]]:
    """Ids by ``file_name`` and by each end of it."""
    found: dict[str, list[int | str]] = {}
    for image in images:
        parts = PurePosixPath(image.get("file_name") or "").parts
        for start in range(len(parts)):
            found.setdefault("/".join(parts[start:]), []).append(image["id"])
    return found


def _by_name(
    name: int | str, by_file: Mapping[str, list[int | str]], ann_file: str | os.PathLike
) -> int | str:
    """The image that a path names: the one with the longest end in common."""
    parts = Path(name).parts if isinstance(name, str) else ()
    for start in range(len(parts)):
        found = by_file.get("/".join(parts[start:]), ())
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(
                f"{ann_file} has {len(found)} images whose file name ends with {name!r}"
            )
    raise ValueError(
        f"the image {shown(name)} is neither an id nor a file name in {ann_file}; detections and "
        "annotations must be of one set"
    )


def _plain_id(value: Any) -> int | str:
    value = value.item() if hasattr(value, "item") else value
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _labels(names: Iterable[str]) -> list[str]:
    names = list(names)
    if not names or len(set(names)) < len(names) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"id_labels must be names, each once, got {shown(names)}")
    return names


def _meta(
    id_labels: list[str],
    neg_labels: Sequence[str] | None,
    ann_file: str | os.PathLike | None,
    img_dir: str | os.PathLike | None,
) -> dict[str, Any]:
    meta: dict[str, Any] = dict(id_labels=id_labels)
    if neg_labels is not None:
        meta["neg_labels"] = list(neg_labels)
    for key, path in (("ann_file", ann_file), ("img_dir", img_dir)):
        if path is not None:
            meta[key] = os.fspath(path)
    return meta
