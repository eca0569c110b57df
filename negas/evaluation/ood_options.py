"""What :class:`~.ood_metric.OODMetric` refuses when the config is read, before any inference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from negas.metrics.presets import PRESETS, find_presets

from .results import RESERVED_BANKS

DEFAULT_SCORES = (
    "max_sigmoid",
    "msp",
    "energy",
    "joint_energy",
    "mcm",
    "neglabel",
    "negs",
    "negs_product",
)
OWN_ROWS = {"own": "vos", "matched": "matched"}  # presets at the run's own cut -> their samples


def check_options(
    cut: str | float,
    shared_cut: float | None,
    min_score: float,
    protocols: Sequence[str],
    presets: Sequence[str],
    banks: Iterable[str],
    rotations: int = 0,
    seed: int = 0,
) -> None:
    """See :class:`~.ood_metric.OODMetric` for the arguments.

    Raises:
        ValueError: in one sentence.
    """
    if not (cut == "f1" or isinstance(cut, int | float)):
        raise ValueError(f"OODMetric: cut must be 'f1' or a number in [0, 1], got {cut!r}")
    unknown = set(protocols) - {"vos", "matched"}
    if unknown:
        raise ValueError(f"OODMetric: unknown protocols {sorted(unknown)}; use vos, matched")
    try:
        find_presets(presets)
    except ValueError as error:
        raise ValueError(f"OODMetric: {error}") from error
    if "fixed" in presets and shared_cut is None:
        raise ValueError(
            "OODMetric: the preset 'fixed' needs a confidence cut; set shared_cut to a number"
        )
    for key, value in (("rotations", rotations), ("seed", seed)):
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"OODMetric: {key} must be an integer of at least 0, got {value!r}")
    taken = sorted({*RESERVED_BANKS} & {*banks})
    if taken:
        raise ValueError(
            f"OODMetric: banks: the name {taken[0]!r} is reserved for the model's own rows; "
            "choose another"
        )
    cuts = [("cut", cut), ("shared_cut", shared_cut)]
    cuts += [(f"preset {name!r}: cut", PRESETS[name].cut) for name in presets]
    for key, value in cuts:
        if isinstance(value, int | float) and value < min_score:
            raise ValueError(
                f"OODMetric: {key}={value} is below min_score={min_score}, so boxes would be "
                "missing; lower min_score (and test_cfg.score_thr)"
            )


def own_protocols(protocols: Sequence[str], presets: Sequence[str]) -> tuple[str, ...]:
    """Samples of the rows at the run's own cut: ``protocols``, and what ``presets`` adds."""
    return tuple(dict.fromkeys([*protocols, *(OWN_ROWS[p] for p in presets if p in OWN_ROWS)]))
