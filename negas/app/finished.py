"""A finished test: its samples by set, class and negative, the hardest ones first, at any tau."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from negas.records import ID, SET_TITLES, BoxRecords
from negas.reports.html.crops import box_picture
from negas.reports.html.mistakes import files_of_images, names_of_objects
from negas.reports.html.page import Picture
from negas.reports.html.run import ReportRun, load_report_run
from negas.visualization.boxes import captions

from .judging import share_known, span

ANY = "all"
MISTAKES, CALLED_KNOWN, CALLED_UNKNOWN = "mistakes", "called known", "called unknown"
VERDICTS = (MISTAKES, CALLED_KNOWN, CALLED_UNKNOWN)
NO_OBJECT = "no annotated object"


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of all sets, ``[n]`` each.

    Attributes:
        sets: name of the set.
        rows: index into the samples of that set.
        images: number of the image, another one for each image of each set.
        values: score.
        things: OOD class that a box lies on; empty where that is not known, and for ID boxes.
        negatives: nearest negative; empty without any.
        right: whether it is an OOD box, or an ID box on an object of its label (any ID box, where
            there are no annotations).
    """

    sets: np.ndarray
    rows: np.ndarray
    images: np.ndarray
    values: np.ndarray
    things: np.ndarray
    negatives: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class Wanted:
    """Which samples are shown; :data:`ANY` is no filter."""

    ood_set: str = ANY
    thing: str = ANY
    negative: str = ANY
    verdict: str = MISTAKES


class Finished:
    """A test whose mistakes are looked at.

    Args:
        report: as the HTML report reads it.
    """

    def __init__(self, report: ReportRun) -> None:
        self.report = report
        self._picked: dict[str, BoxRecords] = {}
        self._files: dict[str, dict] = {}

    @classmethod
    def load(cls, path: str | Path) -> Finished:
        """A work dir of ``negas test``; see :func:`negas.reports.html.run.load_report_run`."""
        return cls(load_report_run(path))

    @property
    def title(self) -> str:
        """Run, score and cut, for people."""
        cut = self.report.samples.cut.value
        return f"{self.report.run.name}: {self.report.main_name}, boxes of confidence {cut:.3g} up"

    @property
    def sets(self) -> list[str]:
        """Sets with samples that can be chosen."""
        return [ID, *self.report.run.ood_sets]

    @property
    def tau(self) -> float:
        """Where 95% of the ID test samples are known."""
        return self.report.tau

    @property
    def range(self) -> tuple[float, float]:
        """Of the slider."""
        return span(*self.report.values.values())

    def rates(self, tau: float) -> list[tuple[str, str, float, int]]:
        """Title, ``TPR`` or ``FPR``, the share called known and the number of samples of each set.

        Args:
            tau: a box is known iff its score is at least this.
        """
        found = []
        for name in self.sets:
            values = self.report.values[name]
            title = SET_TITLES.get(name, f"{name}-OOD")
            rate = "TPR" if name == ID else "FPR"
            found.append((title, rate, share_known(values, tau), len(values)))
        return found

    @cached_property
    def samples(self) -> Samples:
        """All of them; what they lie on is found once."""
        columns: dict[str, list] = {key: [] for key in Samples.__dataclass_fields__}
        images = 0
        for name in self.sets:
            records, values = self.picked(name), self.report.values[name]
            count = len(values)
            found, numbers = np.unique(records.image_ids, return_inverse=True)
            columns["images"].append(images + numbers)
            images += len(found)
            columns["sets"].append(np.full(count, name, dtype=object))
            columns["rows"].append(np.arange(count))
            columns["values"].append(values)
            things = names_of_objects(self.report, name, np.arange(count))
            columns["things"].append(np.array(things, dtype=object))
            columns["negatives"].append(self._nearest(records))
            right = np.ones(count, dtype=bool)
            if name == ID and (truth := self.report.truth(ID)[0]) is not None:
                right = self.report.true_detections(records, truth)
            columns["right"].append(right)
        return Samples(**{key: np.concatenate(parts) for key, parts in columns.items()})

    def picked(self, name: str) -> BoxRecords:
        """The samples of a set; chosen once, with the files of their images."""
        if name not in self._picked:
            self._picked[name] = found = self.report.picked(name)
            self._files[name] = files_of_images(found, np.unique(found.image_ids).tolist())
        return self._picked[name]

    def _nearest(self, records: BoxRecords) -> np.ndarray:
        labels = self.report.run.bank_labels("model")
        if records.neg_logits is None or not labels or not len(records):
            return np.full(len(records), "", dtype=object)
        return np.array(labels, dtype=object)[records.neg_logits.argmax(1)]

    def choices(self, column: str) -> list[str]:
        """What ``things`` or ``negatives`` can be filtered by."""
        found = {name for name in getattr(self.samples, column).tolist() if name}
        return [ANY, *sorted(found)]

    def hardest(self, tau: float, wanted: Wanted, count: int) -> np.ndarray:
        """Samples that fit the filters, the farthest on the wrong side of tau first.

        One per image, as :func:`negas.reports.html.mistakes.worst_rows` has them.

        Args:
            tau: a box is known iff its score is at least this.
            wanted: the filters.
            count: how many at most.

        Returns:
            int64 ``[m]``, into :attr:`samples`.
        """
        samples = self.samples
        known, is_id = samples.values >= tau, samples.sets == ID
        keep = np.ones(len(known), dtype=bool)
        if wanted.verdict == MISTAKES:
            keep = (known != is_id) & samples.right
        elif wanted.verdict != ANY:
            keep = known == (wanted.verdict == CALLED_KNOWN)
        for column, value in (
            (samples.sets, wanted.ood_set),
            (samples.things, wanted.thing),
            (samples.negatives, wanted.negative),
        ):
            if value != ANY:
                keep &= column == value
        rows = np.flatnonzero(keep)
        wrongness = np.where(is_id, tau - samples.values, samples.values - tau)[rows]
        rows = rows[np.argsort(-wrongness, kind="stable")]
        _, first = np.unique(samples.images[rows], return_index=True)
        return rows[np.sort(first)][:count]

    def picture(self, row: int, tau: float) -> Picture:
        """The cut-out of a sample with its box, and what to say about it.

        Args:
            row: into :attr:`samples`.
            tau: a box is known iff its score is at least this.
        """
        samples = self.samples
        name, place, value = samples.sets[row], samples.rows[row], samples.values[row]
        records, known = self.picked(name), bool(value >= tau)
        image_id = records.image_ids[place].item()
        file = self._files[name].get(image_id)
        label = records.meta["id_labels"][records.labels[place]]
        (text,) = captions(records, np.array([place]), self.report.values[name])
        thing, negative = samples.things[row], samples.negatives[row]
        said = CALLED_KNOWN if known else CALLED_UNKNOWN
        caption = [
            f"{thing}, taken for {label}, {said}" if thing else f"{label}, {said}",
            f"{self.report.main_name} {value:.3f}",
            *([f"nearest negative {negative}"] if negative else []),
            f"{name}: {file.name if file else image_id}",
        ]
        return box_picture(file, records.bboxes[place], text, caption[0], caption, known=known)
