"""Open-set detection metrics: known classes and one label "unknown" in ground truth and boxes.

AUROC and FPR95 only see boxes that were predicted; these metrics also count unknown objects that
nobody looked at. All but AP_K and AP_U hang on the operating point (confidence cut and tau), so it
belongs beside the numbers. Shape letters: N boxes, K known labels.

Sources: A-OSE: Miller et al., ICRA 2018; WI: Dhamija et al., WACV 2020, in its own form
(``wi_ratio``) and in that of the OWOD code (``wi``; Joseph et al., CVPR 2021); AP_K, AP_U, R_U, P_U
as OpenDet (Han et al., CVPR 2022) has them; H-score as tables of open-world detection have it;
nOSE: Montoya et al., 2025; ``nose_unique`` is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np

from negas.boxes import box_iou

from .coco import CocoSource, load_coco
from .matching import corners, match, rows_by_image
from .voc import eleven_points

#: what objects of a kind count as: ordinary ones, ones that boxes may lie on without hit or harm,
#: or none
Treatment = Literal["objects", "ignored", "left_out"]


@dataclass(frozen=True, eq=False)
class LabeledBoxes:
    """Boxes of many images, as ground truth or as predictions.

    Attributes:
        image_ids: ``[N]``, integers or strings.
        bboxes: ``[N, 4]``, xyxy in original-image pixels.
        labels: ``[N]``, 0..K-1 known, K unknown.
        scores: ``[N]``, by which predictions are ranked; ground truth needs none.
        ignored: bool ``[N]``, of ground truth: objects that neither help nor harm; a prediction of
            their label that lies on one is no hit and no false one. ``None``: none.
        names: ``[N]``, the class of each annotated object, where it is known.
    """

    image_ids: np.ndarray
    bboxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None
    ignored: np.ndarray | None = None
    names: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("image_ids", "bboxes", "labels", "scores", "ignored", "names"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.asarray(value))
        object.__setattr__(self, "bboxes", self.bboxes.astype(np.float64).reshape(-1, 4))
        columns = (self.image_ids, self.bboxes, self.labels, self.scores, self.ignored, self.names)
        lengths = [len(values) for values in columns if values is not None]
        if len(set(lengths)) > 1:
            raise ValueError(
                "image_ids, bboxes, labels, scores, ignored and names must be equally long, got "
                f"{lengths}."
            )
        if not np.isfinite(self.bboxes).all():
            raise ValueError("bboxes hold NaN or infinity; every coordinate must be finite.")


@dataclass(frozen=True)
class OpenSetResult:
    """Open-set numbers; NaN where there is nothing to measure. Fractions in [0, 1] but a_ose.

    Attributes:
        ap_known: mean all-point AP of the known labels that have ground truth: known mAP50.
        ap_known_11: the same over 11 recall points, as OW-DETR and its heirs report it.
        ap_unknown: all-point AP of the label "unknown".
        recall_unknown: unknown objects found by an unknown prediction (U-Recall).
        precision_unknown: unknown predictions that find an unknown object.
        a_ose: absolute open-set error: known-labelled predictions on an unknown object, duplicates
            included.
        nose: ``a_ose`` per unknown object; can exceed 1.
        nose_unique: share of unknown objects hit by at least one known-labelled prediction.
        wi: wilderness impact at ``wi_recall``, in OWOD's form (the mixed set in the denominator).
        wi_ratio: wilderness impact there as it was defined, ``P_K / P_KU - 1``: the precision
            without the false boxes on unknown objects over the precision with them, of all known
            labels together. Not bounded by 1.
        h_score: harmonic mean of ``ap_known`` and ``recall_unknown``.
        num_unknown: unknown objects, without ignored ones.
        num_known: known objects, likewise.
        num_predictions: predictions, known and unknown, without those on ignored objects.
        wi_recall: recall at which ``wi`` is read.
        iou: overlap that a hit exceeds.
    """

    ap_known: float
    ap_known_11: float
    ap_unknown: float
    recall_unknown: float
    precision_unknown: float
    a_ose: int
    nose: float
    nose_unique: float
    wi: float
    wi_ratio: float
    h_score: float
    num_unknown: int
    num_known: int
    num_predictions: int
    wi_recall: float = 0.8
    iou: float = 0.5

    def to_dict(self) -> dict[str, float | int]:
        """All fields as plain numbers."""
        return asdict(self)


def open_set_metrics(
    truth: LabeledBoxes,
    predictions: LabeledBoxes,
    num_known: int,
    iou: float = 0.5,
    wi_recall: float = 0.8,
) -> OpenSetResult:
    """Compare predictions with a ground truth that holds unknown objects.

    Greedy by descending score within a label: a prediction is a hit if the object of its label
    that it overlaps most has an IoU over ``iou`` and no better prediction took it; a second one on
    the same object is false, whatever else it overlaps. Areas are those of continuous coordinates.

    Args:
        truth: objects; label ``num_known`` is "unknown".
        predictions: boxes over the confidence cut, unknown ones relabelled ``num_known``.
        num_known: K.
        iou: the overlap to exceed.
        wi_recall: where the curve of each known label is read for the wilderness impact.

    Raises:
        ValueError: labels outside 0..K, predictions without scores or with NaN scores.
    """
    for name, boxes in (("truth", truth), ("predictions", predictions)):
        if len(boxes.labels) and not 0 <= boxes.labels.min() <= boxes.labels.max() <= num_known:
            raise ValueError(
                f"{name}: labels must lie in 0..{num_known} ({num_known} is unknown), "
                f"got {boxes.labels.min()}..{boxes.labels.max()}."
            )
    if predictions.scores is None or not np.isfinite(predictions.scores).all():
        raise ValueError("predictions need finite scores, by which they are ranked.")
    order = np.argsort(-predictions.scores, kind="stable")
    labels = predictions.labels[order]
    found = _match(truth, predictions, order, num_known, iou)

    real = truth.labels[~truth.ignored] if truth.ignored is not None else truth.labels
    objects = np.bincount(real.astype(np.int64), minlength=num_known + 1)
    curves = [found.curve(labels == k) for k in range(num_known + 1)]
    seen = [k for k in range(num_known) if objects[k]]
    unknown, num_unknown = curves[num_known], int(objects[num_known])
    nan = float("nan")
    known = [(curves[k], objects[k]) for k in seen]
    ap_known = float(np.mean([c.average_precision(n) for c, n in known])) if seen else nan
    recall_unknown = _ratio(unknown.num_hits, num_unknown)
    wi, wi_ratio = _wilderness_impact(known, wi_recall)
    open_errors = int(found.open_errors.sum())
    return OpenSetResult(
        ap_known=ap_known,
        ap_known_11=float(np.mean([eleven_points(c.hits, ~c.hits, n) for c, n in known]))
        if seen
        else nan,
        ap_unknown=unknown.average_precision(num_unknown) if num_unknown else nan,
        recall_unknown=recall_unknown,
        precision_unknown=_ratio(unknown.num_hits, len(unknown.hits)),
        a_ose=open_errors,
        nose=_ratio(open_errors, num_unknown),
        nose_unique=_ratio(len(found.hit_unknown), num_unknown),
        wi=wi,
        wi_ratio=wi_ratio,
        h_score=harmonic_mean(ap_known, recall_unknown),
        num_unknown=num_unknown,
        num_known=int(objects[:num_known].sum()),
        num_predictions=int((~found.on_ignored).sum()),
        wi_recall=wi_recall,
        iou=iou,
    )


def harmonic_mean(first: float, second: float) -> float:
    """``2ab / (a + b)``, 0 where both are 0; of known mAP50 and U-Recall it is the H-score."""
    return 2 * first * second / (first + second) if first + second else first + second


def truth_boxes(
    truth: CocoSource,
    class_names: Sequence[str],
    crowd: Treatment = "left_out",
    difficult: Treatment = "objects",
) -> LabeledBoxes:
    """Objects of a COCO ground truth; every category that is no ID label is unknown.

    Args:
        truth: a COCO dict, object or json path.
        class_names: ID labels.
        crowd: what objects marked ``iscrowd`` are. Published open-world numbers count them as
            ordinary ``objects``, as their converters forget the mark.
        difficult: the same for VOC's ``difficult`` ones; ordinary in VOS's conversion of VOC,
            ``ignored`` by VOC's own evaluation.

    Returns:
        Objects without those marked ``ignore``.

    Raises:
        ValueError: another treatment.
    """
    marks = dict(iscrowd=crowd, difficult=difficult)
    for mark, treatment in marks.items():
        if treatment not in get_args(Treatment):
            names = ", ".join(get_args(Treatment))
            raise ValueError(f"objects marked {mark}: expected {names}, got {treatment!r}.")
    coco = load_coco(truth)
    known = {name: label for label, name in enumerate(class_names)}
    names = {c["id"]: c["name"] for c in coco.dataset["categories"]}

    def counted(thing: dict, treatment: Treatment) -> bool:
        return any(thing.get(mark) and how == treatment for mark, how in marks.items())

    objects = [
        thing
        for thing in coco.dataset["annotations"]
        if not thing.get("ignore") and not counted(thing, "left_out")
    ]
    return LabeledBoxes(
        np.array([thing["image_id"] for thing in objects]),
        corners(objects),
        np.array([known.get(names[t["category_id"]], len(known)) for t in objects], dtype=np.int64),
        ignored=np.array([counted(thing, "ignored") for thing in objects], dtype=bool),
        names=np.array([names[t["category_id"]] for t in objects], dtype=str),
    )


@dataclass(frozen=True, eq=False)
class _Curve:
    """Predictions of one label by descending score: hits and open-set errors, bool ``[N]``."""

    hits: np.ndarray
    open_errors: np.ndarray

    @property
    def num_hits(self) -> int:
        return int(self.hits.sum())

    def average_precision(self, num_objects: int) -> float:
        """Area under the precision envelope at the changes of recall."""
        if not len(self.hits):
            return 0.0
        found = self.hits.cumsum()
        precision = found / np.arange(1, len(found) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float(envelope[self.hits].sum() / num_objects)

    def index_at(self, recall: float, num_objects: int) -> int:
        """The prediction down to which the recall is closest to ``recall``, the first on ties."""
        return int(np.argmin(np.abs(self.hits.cumsum() / num_objects - recall)))


def _wilderness_impact(curves: Sequence[tuple[_Curve, int]], recall: float) -> tuple[float, float]:
    """Both forms from curves and their numbers of objects; labels without boxes are skipped.

    ``mean_k(open-set errors) / mean_k(TP + FP)`` at the recall, and ``P_K / P_KU - 1``, in which
    TP cancels and open-set errors that are hits of a known object stay.
    """
    errors = false_errors = boxes = 0
    for curve, count in curves:
        if len(curve.hits):
            upto = slice(curve.index_at(recall, count) + 1)
            errors += int(curve.open_errors[upto].sum())
            false_errors += int((curve.open_errors & ~curve.hits)[upto].sum())
            boxes += len(curve.hits[upto])
    return _ratio(errors, boxes), _ratio(false_errors, boxes - false_errors)


@dataclass(frozen=True, eq=False)
class _Found:
    """What predictions by descending score lie on, bool ``[N]``; rows of unknown objects hit."""

    hits: np.ndarray
    open_errors: np.ndarray
    on_ignored: np.ndarray
    hit_unknown: set[int]

    def curve(self, mask: np.ndarray) -> _Curve:
        """The predictions in the mask but those on ignored objects."""
        mask = mask & ~self.on_ignored
        return _Curve(self.hits[mask], self.open_errors[mask])


def _match(
    truth: LabeledBoxes, predictions: LabeledBoxes, order: np.ndarray, num_known: int, iou: float
) -> _Found:
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    hits, open_errors, on_ignored = (np.zeros(len(order), bool) for _ in range(3))
    hit_unknown: set[int] = set()
    ignored = np.zeros(len(truth.labels), bool) if truth.ignored is None else truth.ignored
    rows_of_truth = rows_by_image(truth.image_ids, np.arange(len(truth.labels)))
    for image, rows in rows_by_image(predictions.image_ids, order).items():
        things = rows_of_truth.get(image)
        if things is None:
            continue
        boxes, objects = predictions.bboxes[rows], truth.bboxes[things]
        labels, thing_labels = predictions.labels[rows], truth.labels[things]
        found = match(boxes, objects, iou, labels, thing_labels, ignored[things])
        hits[rank[rows]] = found.hits
        on_ignored[rank[rows]] = (found.objects >= 0) & ignored[things][found.objects]

        unknown = (thing_labels == num_known) & ~ignored[things]
        if not unknown.any():
            continue
        known = labels < num_known
        wrong = box_iou(boxes[known], objects[unknown]) > iou  # every pair of them counts
        open_errors[rank[rows[known][wrong.any(axis=1)]]] = True
        hit_unknown.update(things[unknown][wrong.any(axis=0)].tolist())
    open_errors &= ~on_ignored
    return _Found(hits, open_errors, on_ignored, hit_unknown)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
