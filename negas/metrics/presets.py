"""Protocols by name: what a sample is, which confidence cut, which FPR95 rule.

| preset | samples | cut | FPR95 |
|---|---|---|---|
| ``val_f1`` | every box | the run's: best F1 on ID validation, or fixed | recall at least 95% |
| ``vos`` | every box | F1 on the ID test set, 4 decimals, as VOS has it | recall closest to 95% |
| ``siren`` | every (box, label) pair over 0.1, as SIREN's DETR script | 0.1 | closest to 95% |
| ``matched`` | boxes on annotated objects only | as ``val_f1`` | at least 95% |
| ``objects`` | the best box of each object only | as ``val_f1`` | at least 95% |
| ``owod`` | every box, as open-world detection counts known ones | 0.05 | at least 95% |
| ``fixed`` | every box | a number you give | at least 95% |

This is the one definition: tests, re-scoring and reports all take it from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .protocol import Protocol

CutChoice = str | float  # run, val_f1, test_f1, or a number


@dataclass(frozen=True)
class Preset:
    """One protocol.

    Attributes:
        name: of the preset.
        protocol: which boxes are samples, see :func:`negas.metrics.select_samples`.
        cut: ``run`` (the test's: ``val_f1``, or the number in its config), ``val_f1`` (best F1 on
            ID validation, on ID test where there is none), ``test_f1`` (VOS's rule, to its 4
            decimals), a number, or ``None``: asked for.
        rule: whose FPR95 the protocol reports: recall ``at_least`` 95%, or ``closest`` to it.
        pair_floor: a box is a sample once for each label whose sigmoid exceeds this; ``None``:
            once.
    """

    name: str
    protocol: Protocol = "vos"
    cut: CutChoice | None = "run"
    rule: Literal["at_least", "closest"] = "at_least"
    pair_floor: float | None = None


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("val_f1"),
        Preset("vos", cut="test_f1", rule="closest"),
        Preset("siren", cut=0.1, rule="closest", pair_floor=0.1),
        Preset("matched", protocol="matched"),
        Preset("objects", protocol="objects"),
        Preset("owod", cut=0.05),  # ORE's and YOLO-UniOW's for known boxes
        Preset("fixed", cut=None),
    )
}


@dataclass(frozen=True)
class Cut:
    """A confidence cut and where it comes from.

    Attributes:
        value: least confidence of a sample, in [0, 1].
        rule: ``f1`` (best F1), ``test_f1`` (best F1 to VOS's 4 decimals) or ``fixed``.
        source: the set it was found on, ``id_val`` or ``id_test``; ``config``: the number that the
            run's config gives, its own; ``fixed``: one for all runs.
    """

    value: float
    rule: str = "fixed"
    source: str = "fixed"


def find_presets(names: Iterable[str]) -> list[Preset]:
    """Presets by name.

    Raises:
        ValueError: there is no such preset.
    """
    names = list(names)
    for name in names:
        if name not in PRESETS:
            raise ValueError(f"there is no preset {name!r}; choose of {', '.join(PRESETS)}")
    return [PRESETS[name] for name in names]
