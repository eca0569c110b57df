"""From MMDetection's predictions to :class:`~negas.records.BoxRecords`.

A run on disk: set by set while it goes on, in its place when all is through and scored.

The data sets of a run, looked at before any inference.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from negas.files import file_sha256, make_folder, write_json
from negas.files.locks import lock_file, unlock_file
from negas.files.npz import write_npz
from negas.from_detectors import instance_arrays
from negas.metrics.coco import category_ids, load_coco
from negas.records import ID_SETS, BoxRecords

from .result_files import CELLS, HEAD_FILE, OLD, PART, RECORDS, RESULTS_FILE, TEXT_FEATS_FILE


def to_arrays(
    sample: dict, min_score: float, one_per_box: bool = True, part: str = "pred_instances"
) -> dict[str, np.ndarray]:
    """Arrays of one predicted data sample.

    Args:
        sample: ``DetDataSample.to_dict()`` whose ``pred_instances`` carry ``id_logits`` (and
            ``neg_logits``, ``embeddings``, ``prior_inds`` or ``query_inds`` where there are any).
        min_score: leave out boxes of lower confidence.
        one_per_box: keep a candidate's best label only, where multi-label post-processing returned
            it several times: one box is one sample.
        part: ``unknown_cells`` for the cells that may be unknown objects.

    Raises:
        ValueError: if the predictions carry no logits.
    """
    pred = sample[part]
    if "id_logits" not in pred:
        raise ValueError(
            "the predictions have no id_logits; set test_cfg.keep_logits=True in the model's config"
        )
    # embeddings of cells stay in half precision: half the space
    return instance_arrays(pred, min_score, one_per_box, half=part != "pred_instances")


def to_records(
    parts: Sequence[dict[str, np.ndarray]], image_ids: Sequence[int | str], meta: dict
) -> BoxRecords:
    """Join :func:`to_arrays` of all images of a set."""
    counts = [len(part["scores"]) for part in parts]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    ids = np.asarray(image_ids)
    return BoxRecords(image_ids=np.repeat(ids, counts), images=ids, meta=meta, **joined)


def to_coco_results(sample: dict, category_ids: Sequence[int | str]) -> list[dict]:
    """COCO results (xywh boxes) of one data sample, all labels."""
    pred = sample["pred_instances"]
    boxes = pred["bboxes"].cpu().numpy().astype(float)
    boxes[:, 2:] -= boxes[:, :2]
    return [
        dict(
            image_id=sample["img_id"],
            category_id=category_ids[int(label)],
            bbox=box.tolist(),
            score=float(score),
        )
        for box, label, score in zip(boxes, pred["labels"], pred["scores"], strict=True)
    ]


class RunFolder:
    """Writes ``ood_results.json`` and ``records`` of a test as one thing.

    Until :meth:`finish` all files lie in ``records.part``, the results among them. Then the folders
    change places and the results move up. A run that fails halfway loses no inference and leaves
    an older run as it was; cut off at any moment, readers find one of the two whole
    (:func:`~.result_files.find_results`), and the next run ends what was begun. The results list
    all files by SHA-256, so that nothing of another test is taken for this one's.

    Args:
        home: work dir. It is locked, so that two tests never write to it.
        dump: keep records; else the results only.

    Raises:
        BlockingIOError: another process tests there.
    """

    def __init__(self, home: Path, dump: bool = True) -> None:
        self.home, self.dump, self.names = home, dump, []
        self.part, self.final, self._old = (home / name for name in (PART, RECORDS, OLD))
        self._lock = home / ".test.lock"
        lock_file(self._lock, f"another test writes to {str(home)!r}")
        self._settle()

    def add(self, name: str, records: BoxRecords) -> None:
        """Keep the boxes of one finished set."""
        if not self.dump:
            return
        if not self.names:
            shutil.rmtree(self.part, ignore_errors=True)  # of a run that failed
        records.save(self.part / f"{name}.npz")
        self.names.append(name)

    def add_cells(self, name: str, cells: BoxRecords) -> None:
        """Keep the cells of a set that was added."""
        if self.dump:
            # Nearly all is embeddings in half precision: a tenth smaller for forty times the time.
            cells.save(self.part / CELLS / f"{name}.npz")

    def add_feats(
        self,
        feats: Mapping[str, np.ndarray],
        words: Mapping[str, np.ndarray] | None = None,
        head: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Keep the text embeddings ``[M, D]`` of every bank, after the last set.

        Args:
            feats: by bank.
            words: those of the vocabulary that cells meet, under its name.
            head: what the detector was trained with for scores, if anything.
        """
        if self.names:
            write_npz(self.part / TEXT_FEATS_FILE, feats)
            if head:
                write_npz(self.part / HEAD_FILE, head)
            if words:
                write_npz(self.part / CELLS / TEXT_FEATS_FILE, words)

    def add_results(self, results: dict) -> None:
        """Keep all but the rows: with it ``records.part`` can be scored as it is."""
        if self.names:
            self._write(dict(rows=[], unscored=True) | results)

    def finish(self, results: dict | None) -> None:
        """Put the run in its place, in that of an older one.

        Args:
            results: content of ``ood_results.json``; ``None``: no cut was found, records only.
        """
        if not self.names:
            shutil.rmtree(self.part, ignore_errors=True)
        make_folder(self.part)
        if results is not None:
            self._write(results)
        if self.final.is_dir():
            os.rename(self.final, self._old)
        if results is None:
            (self.home / RESULTS_FILE).unlink(missing_ok=True)
        os.rename(self.part, self.final)
        self._settle()

    def release(self) -> None:
        """Let others test here."""
        unlock_file(self._lock)

    def _write(self, results: dict) -> None:
        files = sorted(self.part.rglob("*.npz"))
        listed = {file.relative_to(self.part).as_posix(): file_sha256(file) for file in files}
        write_json(self.part / RESULTS_FILE, results | dict(files=listed))

    def _settle(self) -> None:
        """The second half of a swap, perhaps of a run that was killed."""
        if self._old.is_dir() and not self.final.is_dir():
            os.rename(self._old, self.final)
        if (self.final / RESULTS_FILE).is_file():
            os.replace(self.final / RESULTS_FILE, self.home / RESULTS_FILE)
        if self.final.is_dir() and not any(self.final.iterdir()):  # a run that keeps no records
            self.final.rmdir()
        shutil.rmtree(self._old, ignore_errors=True)


def read_truths(datasets: Mapping[str, object], class_names: Sequence[str]) -> dict[str, COCO]:
    """Ground truth of every set.

    Args:
        datasets: MMDetection datasets by set name, with ``ann_file``.
        class_names: of the model; the jsons of ID sets must have them all.

    Raises:
        ValueError: a set has no json, it is no COCO json, or an ID set's lacks a class.
        FileNotFoundError: a json does not exist.
    """
    truths = {}
    for name, dataset in datasets.items():
        ann_file = getattr(dataset, "ann_file", None)
        if not ann_file:
            raise ValueError(
                f"OODMetric: the set {name!r} ({type(dataset).__name__}) has no ann_file; give a "
                "dataset with one COCO json"
            )
        truths[name] = load_coco(ann_file)
        if name in ID_SETS:
            try:
                category_ids(truths[name], class_names)
            except ValueError as error:
                raise ValueError(f"the set {name!r}, {str(ann_file)!r}: {error}") from error
    return truths


def files_of(dataset: object) -> dict[str, str]:
    """Where annotations and images of a set lie, for ``meta`` of its records."""
    images = (getattr(dataset, "data_prefix", None) or {}).get("img", "")
    return dict(ann_file=str(dataset.ann_file), img_dir=str(images))
