"""Dumps of kept boxes on disk: reading them, and refusing what does not belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from negas.evaluation.results import TEXT_FEATS_FILE
from negas.metrics import Cut, LabeledBoxes, Preset
from negas.metrics.coco import CocoSource, load_coco
from negas.records import BoxRecords

from .report_check import load_records, read_feats
from .report_runs import RESULTS_FILE, load_run, run_name

OWN_BANK = "own"


@dataclass
class Dump:
    """Kept boxes of one run: the ID set, OOD sets, perhaps the set of the confidence cut.

    Attributes:
        path: what the user gave.
        records: boxes by set; ``id`` and at least one OOD set.
        results: content of ``ood_results.json``, or ``None`` where only records are left.
        annotations: COCO jsons by set, instead of the paths in the records.
    """

    path: Path
    records: dict[str, BoxRecords]
    results: dict | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How tables call it."""
        return run_name(self.path)

    @property
    def ood_sets(self) -> list[str]:
        """Names of the OOD sets."""
        return [name for name in self.records if name not in ("id", "cut")]

    @property
    def id_labels(self) -> list[str]:
        """ID label names, or numbers where the records name none."""
        records = self.records["id"]
        return list(records.meta.get("id_labels") or map(str, range(records.num_ids)))

    @cached_property
    def truths(self) -> dict[str, CocoSource]:
        """Ground truths read so far, by set."""
        return {}

    @cached_property
    def cuts(self) -> dict[str, Cut]:
        """F1 cuts found so far, by rule: each costs an evaluation of all boxes."""
        return {}

    @cached_property
    def samples(self) -> dict[Preset, Any]:
        """:class:`~.score_rows.Samples` taken so far, by preset."""
        return {}

    @cached_property
    def rescored(self) -> dict[str, dict[str, BoxRecords]]:
        """Records with the negative logits of other banks, by bank, as far as asked for."""
        return {}

    def truth(self, name: str) -> CocoSource:
        """Ground truth of a set.

        Raises:
            FileNotFoundError: the annotation file is not where it was during the test.
        """
        if name not in self.truths:
            file = self.annotations.get(name) or self.records[name].meta.get("ann_file", "")
            if not Path(file).is_file():
                raise FileNotFoundError(
                    f"{self.path}: the annotations {file!r} of the set {name!r} do not exist; give "
                    f"their place with --ann {name}=FILE"
                )
            self.truths[name] = load_coco(file)
        return self.truths[name]

    @cached_property
    def objects(self) -> dict[str, LabeledBoxes]:
        """Annotated objects for the open-set metrics, by set, as far as asked for."""
        return {}

    def with_bank(self, bank: str) -> dict[str, BoxRecords]:
        """Records whose negative logits are those of a bank of the run.

        Raises:
            ValueError: the run has no such bank, or its records hold no embeddings.
        """
        if bank == OWN_BANK:
            return self.records
        if bank not in self.rescored:
            self.rescored[bank] = self._rescore(bank)
        return self.rescored[bank]

    @cached_property
    def feats(self) -> dict[str, np.ndarray]:
        """Text embeddings by bank, as the test left them; empty without its file."""
        file = _records_folder(self.path) / TEXT_FEATS_FILE
        return read_feats(file) if file.is_file() else {}

    def bank_labels(self, bank: str) -> list[str] | None:
        """The words of a bank, where the dump names them."""
        labels = (self.results or {}).get("banks", {}).get(bank, {}).get("labels")
        if labels is None and bank == OWN_BANK:
            labels = self.records["id"].meta.get("neg_labels")
        return labels

    def _rescore(self, bank: str) -> dict[str, BoxRecords]:
        if bank not in self.feats:
            known = ", ".join(self.feats) or "none, as there is no text_feats.npz"
            raise ValueError(f"{self.path}: there is no bank {bank!r}; the dump has: {known}")
        return self.rescore(bank, self.feats[bank])

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


def load_dump(path: str | Path, annotations: Mapping[str, str] | None = None) -> Dump:
    """Read a run's work dir or a folder of record files.

    Raises:
        FileNotFoundError: there is no such folder, or nothing to score in it.
        ValueError: a file cannot be read, or its sets do not belong together.
    """
    path = Path(path)
    folder = _records_folder(path)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{path}: no such folder; give the work dir of tools/test.py or its records folder"
        )
    files = [file for file in sorted(folder.glob("*.npz")) if file.name != TEXT_FEATS_FILE]
    stems = [file.stem for file in files]
    if "id" not in stems or not set(stems) - {"id", "cut"}:
        raise FileNotFoundError(
            f"{path}: expected id.npz and one file per OOD set, found "
            f"{', '.join(stems) or 'no records'}; run tools/test.py with OOD sets"
        )
    results = None
    for home in (path, path.parent):
        if _records_folder(home) == folder and (home / RESULTS_FILE).is_file():
            results = load_run(home).results
            break
    order = list((results or {}).get("sets", {}))  # as tested, not by name
    files.sort(key=lambda file: order.index(file.stem) if file.stem in order else len(order))
    records = {file.stem: load_records(file) for file in files}
    unknown = sorted(set(annotations or {}) - set(records))
    if unknown:
        raise ValueError(f"--ann: there is no set {unknown[0]!r}; sets: {', '.join(records)}")
    dump = Dump(path, records, results, annotations or {})
    check_sets(dump)
    return dump


def check_sets(dump: Dump) -> None:
    """Refuse sets of other vocabularies, mixed label orders and an ID set without boxes.

    Raises:
        ValueError: in one sentence.
    """
    first = dump.records["id"]
    if not len(first):
        raise ValueError(f"{dump.path}: the ID set holds no box, so there is nothing to score")
    for name, records in dump.records.items():
        for key, what in (("id_labels", "ID labels"), ("neg_labels", "negative labels")):
            _same_labels(
                f"{dump.path}: the sets 'id' and {name!r}",
                what,
                first.meta.get(key),
                records.meta.get(key),
            )
        if records.num_ids != first.num_ids:
            raise ValueError(
                f"{dump.path}: the sets 'id' and {name!r} have {first.num_ids} and "
                f"{records.num_ids} ID labels; all sets must come from one test"
            )
        if (records.neg_logits is None) != (first.neg_logits is None) or (
            first.neg_logits is not None
            and records.neg_logits.shape[1] != first.neg_logits.shape[1]
        ):
            raise ValueError(
                f"{dump.path}: the sets 'id' and {name!r} were scored with different negative "
                "labels; all sets must come from one test"
            )


def check_pair(dump: Dump, other: Dump) -> list[str]:
    """The OOD sets that both dumps have.

    Raises:
        ValueError: other ID labels or images, so the runs cannot be compared.
    """
    _same_labels(f"{dump.path} and {other.path}", "ID labels", dump.id_labels, other.id_labels)
    shared = [name for name in dump.ood_sets if name in other.ood_sets]
    if not shared:
        raise ValueError(
            f"{dump.path} and {other.path} have no OOD set in common "
            f"({', '.join(dump.ood_sets)} and {', '.join(other.ood_sets)})"
        )
    for name in ("id", *shared):
        mine, theirs = dump.records[name].images, other.records[name].images
        if not np.array_equal(mine, theirs):
            raise ValueError(
                f"{dump.path} and {other.path}: the set {name!r} has other images ({len(mine)} and "
                f"{len(theirs)}); a paired comparison needs the same ones"
            )
    return shared


def _same_labels(where: str, what: str, first: Iterable | None, second: Iterable | None) -> None:
    if first is None or second is None or list(first) == list(second):
        return
    if sorted(first) == sorted(second):
        raise ValueError(
            f"{where} have the same {what} in different orders, so their columns of logits do not "
            "agree; test again with one order"
        )
    lost = sorted(set(first) ^ set(second))[0]
    raise ValueError(
        f"{where} have different {what} ({lost!r} is in one of them only); they must come from one "
        "vocabulary"
    )


def _records_folder(path: Path) -> Path:
    return path / "records" if (path / "records").is_dir() else path
