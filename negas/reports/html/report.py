"""One HTML page per evaluation: numbers, curves, confusion, mistakes, calibration, settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from negas.evaluation.unknown import chosen_unknown
from negas.files import check_file, check_folder, write_text
from negas.visualization.curves import plot_histogram, plot_roc
from negas.visualization.painting import paint_sets

from ..columns import score_title
from .mistakes import CONFUSION_NOTE, MISTAKES_NOTE, confusion, mistake_groups
from .objects import OBJECT_NOTES, object_tables, oscr_picture
from .page import Confusion, Page, Picture, PictureGroup, render_page
from .plots import svg_uri
from .reliability import plot_reliability, reliability
from .run import ReportRun, load_report_run
from .sections import (
    OPEN_SET_NOTES,
    TABLE_NOTES,
    bank_words,
    facts,
    headline,
    open_set_table,
    percent,
    settings_rows,
    table_groups,
)
from .slider import tau_slider
from .unknown_objects import UNKNOWN_NOTE, unknown_groups, unknown_plots, unknown_tables

REPORT_FILE = "report.html"


def make_html_report(
    path: str | Path,
    out: str | Path | None = None,
    score: str | None = None,
    pictures: int = 8,
    show_dir: str | Path | None = None,
    annotations: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the page of a test run.

    Args:
        path: work dir of ``negas test``.
        out: file to write; by default ``report.html`` in the work dir.
        score: label of the score in plots and pictures; by default the one of the test.
        pictures: hardest mistakes per set.
        show_dir: also paint every image of every set there, known and unknown boxes.
        annotations: COCO jsons by set, where the paths in the records no longer hold.
        overwrite: replace a file that is no such page.

    Returns:
        The file.

    Raises:
        FileNotFoundError: no work dir, results without records, a file of ``annotations`` that
            does not exist, or, for ``show_dir`` only, missing images.
        ValueError: files that cannot be read or of another version, or a score that was not tested.
        OSError: the file cannot be written; found before any work.
    """
    target = Path(path) / REPORT_FILE if out is None else Path(out)
    if Path(path).is_dir() or out is not None:  # a wrong work dir is not made by looking at it
        check_file(target, "--out", ("OOD detection report</title>",), overwrite)
    if show_dir is not None:
        check_folder(show_dir, "--show-dir")
    run = load_report_run(path, score, annotations)
    page = build_page(run, pictures)
    write_text(target, render_page(page))
    if show_dir is not None:
        main = run.main_score
        records, cut = run.scored_records(), run.samples.cut.value
        objects = chosen_unknown(run.run, cut, list(records))
        paint_sets(records, main, cut, run.tau, Path(show_dir), *objects)
    return target


def build_page(run: ReportRun, pictures: int = 8) -> Page:
    """Collect everything that stands on the page."""
    ood_sets = run.run.ood_sets
    # disable=None: no bar where standard error is no terminal
    total = (pictures + 1) * (2 * len(ood_sets) + 1) + len(ood_sets)
    with tqdm(total=total, desc="report", leave=False, disable=None) as bar:
        groups = mistake_groups(run, pictures, bar.update)
        found_unknown = unknown_groups(run, pictures, bar.update)
        tables = []
        for name in ood_sets:
            tables.append(open_set_table(run, name))
            bar.update()
        plots = []
        for name in ood_sets:
            plots.append(_plots(run, name))
            bar.update()
        objects, classes = object_tables(run)
        info = run.results["run"]
        return Page(
            title=Path(info.get("config") or run.run.path.name).stem,
            subtitle=f"OOD detection report of {run.run.path}; ID against {', '.join(ood_sets)}. "
            "Larger scores mean known (ID).",
            tiles=headline(run),
            facts=facts(run),
            table_groups=table_groups(run),
            table_notes=TABLE_NOTES,
            objects=objects,
            object_classes=classes,
            objects_notes=OBJECT_NOTES,
            open_set=tables,
            open_set_notes=OPEN_SET_NOTES,
            plots=plots,
            confusions=[_confusion(run, name) for name in ood_sets],
            confusion_note=CONFUSION_NOTE,
            mistakes=groups,
            mistakes_note=MISTAKES_NOTE,
            slider=tau_slider(run.values, run.tau),
            unknown=found_unknown,
            unknown_note=UNKNOWN_NOTE,
            unknown_tables=unknown_tables(run),
            unknown_plots=unknown_plots(run),
            reliability=_reliability(run),
            banks=bank_words(run),
            settings=settings_rows(run),
        )


def _plots(run: ReportRun, name: str) -> PictureGroup:
    """Of one OOD set: histograms of the main score and the confidence, ROC and OSCR curves."""
    values = {run.main.label: run.values, run.plain.label: run.plain_values}
    objects = [picture for picture in [oscr_picture(run, name)] if picture]
    if not all(len(run.values[key]) for key in ("id", name)):
        return PictureGroup(name, objects, "No box of this set is over the confidence cut.")
    pictures = []
    for label, by_set in values.items():
        draw = partial(plot_histogram, by_set["id"], {name: by_set[name]}, score_title(label))
        alt = f"Histogram of {score_title(label)} on ID and {name} boxes with the 95% threshold"
        pictures.append(Picture(alt, svg_uri(draw)))
    curves = {score_title(label): (by["id"], by[name]) for label, by in values.items()}
    alt = f"ROC curves of {' and '.join(curves)} on {name}"
    pictures.append(Picture(alt, svg_uri(partial(plot_roc, {name: curves}))))
    return PictureGroup(name, [*pictures, *objects])


def _confusion(run: ReportRun, name: str) -> Confusion:
    truth, reason = run.truth(name)
    if truth is None:
        return Confusion(name, note=f"No table: {reason}.")
    known = run.values[name] >= run.tau
    return confusion(name, run.picked(name), known, truth, run.run.id_labels)


def _reliability(run: ReportRun) -> PictureGroup:
    title = "Calibration of the confidence"
    truth, reason = run.truth("id")
    if truth is None:
        return PictureGroup(title, (), f"No curve: {reason}.")
    records = run.run.records["id"]
    right = run.true_detections(records, truth)
    curve = reliability(records.scores, right)
    over = records.scores >= np.float32(run.samples.cut.value)
    ece = percent(reliability(records.scores[over], right[over]).ece)
    alt = "Precision on ID over confidence in ten bins, with the diagonal and the cut"
    note = (
        f"All {len(records)} recorded ID boxes in ten bins of confidence. A box is right if it "
        "finds an object of its label (IoU over 0.5, each object once). Expected calibration "
        f"error (ECE) over all boxes {percent(curve.ece)}, over those above the cut {ece}."
    )
    picture = Picture(alt, svg_uri(partial(plot_reliability, curve, run.samples.cut.value)))
    return PictureGroup(title, [picture], note)
