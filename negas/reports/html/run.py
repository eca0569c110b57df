"""A run as the HTML report reads it: results, boxes, samples, the main score and its threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from negas.evaluation.cuts import tau_of, validation_tau
from negas.evaluation.provenance import complete
from negas.evaluation.recorded import MODEL_BANK
from negas.evaluation.result_files import records_folder
from negas.evaluation.rows import (
    NamedScore,
    Samples,
    bank_records,
    build_score,
    name_scores,
    sample_values,
    take_samples,
    usable,
)
from negas.evaluation.run import Run
from negas.metrics import PRESETS, Preset, select_samples
from negas.records import ID, ID_VAL, BoxRecords
from negas.scores import Score

from ..columns import Block, score_title
from ..methods import load_tested

PLAIN = "max_sigmoid"  # the detector's own confidence, drawn beside the main score


@dataclass
class ReportRun:
    """One evaluation.

    Attributes:
        run: the finished test.
        samples: boxes over the cut that the plots and pictures are made of.
        main: the score of plots and pictures.
    """

    run: Run
    samples: Samples
    main: NamedScore

    @property
    def main_name(self) -> str:
        """The main score, as tables call it."""
        return score_title(self.main.label)

    @cached_property
    def results(self) -> dict:
        """Content of ``ood_results.json``; ``None`` for what need not be in it and is not."""
        return complete(self.run.results)

    @property
    def block(self) -> Block:
        """Rows of the preset of plots and pictures: the first of the test."""
        preset, cut = self.samples.preset, self.samples.cut
        return Block(preset.name, cut.value if cut.source == "fixed" else None)

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
        return sample_values(self.run, self.samples, score, MODEL_BANK)

    @property
    def plain(self) -> NamedScore:
        """The score without negatives that is drawn for comparison."""
        return name_scores([PLAIN])[0]

    @property
    def tau(self) -> float:
        """A box is known iff its score is at least this: 95% of the ID test samples are."""
        return self.tau_of(self.main)

    def tau_of(self, score: NamedScore) -> float:
        """:attr:`tau` of the main score or the plain one."""
        return tau_of((self.values if score == self.main else self.plain_values)[ID])

    def picked(self, name: str) -> BoxRecords:
        """The samples of a set, in the order of :attr:`values`."""
        return self.run.records[name].select(self.samples.rows[name])

    def scored_records(self) -> Mapping[str, BoxRecords]:
        """All records as the main score reads them."""
        return bank_records(self.run, self.main, MODEL_BANK)

    @property
    def main_score(self) -> Score:
        """The main score itself, as it scores :meth:`scored_records`."""
        return build_score(self.run, self.main, self.scored_records())

    def validation_tau(self) -> float | None:
        """The threshold from ID validation boxes; ``None`` without such a set."""
        if ID_VAL not in self.run.records:
            return None
        try:
            return validation_tau(self.scored_records(), self.main_score, self.samples.cut.value)
        except ValueError:  # no validation box over the cut
            return None

    def truth(self, name: str) -> tuple[COCO | None, str]:
        """Ground truth of a set, or why there is none."""
        try:
            truth = self.run.truth(name)
        except FileNotFoundError:
            file = self.run.records[name].meta.get("ann_file", "")
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
    """Read a work dir of ``negas test``.

    Args:
        path: the folder with ``ood_results.json`` and ``records``.
        score: label of the main score; by default the one the detector was tested with.
        annotations: COCO jsons by set, where the paths in the records no longer hold.

    Raises:
        FileNotFoundError: it is no such folder, results stand without records, or ``annotations``
            names a file that does not exist.
        ValueError: a file cannot be read, is of another version, or the score was not tested.
    """
    run = load_tested(path, annotations)
    if records_folder(run.path) == run.path:
        raise FileNotFoundError(
            f"{path}: there are results but no folder 'records', so there are no boxes to draw; "
            "run negas test again with test_evaluator.dump=True"
        )
    for name, file in run.annotations.items():
        run.truth(name)  # what the user names must be there; other sets may lack theirs
        moved = run.records[name].meta | dict(ann_file=file)
        run.records[name] = replace(run.records[name], meta=moved)  # names of images, too
    main = _main_score(run, score)
    try:
        samples = take_samples(run, _first_preset(run))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: the test's first preset looks at annotations, which are not there; make the "
            "report where the test ran, or give their places with --ann SET=FILE"
        ) from error
    if not len(samples.rows[ID]):
        raise ValueError(
            f"{path}: no ID box is over the confidence cut {samples.cut.value:.4g}, so there is "
            "nothing to report"
        )
    return ReportRun(run, samples, main)


def _first_preset(run: Run) -> Preset:
    """The preset that the test named first, at the cut of its rows."""
    preset = PRESETS[run.results["settings"]["presets"][0]]
    if preset.cut is None:
        cut = next(row["cut"] for row in run.tested_rows if row["preset"] == preset.name)
        preset = replace(preset, cut=cut)
    return preset


def _main_score(run: Run, wanted: str | None) -> NamedScore:
    found = usable(run, name_scores(run.results["settings"]["scores"]))
    if wanted is not None:
        named = [score for score in found if score.label == wanted]
        if not named:
            raise ValueError(
                f"--score: {wanted!r} is none of this test's scores: "
                f"{', '.join(score.label for score in found) or 'none'} ({run.path})"
            )
        return named[0]
    by_name = {score.name: score for score in reversed(found)}
    for name in (run.info.get("score"), PLAIN):
        if name in by_name:
            return by_name[name]
    return found[0] if found else name_scores([PLAIN])[0]
