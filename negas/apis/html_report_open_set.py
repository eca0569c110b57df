"""Open-set metrics on the HTML report: annotated objects that boxes miss or call known."""

from __future__ import annotations

from negas.metrics.roc import threshold_at_recall
from negas.visualization.tables import Row, Section, Table

from .html_report_run import ReportRun
from .report_table import score_name
from .score_dump import OWN_BANK
from .score_open_set import open_set_row
from .score_table import OPEN_SET_COLUMNS, OPEN_SET_NOTE, open_set_values

OPEN_SET_NOTES = [
    "FPR95 and AUROC look at boxes only; here an annotated OOD object without any box counts, too. "
    "Objects of categories that are no ID label are unknown. In percent but A-OSE, nOSE, WI and "
    "counts.",
    f"{OPEN_SET_NOTE} A-OSE: boxes that call an unknown object known (nOSE: per object; unique: "
    "share of objects with such a box); U-Recall: unknown objects found by an unknown box; P_U: "
    "unknown boxes that find one.",
]


def open_set_table(run: ReportRun, name: str) -> Table:
    """The main score and max sigmoid on the ID test set joined with one OOD set.

    The numbers are those of ``tools/score.py --open-set`` at the cut of the page.

    Args:
        run: the evaluation.
        name: OOD set.

    Returns:
        A table with one section; without annotations of either set none, and a note that says why.
    """
    for side, where in (("id", "ID test set: "), (name, "")):
        truth, reason = run.truth(side)
        if truth is None:
            return Table(f"ID and {name}", OPEN_SET_COLUMNS, [], [f"No table: {where}{reason}."])
    scored = {
        run.main.label: (run.main, run.values),
        run.plain.label: (run.plain, run.plain_values),
    }
    found = {}
    for label, (score, values) in scored.items():
        tau = float(threshold_at_recall(values["id"]))
        found[label] = open_set_row(run.dump, run.samples, score, OWN_BANK, name, tau)
    counts = found[run.main.label]
    title = (
        f"ID and {name}: {counts['num_known']} known and {counts['num_unknown']} unknown objects, "
        f"{counts['num_predictions']} boxes, cut {run.samples.cut:.3f}"
    )
    rows = [Row(score_name(label), open_set_values(numbers)) for label, numbers in found.items()]
    return Table(title, OPEN_SET_COLUMNS, [Section("each at its own tau", rows)])
