"""The pictures of a test: histograms, ROC curves, and curves of its unknown objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from negas.metrics import PRESETS
from negas.records import ID
from negas.visualization.curves import PLOTS, plot_scores
from negas.visualization.unknown_curves import UNKNOWN_PLOT, plot_unknown

from .recorded import MODEL_BANK, Recorded
from .rows import name_scores, sample_values, take_samples, usable


def remove_plots(folder: Path) -> None:
    """Remove those of an earlier run."""
    for name in (*PLOTS, UNKNOWN_PLOT):
        (folder / name).unlink(missing_ok=True)


def plot_run(run: Recorded, unknown: Mapping, folder: Path) -> list[Path]:
    """Draw what there is of a finished test at its cut; an earlier run's pictures go.

    Args:
        run: with results.
        unknown: ``unknown`` of its results, or of a re-scoring; ``curves`` in it are drawn.
        folder: where to write.

    Returns:
        What was written.
    """
    remove_plots(folder)
    main = run.info.get("score", "max_sigmoid")
    tested = name_scores(run.results["settings"]["scores"])
    (shown,) = [one for one in tested if one.label == main] or name_scores([main])
    if not usable(run, [shown]):  # a validation without the boxes that it is fitted on
        (shown,) = name_scores(["max_sigmoid"])
        main = shown.label
    scores = [*(one for one in name_scores(["max_sigmoid", "energy"]) if one.label != main), shown]
    samples = take_samples(run, PRESETS["val_f1"])  # every box over the run's cut
    values = {s.label: sample_values(run, samples, s, MODEL_BANK) for s in scores}
    by_set = {
        name: {label: each[name] for label, each in values.items()} for name in (ID, *run.ood_sets)
    }
    written = plot_scores(by_set.pop(ID), by_set, main, folder)
    if curves := unknown.get("curves"):
        plot_unknown(curves, folder / UNKNOWN_PLOT)
        written += [folder / UNKNOWN_PLOT] * (folder / UNKNOWN_PLOT).is_file()
    return written


def plot_folders(out: Path, runs: Sequence[Recorded]) -> list[Path]:
    """Where the pictures of each run go: the folder itself for one, else one below by its name."""
    if len(runs) == 1:
        return [out]
    folders: list[Path] = []
    for run in runs:
        folder = out / run.name
        while folder in folders:
            folder = folder.with_name(f"{folder.name}_")
        folders.append(folder)
    return folders
