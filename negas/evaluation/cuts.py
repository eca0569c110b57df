"""Every rule for the thresholds of a run: the confidence cut, and tau between known and unknown.

The cut says which boxes are samples (or detections) at all; tau says which of them are known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from negas.metrics import Cut, Preset, evaluate_coco, f1_cut, find_presets, records_to_coco
from negas.metrics.presets import CutChoice
from negas.metrics.roc import threshold_at_recall
from negas.records import ID, ID_VAL, BoxRecords
from negas.scores import Score

from .recorded import Recorded

F1_RULES = ("run", "val_f1", "test_f1")  # what a test finds while it has all its detections
CUT_RULES = F1_RULES  # and those that records are enough for


def choose_presets(names: Sequence[str], cuts: Sequence[str] | None = None) -> list[Preset]:
    """Presets by name, each at each of the cuts (by default at its own).

    Raises:
        ValueError: there is no such preset or cut, or ``fixed`` stands without a number.
    """
    chosen = []
    try:
        presets = find_presets(names)
    except ValueError as error:
        raise ValueError(f"--preset: {error}") from error
    for preset in presets:
        for cut in [preset.cut] if cuts is None else map(_parse_cut, cuts):
            if preset.name == "fixed" and not isinstance(cut, float):
                raise ValueError(
                    "--preset fixed needs a confidence cut: add --cut NUMBER, such as --cut 0.2"
                )
            chosen.append(replace(preset, cut=cut))
    return chosen


def _parse_cut(text: str) -> CutChoice:
    if text in CUT_RULES:
        return text
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise ValueError(
            f"--cut: expected {', '.join(CUT_RULES)} or a number in [0, 1), got {text!r}"
        )
    return value


def find_cut(run: Recorded, preset: Preset) -> Cut:
    """The confidence cut of a preset for a run, and where it comes from.

    A test finds ``val_f1`` and ``test_f1`` on all its detections and writes them down, so each is
    one number everywhere. Where only records are left (one label per box), they are found anew.

    Raises:
        ValueError: the preset has no cut, boxes down to it are missing, or there is no F1.
        FileNotFoundError: an F1 cut needs annotations that do not exist.
    """
    choice = preset.cut
    if choice is None:
        raise ValueError(f"the preset {preset.name!r} has no confidence cut; give it a number")
    cut = _cut_by_rule(run, choice) if isinstance(choice, str) else Cut(float(choice))
    floor = (run.results or {}).get("settings", {}).get("min_score", 0.0)
    if cut.value < floor:
        raise ValueError(
            f"{run.path}: the confidence cut {cut.value:.4g} is below the least confidence in its "
            f"records ({floor}), so boxes are missing; choose a higher cut, or test again with a "
            "lower test_evaluator.min_score"
        )
    return cut


def _cut_by_rule(run: Recorded, rule: str) -> Cut:
    written = (run.results or {}).get("cuts", {})
    if rule in written:
        return Cut(float(written[rule]["value"]), written[rule]["rule"], written[rule]["source"])
    rule = "val_f1" if rule == "run" else rule
    if rule not in run.cuts:
        name = ID_VAL if rule == "val_f1" and ID_VAL in run.records else ID
        truth = run.truth(name)
        found = records_to_coco(run.records[name], truth)
        value = f1_cut(evaluate_coco(truth, found, run.id_labels), vos=rule == "test_f1").threshold
        run.cuts[rule] = f1_rule_cut(rule, value, name)
    return run.cuts[rule]


def f1_rule_cut(rule: str, value: float, found_on: str) -> Cut:
    """A cut of the rule ``val_f1`` or ``test_f1``, found on the set ``id_val`` or ``id``."""
    kind = "f1" if rule == "val_f1" else rule
    return Cut(value, kind, "id_val" if found_on == ID_VAL else "id_test")


def tau_of(id_scores: np.ndarray, tpr: float = 0.95) -> float:
    """The largest tau that at least a share ``tpr`` of the ID scores ``[n]`` reaches.

    Raises:
        ValueError: there are no scores.
    """
    if not len(id_scores):
        raise ValueError("no ID validation box is over the confidence cut, so there is no tau")
    return float(threshold_at_recall(np.asarray(id_scores, dtype=np.float64), tpr))


def validation_tau(records: Mapping[str, BoxRecords], score: Score, cut: float) -> float:
    """:func:`tau_of` the ID validation boxes over the cut, or of ID test where there are none.

    Raises:
        ValueError: no box is over the cut.
    """
    boxes = records.get(ID_VAL, records[ID])
    boxes = boxes.select(boxes.scores >= np.float32(cut))
    return tau_of(boxes.score_with(score))


def deployed_tau(values: np.ndarray, tpr: float) -> float:
    """:func:`tau_of`, a hair under the box that it falls on, for use on other machines.

    Other batches or another machine change the last digits of a score, and that very box must not
    turn unknown by them.
    """
    tau = tau_of(values, tpr)
    margin = 1e-4 * max(float(np.ptp(values)), 1e-4)
    return tau - margin if math.isfinite(tau) else tau
