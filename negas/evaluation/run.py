"""A finished test as an object: ``Run.load(work_dir)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from negas.records import ID

from .cuts import choose_presets
from .objects.owod_rows import add_owod
from .recorded import MODEL_BANK, Recorded
from .rescore import scores_of
from .rows import (
    NamedScore,
    Scoring,
    name_scores,
    parse_score,
    run_rows,
    sample_values,
    take_samples,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

MAIN_SCORES = ("max_sigmoid", "negs")  # what a short table shows beside the test's own score


class Run(Recorded):
    """Detections, results and numbers of one test.

    >>> run = Run.load("work_dirs/demo/negas")  # doctest: +SKIP
    >>> run  # doctest: +SKIP
    >>> run.rows(preset="vos", scores=["negs", "energy"], banks=["model", "wide"])  # doctest: +SKIP
    >>> run.to_pandas().groupby("ood_set").auroc.max()  # doctest: +SKIP
    """

    def rows(
        self,
        preset: str = "val_f1",
        scores: Sequence[str] | None = None,
        banks: Sequence[str] = (MODEL_BANK,),
        cut: str | float | None = None,
        rotations: int | None = 0,
        bootstrap: int = 0,
        seed: int = 0,
    ) -> list[dict]:
        """Numbers of every score on every OOD set, from the records.

        Args:
            preset: of :data:`negas.metrics.PRESETS`.
            scores: names, or ``"negs(weight=0.5)"``; ``None``: all, as the test had them.
            banks: label banks of the run, for scores with negatives.
            cut: in place of the preset's: ``run``, ``val_f1``, ``test_f1`` or a number in [0, 1).
            rotations: draws of the rotated-bank control.
            bootstrap: draws of whole images for intervals.
            seed: of both.

        Returns:
            Rows as :func:`negas.evaluation.rows.run_rows` describes them, under the preset ``owod``
            with what :func:`negas.evaluation.objects.owod_rows.add_owod` adds.

        Raises:
            ValueError: an unknown preset, score, bank or cut, or records that lack what it needs.
            FileNotFoundError: the preset needs annotations that do not exist.
        """
        (chosen,) = choose_presets([preset], None if cut is None else [str(cut)])
        how = dict(rotations=rotations, draws=bootstrap, seed=seed)
        scoring = Scoring(self._named(scores), tuple(banks), **how)
        rows = run_rows(self, chosen, scoring)
        add_owod(self, chosen, scoring.scores, rows)
        return rows

    def to_pandas(self, **what: object) -> pandas.DataFrame:
        """:meth:`rows` as a table; the arguments are the same.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("Run.to_pandas needs pandas; pip install pandas") from error
        return pandas.DataFrame(self.rows(**what))

    def plot(self, score: str | None = None, preset: str = "val_f1") -> Figure:
        """Histograms of a score on the ID set and every OOD set with samples; the 95% threshold.

        Args:
            score: name or ``"name(option=value)"``; ``None``: the one of the test.
            preset: which boxes are samples.

        Raises:
            ValueError: an unknown score or preset, or no box over the cut on one side.
        """
        from negas.visualization.curves import draw_histogram

        (named,) = self._named([score or self.info.get("score") or MAIN_SCORES[0]])
        samples = take_samples(self, choose_presets([preset])[0])
        values = sample_values(self, samples, named, MODEL_BANK)
        ood = {name: values[name] for name in self.ood_sets if len(values[name])}
        if not ood or not len(values[ID]):
            raise ValueError(
                f"{self.path}: there is nothing to draw, as the ID set or every OOD set has no box "
                f"over the confidence cut {samples.cut.value:.4g}"
            )
        return draw_histogram(values[ID], ood, named.label)

    def _named(self, scores: Sequence[str] | None) -> list[NamedScore]:
        if scores is None:
            return scores_of(self)
        return name_scores([parse_score(score) for score in scores])

    def __repr__(self) -> str:
        """Name, detections by set, and FPR95/AUROC of the main scores as tested."""
        lines = [f"Run {self.name} ({self.path})"]
        if not self.results:
            return "\n".join([*lines, f"  records only: {', '.join(self.sets)}"])
        about = self.results["sets"]
        sets = [f"{n} {s.get('boxes', '?')} boxes/{s['images']} images" for n, s in about.items()]
        lines.append("  " + ", ".join(sets))
        wanted = dict.fromkeys([*MAIN_SCORES, self.info.get("score")])
        rows = [
            row
            for row in self.results["rows"]
            if row["control"] == "none" and row["bank"] in (MODEL_BANK, "none")
            if row["score"] in wanted
        ]
        width = max([len(row["score"]) for row in rows], default=0)
        for row in rows:
            numbers = [_percent(row[key]) for key in ("fpr95", "auroc")]
            lines.append(
                f"  {row['preset']:<8}{row['score']:<{width}}  {row['ood_set']}: "
                f"FPR95 {numbers[0]}, AUROC {numbers[1]}"
            )
        return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
