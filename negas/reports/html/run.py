"""A run as the HTML report reads it: results, boxes, samples, the main score and its threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from negas.evaluation.provenance import complete
from negas.evaluation.rows import (
    NamedScore,
    Samples,
    bank_records,
    name_scores,
    take_samples,
    values_by_set,
)
from negas.evaluation.run import OWN_BANK, RESULTS_FILE, Dump, load_dump
from negas.metrics import PRESETS, select_samples
from negas.metrics.roc import threshold_at_recall
from negas.records import BoxRecords
from negas.reports.methods import load_run, score_name
from negas.scores import get_score
from negas.visualization.boxes import validation_threshold

PLAIN = "max_sigmoid"  # the detector's own confidence, drawn beside the main score


@dataclass
class ReportRun:
    """One evaluation.

    Attributes:
        path: work dir of ``tools/test.py``.
        results: content of ``ood_results.json``; what an older version did not store is ``None``.
        dump: kept boxes.
        samples: boxes over the cut that the plots and pictures are made of.
        main: the score of plots and pictures.
    """

    path: Path
    results: dict
    dump: Dump
    samples: Samples
    main: NamedScore

    @property
    def main_name(self) -> str:
        """The main score, as tables call it."""
        return score_name(self.main.label)

    @property
    def protocol(self) -> str:
        """The protocol of plots and pictures: the first of the test."""
        return self.samples.preset.protocol

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        """The main score of the samples, by set."""
        return self.values_of(self.main)

    @cached_property
    def plain_values(self) -> dict[str, np.ndarray]:
        """The score without negatives of the samples, by set."""
        same = self.main.label == self.plain.label
        return self.values if same else self.values_of(self.plain)

    def values_of(self, score: NamedScore) -> dict[str, np.ndarray]:
        """A score of the samples, by set."""
        return values_by_set(self.dump, self.samples, score, OWN_BANK)

    @property
    def plain(self) -> NamedScore:
        """The score without negatives that is drawn for comparison."""
        return NamedScore(PLAIN, PLAIN, {}, False, False)

    @property
    def tau(self) -> float:
        """A box is known iff its score is at least this: 95% of the ID test samples are."""
        return float(threshold_at_recall(self.values["id"]))

    def picked(self, name: str) -> BoxRecords:
        """The samples of a set, in the order of :attr:`values`."""
        return self.dump.records[name].select(self.samples.rows[name])

    def scored_records(self) -> Mapping[str, BoxRecords]:
        """All records as the main score reads them."""
        return bank_records(self.dump, self.main, OWN_BANK)

    def validation_tau(self) -> float | None:
        """The threshold from ID validation boxes; ``None`` without such a set."""
        if "cut" not in self.dump.records:
            return None
        score = get_score(self.main.name, **self.main.options)
        try:
            return validation_threshold(self.scored_records(), score, self.samples.cut)
        except ValueError:  # no validation box over the cut
            return None

    def truth(self, name: str) -> tuple[COCO | None, str]:
        """Ground truth of a set, or why there is none."""
        try:
            truth = self.dump.truth(name)
        except FileNotFoundError:
            file = self.dump.records[name].meta.get("ann_file", "")
            return None, f"its annotations are not on disk: {file or 'the records name none'}"
        except ValueError as error:
            return None, f"its annotations cannot be read: {error}"
        if not truth.dataset["annotations"]:
            return None, "the set has no annotations"
        return truth, ""

    def true_detections(self, records: BoxRecords, truth: COCO) -> np.ndarray:
        """Mask ``[N]`` of the ID boxes that find an object of their label (IoU over 0.5)."""
        return select_samples(records, 0.0, "matched", truth, "id")


def load_report_run(
    path: str | Path, score: str | None = None, annotations: Mapping[str, str] | None = None
) -> ReportRun:
    """Read a work dir of ``tools/test.py``.

    Args:
        path: the folder with ``ood_results.json`` and ``records``.
        score: label of the main score; by default the one the detector was tested with.
        annotations: COCO jsons by set, where the paths in the records no longer hold.

    Raises:
        FileNotFoundError: it is no such folder, results stand without records, or ``annotations``
            names a file that does not exist.
        ValueError: a file cannot be read, is of another version, or the score was not tested.
    """
    path = Path(path)
    run = load_run(path)
    if not (path / "records").is_dir():
        raise FileNotFoundError(
            f"{path}: there is {RESULTS_FILE} but no folder 'records', so there are no boxes to "
            "draw; run tools/test.py again with test_evaluator.dump=True"
        )
    dump = load_dump(path, annotations)
    for name, file in (annotations or {}).items():
        dump.truth(name)  # what the user names must be there; other sets may lack theirs
        moved = dump.records[name].meta | dict(ann_file=file)
        dump.records[name] = replace(dump.records[name], meta=moved)  # names of images, too
    if lost := sorted(set(run.results["sets"]) - set(dump.records)):
        raise FileNotFoundError(
            f"{path}: the records of the set {lost[0]!r} are missing; run tools/test.py again"
        )
    settings = run.results["settings"]
    main = _main_score(path, run.results, dump, score)
    preset = PRESETS["matched" if settings["protocols"][0] == "matched" else "own"]
    try:
        samples = take_samples(dump, preset)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: the test's first protocol is 'matched', which needs the annotations of every "
            "set; make the report where the test ran, or give their places with --ann SET=FILE"
        ) from error
    if not len(samples.rows["id"]):
        raise ValueError(
            f"{path}: no ID box is over the confidence cut {samples.cut:.4g}, so there is nothing "
            "to report"
        )
    return ReportRun(path, complete(run.results), dump, samples, main)


def _main_score(path: Path, results: dict, dump: Dump, wanted: str | None) -> NamedScore:
    scores = name_scores(results["settings"]["scores"])
    has_negatives = dump.records["id"].neg_logits is not None
    usable = [score for score in scores if has_negatives or not score.needs_negatives]
    if wanted is not None:
        found = [score for score in usable if score.label == wanted]
        if not found:
            raise ValueError(
                f"--score: {wanted!r} is none of this test's scores: "
                f"{', '.join(score.label for score in usable) or 'none'} ({path})"
            )
        return found[0]
    by_name = {score.name: score for score in reversed(usable)}
    for name in (results["run"].get("score"), PLAIN):
        if name in by_name:
            return by_name[name]
    if not usable:
        return NamedScore(PLAIN, PLAIN, {}, False, False)
    return usable[0]
