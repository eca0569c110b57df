"""Presets on the command line: which ones at which cuts, and their cut and samples of a dump."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from negas.metrics import Cut, Preset, f1_threshold, find_presets, records_to_coco
from negas.metrics.presets import CutChoice
from negas.metrics.protocol import ScoreSpec, sample_rows

from .run import Dump

_NOT_FINITE = ("nan", "inf", "infinity")


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


def find_cut(dump: Dump, preset: Preset) -> Cut:
    """The confidence cut of a preset for a dump, and where it comes from.

    Raises:
        ValueError: the run's own cut is not known, or boxes down to the cut are missing.
        FileNotFoundError: an F1 cut needs annotations that do not exist.
    """
    choice = preset.cut
    if choice == "auto":
        choice = "own" if dump.results else "f1"
    if choice == "own":
        if not dump.results:
            raise ValueError(
                f"{dump.path}: the run's own cut is unknown, as there is no ood_results.json; "
                "choose --cut f1 or a number"
            )
        source = str(dump.results.get("cut_source"))
        rule = dump.results.get("cut_rule") or ("fixed" if source == "fixed" else "f1")
        cut = Cut(float(dump.results["cut"]), rule, source)
    elif isinstance(choice, float):
        cut = Cut(choice)
    elif choice in dump.cuts:
        cut = dump.cuts[choice]
    else:
        name = "cut" if choice == "f1" and "cut" in dump.records else "id"
        truth = dump.truth(name)
        found = records_to_coco(dump.records[name], truth)
        value = f1_threshold(truth, found, choice == "f1-test", dump.id_labels).threshold
        cut = Cut(value, choice, "id_val" if name == "cut" else "id_test")
        dump.cuts[choice] = cut
    floor = (dump.results or {}).get("settings", {}).get("min_score", 0.0)
    if cut.value < floor:
        raise ValueError(
            f"{dump.path}: the confidence cut {cut.value:.4g} is below the least confidence in the "
            f"dump ({floor}), so boxes are missing; choose a higher --cut"
        )
    return cut


def rows_of_set(dump: Dump, name: str, preset: Preset, cut: float) -> np.ndarray:
    """Rows ``[n]`` of a set's records that are samples; a row occurs once per sample."""
    truth = dump.truth(name) if preset.protocol == "matched" else None
    role = "id" if name == "id" else "ood"
    return sample_rows(dump.records[name], cut, preset.protocol, truth, role, preset.pair_floor)


def parse_score(text: str) -> ScoreSpec:
    """``negs`` or ``negs(weight=0.5, neg_reduce=mean)``: a score and its options.

    Raises:
        ValueError: the text has another form.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
    if not match:
        raise ValueError(
            f"--scores: {text!r} is no score; write a name, or 'name(option=value, ...)' in quotes"
        )
    name, inner = match.groups()
    if not inner:
        return name
    options = {}
    for part in inner.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key.isidentifier() and equals and value):
            raise ValueError(f"--scores: {part.strip()!r} in {text!r} is not option=value")
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value  # a word, such as mean
        if value.lstrip("+-").lower() in _NOT_FINITE or options[key] in (math.inf, -math.inf):
            raise ValueError(f"--scores: {part.strip()!r} in {text!r}: the number must be finite")
    return name, options


def _parse_cut(text: str) -> CutChoice:
    if text in ("own", "f1", "f1-test"):
        return text
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise ValueError(f"--cut: expected own, f1, f1-test or a number in [0, 1), got {text!r}")
    return value
