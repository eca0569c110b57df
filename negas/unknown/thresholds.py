"""Which words a threshold of unknown objects is found with, and where it lies. Numpy only.

Both come from ID images in which objects are annotated. Shapes: N cells, V words, n unknown
objects, M annotated objects, I images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from negas.boxes import box_iou, centers_in
from negas.metrics.bootstrap import rate_intervals
from negas.metrics.matching import rows_by_image
from negas.options import Options, check_number, option
from negas.text import shown

LEAST = 0.02  # thresholds below it are not looked at
FIRES = 0.1  # sigmoid from which a word counts as firing
OVERLAP = 0.5  # a box lies on an object that it overlaps more
GROUP = "unknown objects"
SOURCES = ("calibrated", "config")


@dataclass(frozen=True)
class ThresholdOptions(Options):
    """How many errors on ID validation images a threshold of unknown objects may cost."""

    a: float = option(
        0.5,
        help="most unknown objects on background, an image",
        ge=0,
        flag="--unknown-boxes",
        metavar="A",
        group=GROUP,
    )
    b: float = option(
        0.1,
        help="largest share of the known objects that an unknown one lies on",
        ge=0,
        le=1,
        flag="--unknown-known",
        metavar="B",
        group=GROUP,
    )
    hot: float = option(
        0.2,
        help="words go that fire on background in a larger share of the images",
        ge=0,
        le=1,
        flag="--hot-words",
        metavar="SHARE",
        group=GROUP,
    )


@dataclass(frozen=True)
class UnknownThreshold(Options):
    """A threshold of unknown objects, its words, and what both cost on ID validation images.

    Attributes:
        score_thr: least score, see :func:`negas.unknown.unknown_scores`.
        words: that are used, in the vocabulary's order.
        word_rates: share of the images in which each of them fires on background.
        a: most boxes on background that were allowed, an image.
        b: largest share of known objects that was allowed to have an unknown object on it.
        background_per_image: boxes on background, an image.
        on_known_share: of the known objects, those with an unknown object on them.
        intervals: (low, high), 95% over draws of whole images at this threshold, of both rates.
        hot_share: words over this share went.
        hot: ``[word, share]`` of those that went, the worst first.
        images: I.
        known_objects: annotated objects of ID classes in them.
        id_cut: ID boxes of this confidence hid what they lie on.
        found_on: set of a run.
        source: ``config`` where that has the number; no word goes then.
    """

    score_thr: float = option(help="least score", ge=0, lt=1)
    words: tuple[str, ...] = option(help="that are used")
    word_rates: tuple[float, ...] = option(help="share of images they fire in", ge=0, le=1)
    a: float = option(help="most boxes on background", ge=0)
    b: float = option(help="largest share of known objects", ge=0, le=1)
    background_per_image: float = option(help="boxes on background", ge=0)
    on_known_share: float = option(help="share of known objects", ge=0, le=1)
    intervals: dict[str, Any] = option(help="95%, by rate")
    hot_share: float = option(help="words over it went", ge=0, le=1)
    hot: tuple[Any, ...] = option(help="words that went")
    images: int = option(help="that were looked at", ge=1)
    known_objects: int = option(help="annotated objects of ID classes", ge=1)
    id_cut: float = option(help="confidence of ID boxes that hide", ge=0, le=1)
    found_on: str = option(help="set")
    source: str = option(help="where the number is from", choices=SOURCES)

    def __post_init__(self) -> None:
        """Check what types do not tell.

        Raises:
            ValueError: no word, a word twice, or rates and intervals that cannot be.
        """
        super().__post_init__()
        if not self.words:
            raise ValueError(f"{self.called('words')} is empty")
        if len(self.word_rates) != len(self.words):
            raise ValueError(
                f"{self.called('word_rates')} has {len(self.word_rates)} entries for "
                f"{len(self.words)} words"
            )
        for each in self.hot:
            pair = isinstance(each, list | tuple) and len(each) == 2
            if not pair or not isinstance(each[0], str) or not _is_number(each[1]):
                raise ValueError(f"{self.called('hot')} must hold [word, share], got {shown(each)}")
            check_number(f"{self.called('hot')}: {shown(each[0])}", each[1], ge=0, le=1)
        object.__setattr__(self, "hot", tuple((word, share) for word, share in self.hot))
        names = [*self.words, *(word for word, _ in self.hot)]
        if len(set(names)) < len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise ValueError(f"{self.called('words')} and hot have {shown(twice)} twice")
        object.__setattr__(self, "intervals", self._checked_intervals())

    def _checked_intervals(self) -> dict[str, tuple[float, float]]:
        name, found = self.called("intervals"), {}
        for key in ("background_per_image", "on_known_share"):
            ends = self.intervals.get(key)
            ends = tuple(ends) if isinstance(ends, list | tuple) else ()
            if len(ends) != 2 or not all(map(_is_number, ends)):
                raise ValueError(
                    f"{name}.{key} must be two numbers, got {shown(self.intervals.get(key))}"
                )
            for end in ends:
                check_number(f"{name}.{key}", end, ge=0)
            if ends[0] > ends[1]:
                raise ValueError(f"{name}.{key} must rise, got {shown(list(ends))}")
            found[key] = ends
        return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, eq=False)
class AnnotatedObjects:
    """The annotated objects of ID images.

    Attributes:
        image_ids: ``[M]``.
        bboxes: xyxy in original-image pixels, ``[M, 4]``.
        known: whether its class is an ID class, bool ``[M]``.
        regions: whether it stands for several objects (``iscrowd``) or is to be ignored, bool
            ``[M]``: what has its centre there is no background, and it is no known object.

    Raises:
        ValueError: no object of an ID class is among them.
    """

    image_ids: np.ndarray
    bboxes: np.ndarray
    known: np.ndarray
    regions: np.ndarray
    _rows: dict[Any, np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not (self.known & ~self.regions).any():
            raise ValueError("no object of an ID class is annotated in its images")
        rows = rows_by_image(self.image_ids, np.arange(len(self.image_ids)))
        object.__setattr__(self, "_rows", rows)

    def rows_of(self, image: Any) -> np.ndarray:
        """The objects of an image, int64."""
        return self._rows.get(image, np.zeros(0, np.int64))


def cells_on_background(
    image_ids: np.ndarray, bboxes: np.ndarray, objects: AnnotatedObjects
) -> np.ndarray:
    """Whether a cell's centre lies in no annotated box, bool ``[N]``.

    Args:
        image_ids: of the cells, ``[N]``.
        bboxes: xyxy in original-image pixels, ``[N, 4]``.
        objects: of the same images.
    """
    outside = np.ones(len(bboxes), bool)
    for image, cells in rows_by_image(image_ids, np.arange(len(image_ids))).items():
        rows = objects.rows_of(image)
        outside[cells] = ~centers_in(bboxes[cells], objects.bboxes[rows]).any(1)
    return outside


class FiringWords:
    """Counts the images in which each word fires on a cell of a background.

    Every word counts, not the best one of a cell: else the next hot word takes its place.

    Args:
        image_ids: of the cells on background, ``[N]``.
        num_words: V.
        least: sigmoid from which a word fires, in (0, 1).
    """

    def __init__(self, image_ids: np.ndarray, num_words: int, least: float = FIRES) -> None:
        images, self._place = np.unique(image_ids, return_inverse=True)
        self._fired = np.zeros((len(images), num_words), bool)
        self._least = math.log(least / (1 - least))

    def take(self, part: slice, logits: np.ndarray) -> None:
        """Count the logits ``[n', V]`` of some of the cells."""
        cells, words = np.nonzero(logits > self._least)
        self._fired[self._place[part][cells], words] = True

    def rates(self, num_images: int) -> np.ndarray:
        """Share of so many images, for each word: ``[V]``."""
        return self._fired.sum(0) / num_images


@dataclass(frozen=True, eq=False)
class Errors:
    """What unknown objects on ID images cost at any threshold.

    Boxes at a higher threshold are some of those at a lower one, so each error has the largest
    threshold at which it is made.

    Attributes:
        images: ids of all images, ``[I]``.
        scores: of all boxes, ``[n]``.
        background: score of each box on no annotated object, and its image's row.
        known: largest score of the boxes on each known object, ``-inf`` without one, and its
            image's row, ``[M]``.
    """

    images: np.ndarray
    scores: np.ndarray
    background: tuple[np.ndarray, np.ndarray]
    known: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(
        cls,
        images: np.ndarray,
        image_ids: np.ndarray,
        bboxes: np.ndarray,
        scores: np.ndarray,
        objects: AnnotatedObjects,
    ) -> Errors:
        """From the unknown objects found at a low threshold.

        Args:
            images: ids of all images that were looked at, ``[I]``, unique.
            image_ids: of the boxes, ``[n]``.
            bboxes: xyxy, ``[n, 4]``.
            scores: ``[n]``.
            objects: of these images.
        """
        place = {image: row for row, image in enumerate(images.tolist())}
        counted = np.flatnonzero(objects.known & ~objects.regions)
        best = np.full(len(objects.bboxes), -np.inf)
        stray = np.ones(len(scores), bool)
        for image, boxes in rows_by_image(image_ids, np.arange(len(image_ids))).items():
            rows = objects.rows_of(image)
            mine = bboxes[boxes].astype(np.float64)
            on = box_iou(mine, objects.bboxes[rows]) > OVERLAP
            inside = centers_in(mine, objects.bboxes[rows]) & objects.regions[rows]
            stray[boxes] = ~(on | inside).any(1)
            found = np.where(on, scores[boxes][:, None], -np.inf)
            best[rows] = found.max(0, initial=-np.inf)
        at = np.array([place[image] for image in image_ids.tolist()], np.int64)
        known_at = np.array([place[image] for image in objects.image_ids[counted].tolist()])
        return cls(images, scores, (scores[stray], at[stray]), (best[counted], known_at))

    def rates(self, score_thr: float) -> tuple[float, float]:
        """Boxes on background an image, and the share of known objects with a box on them."""
        background, known = self.background[0], self.known[0]
        return (
            float((background >= score_thr).sum() / len(self.images)),
            float((known >= score_thr).mean()),
        )

    def lowest(self, a: float, b: float, least: float = LEAST) -> float:
        """The lowest threshold whose rates are at most ``a`` and ``b``.

        It lies in the middle between the score that must go and the next one, so that the last
        digits of another machine change nothing.

        Args:
            a: most boxes on background, an image.
            b: largest share of known objects, in [0, 1].
            least: threshold that the boxes were found with.

        Raises:
            ValueError: no box is left at any such threshold.
        """
        bound = -np.inf
        for scores, allowed in (
            (self.background[0], a * len(self.images)),
            (self.known[0], b * len(self.known[0])),
        ):
            spare = math.floor(allowed + 1e-9)  # 0.1 * 30 is a little more than 3
            if spare < len(scores):
                bound = max(bound, float(np.sort(scores)[::-1][spare]))
        if bound < least:
            return least
        left = self.scores[self.scores > bound]
        if not len(left):
            raise ValueError(
                f"at no threshold are there unknown objects, but at most {a:g} an image on "
                f"background and on at most {b:.1%} of the known objects; allow more"
            )
        following = float(left.min())
        middle = (bound + following) / 2
        return middle if middle > bound else following

    def intervals(
        self, score_thr: float, draws: int = 1000, seed: int = 0
    ) -> Mapping[str, tuple[float, float]]:
        """95% intervals of both rates at a threshold, from draws of whole images.

        Args:
            score_thr: taken as given: it is not found anew in each draw.
            draws: how many.
            seed: of the draws.
        """
        count = len(self.images)
        stray, covered, objects = (
            np.bincount(rows, minlength=count)
            for rows in (
                self.background[1][self.background[0] >= score_thr],
                self.known[1][self.known[0] >= score_thr],
                self.known[1],
            )
        )
        found = rate_intervals([stray, covered], [np.ones(count), objects], draws, seed)
        names = ("background_per_image", "on_known_share")
        return {name: (one.low, one.high) for name, one in zip(names, found, strict=True)}
