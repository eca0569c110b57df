"""What a finished test left behind: boxes by set, results, ground truth, embeddings of texts.

Everything that is read or computed once per run is kept here: no rule of this room reads a file
by itself. :class:`negas.evaluation.run.Run` is this with the questions people ask.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools.coco import COCO

from negas.metrics import Cut, LabeledBoxes, ObjectPairs, Preset
from negas.metrics.coco import CocoSource, load_coco
from negas.metrics.objects import OSCR_METRICS
from negas.metrics.protocol import ROW_METRICS
from negas.records import ID, ID_SETS, ID_TRAIN, ID_VAL, BoxRecords

from .result_files import (
    CELLS,
    HEAD_FILE,
    NO_SETS,
    TEXT_FEATS_FILE,
    check_labels,
    find_results,
    load_records,
    read_beside,
    read_results,
    records_folder,
    same_labels,
    unfinished,
)

if TYPE_CHECKING:
    from typing import Self

MODEL_BANK = "model"  # the negatives that the detector was tested with
VOCABULARY = "vocabulary"  # that cells meet
_NUMBERS = (*ROW_METRICS, *OSCR_METRICS)
RESERVED_BANKS = (MODEL_BANK, "none")  # "none": rows of scores that read no negatives


@dataclass
class Recorded:
    """Detections of one run and what belongs to them.

    Attributes:
        path: of the run, for messages.
        results: content of ``ood_results.json``, or ``None`` where only records are left.
        annotations: COCO jsons by set, instead of the paths in the records.
        truths: ground truths read so far, by set.
        cuts: confidence cuts found so far, by rule (:mod:`.cuts`).
        samples: :class:`~.rows.Samples` taken so far, by preset.
        objects: annotated objects for the open-set metrics so far, by set and by what crowds and
            difficult objects count as.
        pairs: boxes on these objects so far, by set.
        fit_set: the ID set that scores are fitted on, where they have to be.
        fitted: states of such scores so far (:func:`~.fitting.fitted_score`).
        fitting: held while one is fitted.
        unknown_boxes: boxes of unknown objects that have no ID label, by set, as far as they were
            sought (:func:`~.unknown.unknown_boxes_of`); empty where the detector has none.
    """

    path: Path
    results: dict | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    truths: dict[str, COCO] = field(default_factory=dict, repr=False)
    cuts: dict[str, Cut] = field(default_factory=dict, repr=False)
    samples: dict[Preset, Any] = field(default_factory=dict, repr=False)
    objects: dict[tuple[str, ...], LabeledBoxes] = field(default_factory=dict, repr=False)
    pairs: dict[str, ObjectPairs] = field(default_factory=dict, repr=False)
    fit_set: str = ID_VAL
    fitted: dict[tuple, Any] = field(default_factory=dict, repr=False)
    fitting: Lock = field(default_factory=Lock, repr=False)
    unknown_boxes: dict[str, LabeledBoxes] = field(default_factory=dict, repr=False)
    _with_banks: dict[str, dict[str, BoxRecords]] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, path: str | Path, annotations: Mapping[str, str] | None = None) -> Self:
        """A work dir of ``negas test``, or a folder of records.

        Records are read when they are first asked for.

        Raises:
            FileNotFoundError: there is no such folder, or no run in it.
            ValueError: the results cannot be read, or ``annotations`` name a set that is not there.
        """
        path = Path(path)
        if not path.is_dir():
            raise FileNotFoundError(
                f"{path}: no such folder; give the work dir of negas test or its records folder"
            )
        found = find_results(path, above=True)
        results = read_results(found.parent) if found else None
        run = cls(path, results, annotations or {})
        if results is None:
            run._files()  # there must be something
        unknown = sorted(set(run.annotations) - set(run.sets))
        if unknown:
            raise ValueError(
                f"--ann: there is no set {unknown[0]!r} in {path}; sets: {', '.join(run.sets)}"
            )
        return run

    @classmethod
    def of(
        cls,
        path: Path,
        records: Mapping[str, BoxRecords],
        feats: Mapping[str, np.ndarray] | None = None,
        results: dict | None = None,
        truths: Mapping[str, CocoSource] | None = None,
    ) -> Self:
        """A run in memory, such as a test that has just seen its last image.

        Args:
            path: of the run, for messages.
            records: detections by set.
            feats: text embeddings ``[M, D]`` by bank.
            results: as far as they are known; ``sets`` in any case.
            truths: ground truth by set.
        """
        loaded = {
            name: truth if isinstance(truth, COCO) else load_coco(truth)
            for name, truth in (truths or {}).items()
        }
        run = cls(path, results, truths=loaded)
        run.records, run.feats, run.head = dict(records), dict(feats or {}), {}
        return run

    @property
    def name(self) -> str:
        """How tables call it: the folder, with the one above where its own name says little."""
        parts = self.path.resolve().parts
        says_little = re.fullmatch(r"records(\.part)?|seed[_-]?\d+", parts[-1])
        return "/".join(parts[-2 if says_little else -1 :])

    @property
    def sets(self) -> list[str]:
        """Names of all sets in the order of the test."""
        if self.results:
            return list(self.results["sets"])
        return list(self.__dict__.get("records") or self._files())

    @property
    def ood_sets(self) -> list[str]:
        """Names of the OOD sets."""
        return [name for name in self.sets if name not in ID_SETS]

    @property
    def info(self) -> dict:
        """Config, checkpoint, seed and versions of the run; empty without results."""
        return (self.results or {}).get("run", {})

    @property
    def tested_rows(self) -> list[dict]:
        """Rows of the test; NaN for a number that does not exist (the AUROC of an empty set)."""
        rows = (self.results or {}).get("rows", ())
        return [
            {k: math.nan if v is None and k in _NUMBERS else v for k, v in r.items()} for r in rows
        ]

    def _files(self) -> dict[str, Path]:
        folder = records_folder(self.path)
        files = [file for file in sorted(folder.glob("*.npz")) if file.stem not in NO_SETS]
        found = {file.stem: file for file in files}
        if ID not in found or not set(found) - {*ID_SETS}:
            raise FileNotFoundError(
                f"{self.path}: expected id.npz and one file per OOD set, found "
                f"{', '.join(found) or 'no records'}; run negas test with OOD sets"
                + unfinished(self.path)
            )
        return found

    @cached_property
    def records(self) -> dict[str, BoxRecords]:
        """Detections by set; ``id`` and at least one OOD set.

        Raises:
            FileNotFoundError: a set of the results has no records.
            ValueError: a file cannot be read, or its sets do not belong together.
        """
        files = self._files()
        lost = [name for name in self.sets if name not in files]
        if lost:
            raise FileNotFoundError(
                f"{self.path}: the records of the set {lost[0]!r} are missing; run negas test again"
            )
        records = {name: load_records(files[name], self.results) for name in self.sets}
        check_sets(self.path, records)
        check_labels(f"{self.path}: the records", records[ID], self.results or {})
        return records

    def forget(self) -> None:
        """Let go of boxes, embeddings and ground truth; they are read again when asked for."""
        for name in ("records", "feats", "head", "cells", "word_feats"):
            self.__dict__.pop(name, None)
        self.fitted.clear()
        for kept in (self.truths, self.samples, self.objects, self.pairs, self._with_banks):
            kept.clear()
        self.unknown_boxes.clear()

    @property
    def has_cells(self) -> bool:
        """Whether the test kept the cells that may be unknown objects."""
        return "cells" in self.__dict__ or (records_folder(self.path) / CELLS).is_dir()

    @cached_property
    def cells(self) -> dict[str, BoxRecords]:
        """Cells by set; ``scores`` is the largest sigmoid of the ID names.

        Raises:
            FileNotFoundError: the test kept none.
            ValueError: a file cannot be read, or is another test's.
        """
        folder = records_folder(self.path) / CELLS
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{self.path}: the test kept no cells, so unknown objects cannot be sought; test "
                "again with model.test_cfg.unknown and model.test_cfg.keep_cells=True"
            )
        return {
            name: load_records(folder / f"{name}.npz", self.results)
            for name in self.sets
            if name != ID_TRAIN
        }

    @cached_property
    def word_feats(self) -> np.ndarray:
        """Text embeddings ``[V, D]`` or ``[V, T, D]`` of the vocabulary's words."""
        file = records_folder(self.path) / CELLS / TEXT_FEATS_FILE
        return read_beside(file, self.results)[VOCABULARY]

    @property
    def words(self) -> list[str]:
        """The V words that cells can be scored with."""
        return self.results["unknown"]["words"]

    @property
    def id_labels(self) -> list[str]:
        """ID label names, or numbers where the records name none."""
        records = self.records[ID]
        return list(records.meta.get("id_labels") or map(str, range(records.num_ids)))

    @property
    def has_negatives(self) -> bool:
        """Whether the detector was tested with negative labels."""
        return self.records[ID].neg_logits is not None

    def truth(self, name: str) -> COCO:
        """Ground truth of a set.

        Raises:
            FileNotFoundError: the annotation file is not where it was during the test.
        """
        if name not in self.truths:
            file = self.annotations.get(name) or self.records[name].meta.get("ann_file", "")
            if not Path(file).is_file():
                raise FileNotFoundError(
                    f"{self.path}: the annotations {file!r} of the set {name!r} do not exist; give "
                    f"their place with --ann {name}=FILE, or run this where the test ran"
                )
            self.truths[name] = load_coco(file)
        return self.truths[name]

    @cached_property
    def feats(self) -> dict[str, np.ndarray]:
        """Text embeddings by bank, as the test left them; empty without its file."""
        return read_beside(records_folder(self.path) / TEXT_FEATS_FILE, self.results)

    @cached_property
    def head(self) -> dict[str, np.ndarray]:
        """What the detector was trained with for scores; empty: nothing.

        Raises:
            ValueError: the test left it, and it is lost or not readable.
        """
        found = read_beside(records_folder(self.path) / HEAD_FILE, self.results)
        if not found and self.info.get("score_head"):
            raise ValueError(
                f"{self.path}: {HEAD_FILE} is missing beside the records, which holds the head "
                "that the detector was trained with; run negas test again"
            )
        return found

    def bank_labels(self, bank: str) -> list[str] | None:
        """The words of a bank, where the run names them."""
        labels = (self.results or {}).get("banks", {}).get(bank, {}).get("labels")
        if labels is None and bank == MODEL_BANK:
            labels = self.records[ID].meta.get("neg_labels")
        return labels

    def with_bank(self, bank: str) -> dict[str, BoxRecords]:
        """Records whose negative logits are those of a bank of the run.

        Raises:
            ValueError: the run has no such bank, or its records hold no embeddings.
        """
        if bank == MODEL_BANK:
            return self.records
        if bank not in self._with_banks:
            if bank not in self.feats:
                known = ", ".join(self.feats) or f"none, as there is no {TEXT_FEATS_FILE}"
                raise ValueError(f"{self.path}: there is no bank {bank!r}; the run has: {known}")
            self._with_banks[bank] = self.rescore(bank, self.feats[bank])
        return self._with_banks[bank]

    def rescore(
        self, bank: str, feats: np.ndarray, names: Iterable[str] | None = None
    ) -> dict[str, BoxRecords]:
        """Records (of all sets, or the named ones) with negative logits from other embeddings.

        Args:
            bank: whose labels the embeddings stand for.
            feats: ``[M, D]`` text embeddings.
            names: of sets; ``None``: all.

        Raises:
            ValueError: the records hold no embeddings, or of another size.
        """
        labels = self.bank_labels(bank)
        try:
            return {n: self.records[n].rescore(feats, labels) for n in names or self.records}
        except ValueError as error:
            raise ValueError(f"{self.path}: bank {bank!r}: {error}") from error


def check_sets(path: Path, sets: Mapping[str, BoxRecords]) -> None:
    """Refuse sets of other vocabularies, mixed label orders and an ID set without boxes.

    Raises:
        ValueError: in one sentence.
    """
    first = sets[ID]
    if not len(first):
        raise ValueError(f"{path}: the ID set holds no box, so there is nothing to score")
    for name, records in sets.items():
        where = f"{path}: the sets 'id' and {name!r}"
        for key, what in (("id_labels", "ID labels"), ("neg_labels", "negative labels")):
            same_labels(where, what, first.meta.get(key), records.meta.get(key))
        if records.num_ids != first.num_ids:
            raise ValueError(
                f"{where} have {first.num_ids} and {records.num_ids} ID labels; all sets must come "
                "from one test"
            )
        if (records.id_logits is None) != (first.id_logits is None):
            raise ValueError(
                f"{where} hold logits in the one and confidences only in the other; all sets must "
                "come from one test"
            )
        shapes = [None if r.neg_logits is None else r.neg_logits.shape[1] for r in (first, records)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{where} were scored with different negative labels; all sets must come from one "
                "test"
            )


def check_pair(run: Recorded, other: Recorded) -> list[str]:
    """The OOD sets that both runs have.

    Raises:
        ValueError: other ID labels or images, so the runs cannot be compared.
    """
    same_labels(f"{run.path} and {other.path}", "ID labels", run.id_labels, other.id_labels)
    shared = [name for name in run.ood_sets if name in other.ood_sets]
    if not shared:
        raise ValueError(
            f"{run.path} and {other.path} have no OOD set in common "
            f"({', '.join(run.ood_sets)} and {', '.join(other.ood_sets)})"
        )
    for name in (ID, *shared):
        mine, theirs = run.records[name].images, other.records[name].images
        if not np.array_equal(mine, theirs):
            raise ValueError(
                f"{run.path} and {other.path}: the set {name!r} has other images ({len(mine)} and "
                f"{len(theirs)}); a paired comparison needs the same ones"
            )
    return shared
