"""One vocabulary for all tables: how a metric, a score, a preset and a control are called.

Titles of scores stand with the scores (:attr:`negas.scores.Score.title`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from negas.metrics import PRESETS
from negas.scores import SCORES

from .table import Column

COLUMNS = {
    column.key: column
    for column in (
        Column("fpr95", "FPR95", "lower"),
        Column("fpr95_closest", "FPR95 closest", "lower"),
        Column("auroc", "AUROC", "higher"),
        Column("tpr", "TPR"),
        Column("threshold", "threshold", percent=False, digits=3),
        Column("cut", "cut", percent=False, digits=3),
        Column("num_id", "boxes ID", percent=False),
        Column("num_ood", "boxes OOD", percent=False),
        Column("leaks", "leaks", percent=False),
        # mAP (ID): three definitions that published tables mix, and two they do not state
        Column("coco_ap", "ID AP", "higher"),
        Column("coco_ap50", "ID AP50", "higher"),
        Column("voc07_ap50", "ID AP50 (VOC07)", "higher"),
        Column("voc07_style_ap", "ID AP (VOC07 style)", "higher"),
        Column("unstated_ap", "ID AP (unstated)", "higher"),
        # open set
        Column("a_ose", "A-OSE", "lower", percent=False),
        Column("nose", "nOSE", "lower", percent=False, digits=3),
        Column("nose_unique", "nOSE unique", "lower"),
        Column("wi", "WI@0.8", "lower", percent=False, digits=3),
        Column("ap_known", "known mAP50", "higher"),
        Column("ap_known_11", "known mAP50 (11 points)", "higher"),
        Column("h_score", "H-score", "higher"),
        Column("wi_ratio", "WI@0.8 (ratio)", "lower", percent=False, digits=3),
        Column("ap_unknown", "AP_U unknown", "higher"),
        Column("recall_unknown", "U-Recall", "higher"),
        Column("precision_unknown", "P_U unknown", "higher"),
        Column("num_unknown", "unknown objects", percent=False),
        # objects
        Column("oscr", "OSCR", "higher"),
        Column("taken_at_50", "taken @50%", "lower"),
        Column("taken_at_60", "taken @60%", "lower"),
        Column("taken_at_70", "taken @70%", "lower"),
        Column("taken", "taken for known", "lower"),
        Column("flagged", "flagged unknown"),
        Column("found", "found unknown", "higher"),
        Column("not_found", "not found", "lower"),
        Column("right", "right label", "higher"),
        Column("wrong_label", "wrong label", "lower"),
        Column("called_unknown", "called unknown"),
        Column("as_unknown", "found as unknown", "higher"),
        Column("missed", "missed", "lower"),
        Column("num_known", "known objects", percent=False),
        # unknown objects that a vocabulary finds
        Column("words_recall", "U-Recall by words", "higher"),
        Column("words_recall_seen", "seen/ unseen", more=("words_recall_unseen",)),
        Column("id_known", "on known", "lower", percent=False, digits=2),
        Column("id_unknown", "on unk.", percent=False, digits=2),
        Column("id_elsewhere", "else", "lower", percent=False, digits=2),
        Column("words", "words", percent=False),
    )
}

#: numbers of each OOD set, in the order of the columns; with a key more, every table shows it
OF_SET = ("fpr95", "fpr95_closest", "auroc")
#: the same where FPR95 is that of the preset's own rule
BY_RULE = tuple(key for key in OF_SET if key != "fpr95_closest")
OPEN_SET = (
    *("a_ose", "nose", "nose_unique", "wi", "ap_known", "ap_unknown"),
    *("recall_unknown", "precision_unknown", "num_unknown"),
)
OWOD = (
    *("recall_unknown", "ap_known", "h_score", "wi", "wi_ratio", "a_ose", "ap_known_11"),
    *("ap_unknown", "precision_unknown", "num_unknown"),
)
CONTROLS = {"rotated": "rotated", "no_leaks": "without leaks"}
_SAMPLES = {
    "vos": "every box over the cut is a sample",
    "matched": "boxes on annotated objects only",
    "objects": "the best box of each annotated object only",
}
_RULES = {
    "at_least": "FPR95 at a recall of at least 95%",
    "closest": "FPR95 at the recall closest to 95%, VOS's rule",
}

PERCENT = "In percent; ID is the positive class. Best of each block in bold."
FPR95 = (
    "FPR95 (lower is better): share of OOD boxes called known at the threshold that keeps at least "
    "95% of the ID boxes; closest: at the recall closest to 95%, the rule of VOS's code."
)
ROTATED = (
    "rotated: the bank's embeddings turned at random (same geometry, no meaning), mean of several "
    "draws; a gain that survives it is not semantic."
)
LEAKS = "leaks: how many of the bank's negatives name a class of the OOD set, synonyms included."
FITTED = "They flatter where ID test shows the same instances as the boxes of the fit."
NO_LEAKS = "without leaks: the same without these negatives; empty where there are none."
OPEN_SET_NOTE = (
    "Open set: ID images and OOD images together; a box is unknown below tau, the score that keeps "
    "95% of the ID samples. A-OSE and nOSE grow with the number of boxes: compare them at one cut."
)

WITH_WORDS = "+ words"  # a row with the boxes of unknown objects
WITH_WORDS_NOTE = (
    f"{WITH_WORDS}: with the unknown objects that the vocabulary finds at the run's threshold."
)


def per_set(name: str, key: str) -> Column:
    """A column of one OOD set: ``near/fpr95``, ``near FPR95``."""
    column = COLUMNS[key]
    return replace(column, key=f"{name}/{key}", title=f"{name} {column.title}")


def counts(ood_sets: Sequence[str]) -> Column:
    """Samples of all sets in one cell."""
    title = "boxes " + "/".join(["ID", *ood_sets])
    more = tuple(f"{name}/num_ood" for name in ood_sets)
    return replace(COLUMNS["num_id"], title=title, more=more)


def leaks(ood_sets: Sequence[str]) -> Column:
    """Negatives that name a class of each OOD set, in one cell."""
    first, *others = (f"{name}/leaks" for name in ood_sets)
    title = "leaks " + "/".join(ood_sets)
    return replace(COLUMNS["leaks"], key=first, title=title, more=tuple(others))


def fit_notes(rows: Iterable[Mapping]) -> list[str]:
    """One line on what the fitted scores among some rows were fitted on; none: no line."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if fit := row.get("fit"):
            where = f"{fit['boxes']} boxes of {fit['set']}"
            titles = found.setdefault(where, [])
            titles += [title for title in [score_title(row["score"])] if title not in titles]
    if not found:
        return []
    said = "; ".join(f"{', '.join(titles)} on {where}" for where, titles in found.items())
    return [f"Fitted on ID boxes: {said}. {FITTED}"]


def score_title(label: str) -> str:
    """How tables call a score: ``MCM (logits=cosine)`` for ``mcm(logits=cosine)``."""
    name, bracket, options = label.partition("(")
    shown = SCORES[name].title if name in SCORES else name
    return f"{shown} ({options}" if bracket else shown


@dataclass(frozen=True)
class Block:
    """Rows that may stand side by side: of one preset, at its cut or at one fixed number.

    Attributes:
        preset: of :data:`negas.metrics.PRESETS`.
        fixed_cut: where that is a number; ``None``: each run's own cut of the preset.
    """

    preset: str
    fixed_cut: float | None = None

    @classmethod
    def of(cls, row: dict) -> Block:
        """The block that a row belongs to."""
        return cls(row["preset"], row["cut"] if row["cut_source"] == "fixed" else None)

    @property
    def title(self) -> str:
        """Samples, cut and rule, for a table's heading."""
        preset = PRESETS[self.preset]
        if self.fixed_cut is not None:
            cut = f"confidence cut {self.fixed_cut:.4g} for all"
        elif preset.cut == "test_f1":
            cut = "confidence cut: best F1 on each run's ID test set"
        else:
            cut = "confidence cut: each run's own"
        return f"{self.preset}: {preset_title(self.preset)}; {cut}"


def preset_title(name: str) -> str:
    """Samples and rule of a preset."""
    preset = PRESETS[name]
    unit = "" if preset.pair_floor is None else ", once per label"
    return f"{_SAMPLES[preset.protocol]}{unit}; {_RULES[preset.rule]}"


def blocks_of(rows: Iterable[dict]) -> list[Block]:
    """Blocks in order of appearance."""
    return list(dict.fromkeys(Block.of(row) for row in rows))


def by_rule(row: dict) -> dict[str, float]:
    """The row's numbers of :data:`BY_RULE`."""
    return {key: row[key] for key in BY_RULE} | dict(fpr95=fpr95_of(row))


def fpr95_of(row: dict) -> float:
    """FPR95 by the rule of the row's preset."""
    return row["fpr95_closest" if row["rule"] == "closest" else "fpr95"]
