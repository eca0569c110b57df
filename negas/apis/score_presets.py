"""Protocols by name: what a sample is, which confidence cut, which FPR95 rule.

| preset | samples | cut | FPR95 |
|---|---|---|---|
| ``own`` | every box | the run's own, or F1 on ID validation | recall at least 95% |
| ``vos`` | every box | F1 on the ID test set, 4 decimals, as VOS has it | recall closest to 95% |
| ``siren`` | every (box, label) pair over 0.1, as SIREN's DETR script | 0.1 | closest to 95% |
| ``matched`` | boxes on annotated objects only | as ``own`` | at least 95% |
| ``fixed`` | every box | a number you give | at least 95% |
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from negas.metrics import f1_threshold, records_to_coco, select_samples
from negas.metrics.protocol import ScoreSpec

from .score_dump import Dump

CutChoice = str | float  # own, f1, f1-test, or a number


@dataclass(frozen=True)
class Preset:
    """One protocol.

    Attributes:
        name: of the preset.
        protocol: which boxes are samples, see :func:`negas.metrics.select_samples`.
        cut: ``own`` (the run's), ``f1`` (ID validation, else ID test), ``f1-test`` (VOS's rule, to
            its 4 decimals), ``auto`` (``own`` if known, else ``f1``), a number, or ``None``: asked
            for.
        rule: whose FPR95 the protocol reports: recall ``at_least`` 95%, or ``closest`` to it.
        pair_floor: a box is a sample once for each label whose sigmoid exceeds this; ``None``:
            once.
    """

    name: str
    protocol: Literal["vos", "matched"] = "vos"
    cut: CutChoice | None = "auto"
    rule: Literal["at_least", "closest"] = "at_least"
    pair_floor: float | None = None


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("own"),
        Preset("vos", cut="f1-test", rule="closest"),
        Preset("siren", cut=0.1, rule="closest", pair_floor=0.1),
        Preset("matched", protocol="matched"),
        Preset("fixed", cut=None),
    )
}


def choose_presets(names: Sequence[str], cuts: Sequence[str] | None = None) -> list[Preset]:
    """Presets by name, each at each of the cuts (by default at its own).

    Raises:
        ValueError: there is no such preset or cut, or ``fixed`` stands without a number.
    """
    chosen = []
    for name in names:
        if name not in PRESETS:
            raise ValueError(f"--preset: there is no {name!r}; choose of {', '.join(PRESETS)}")
        for cut in [PRESETS[name].cut] if cuts is None else map(_parse_cut, cuts):
            if name == "fixed" and not isinstance(cut, float):
                raise ValueError(
                    "--preset fixed needs a confidence cut: add --cut NUMBER, such as --cut 0.2"
                )
            chosen.append(replace(PRESETS[name], cut=cut))
    return chosen


def find_cut(dump: Dump, preset: Preset) -> tuple[float, str]:
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
        cut, source = float(dump.results["cut"]), str(dump.results.get("cut_source"))
    elif isinstance(choice, float):
        cut, source = choice, "fixed"
    else:
        name = "cut" if choice == "f1" and "cut" in dump.records else "id"
        truth = dump.truth(name)
        found = records_to_coco(dump.records[name], truth)
        cut = f1_threshold(truth, found, choice == "f1-test", dump.id_labels).threshold
        source = "id_val" if name == "cut" else "id_test"
    floor = (dump.results or {}).get("settings", {}).get("min_score", 0.0)
    if cut < floor:
        raise ValueError(
            f"{dump.path}: the confidence cut {cut:.4g} is below the least confidence in the dump "
            f"({floor}), so boxes are missing; choose a higher --cut"
        )
    return cut, source


def sample_rows(dump: Dump, name: str, preset: Preset, cut: float) -> np.ndarray:
    """Rows ``[n]`` of a set's records that are samples; a row occurs once per sample."""
    records = dump.records[name]
    truth = dump.truth(name) if preset.protocol == "matched" else None
    role = "id" if name == "id" else "ood"
    rows = np.flatnonzero(select_samples(records, cut, preset.protocol, truth, role))
    if preset.pair_floor is None:
        return rows
    floor = np.log(preset.pair_floor / (1 - preset.pair_floor))
    return np.repeat(rows, (records.id_logits[rows] > floor).sum(axis=1))


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
