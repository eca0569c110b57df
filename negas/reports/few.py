"""Few samples: said so, and intervals beside their numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from negas.metrics import wilson_interval
from negas.metrics.objects import OBJECT_COUNTS, OSCR_METRICS

from .table import Row, Stat

FEW = 100  # samples of one side; fewer are few
_OF_BOXES = ("fpr95", "fpr95_closest", "auroc")


def ends(key: str) -> tuple[str, str]:
    """Where the interval of a number stands."""
    return f"{key}_low", f"{key}_high"


def widened(share: float, count: float, drawn: Mapping | None = None) -> dict[str, float]:
    """``low`` and ``high`` of a share: as drawn, and at least Wilson's where samples are few.

    Draws of one box, or of boxes that are all right, are all alike: their interval is a point.

    Args:
        share: in [0, 1], or NaN.
        count: of the samples that it is of; of two sides the smaller one.
        drawn: ``low`` and ``high`` over draws, if there were any.

    Returns:
        Empty where samples are many and nothing was drawn, and for NaN.
    """
    found = {} if drawn is None else {end: drawn[end] for end in ("low", "high")}
    if None in found.values() or share is None or math.isnan(share):
        return {}
    if 0 < count < FEW:
        low, high = wilson_interval(share, count)
        found = dict(low=min(low, found.get("low", 1.0)), high=max(high, found.get("high", 0.0)))
    return found


def interval_values(row: Mapping, rule: bool = False) -> dict[str, float]:
    """Intervals of a result row by ``<set>/<key>_low`` and ``_high``, where there are any.

    Args:
        row: of the engine.
        rule: FPR95 is that of the preset's rule, as in :func:`~.columns.by_rule`.
    """
    drawn = dict(row.get("interval") or {})
    if rule and row["rule"] == "closest":
        row, _ = row | dict(fpr95=row["fpr95_closest"]), drawn.pop("fpr95", None)
    objects = min(row.get(key, 0) for key in OBJECT_COUNTS)
    sizes = dict.fromkeys(_OF_BOXES, min(row["num_id"], row["num_ood"]))
    sizes |= dict.fromkeys(OSCR_METRICS, objects)
    values = {}
    for key, count in sizes.items():
        for end, value in widened(row[key], count, drawn.get(key)).items():
            values[f"{row['ood_set']}/{key}_{end}"] = value
    return values


def boxes_of(rows: Sequence[Row], sets: Iterable[str]) -> dict[str, float | None]:
    """Counts for :func:`few_note`, from ``num_id`` and ``<set>/num_ood`` of rows."""
    sizes = {"ID boxes": smallest(rows, "num_id")}
    return sizes | {f"{name} boxes": smallest(rows, f"{name}/num_ood") for name in sets}


def objects_of(rows: Sequence[Row], sets: Iterable[str]) -> dict[str, float | None]:
    """The same of annotated objects, from :data:`OBJECT_COUNTS` of each set."""
    (known, unknown), names = OBJECT_COUNTS, list(sets)
    sizes = {"known objects": smallest(rows, *(f"{name}/{known}" for name in names))}
    return sizes | {f"{n} unknown objects": smallest(rows, f"{n}/{unknown}") for n in names}


def few_note(sizes: Mapping[str, float | None]) -> list[str]:
    """One sentence that names what is few, with the counts; empty if nothing is."""
    few = [f"{size:.0f} {name}" for name, size in sizes.items() if size is not None and size < FEW]
    if not few:
        return []
    return [
        f"Few samples (under {FEW}): {', '.join(few)}. Their numbers may be chance: read the 95% "
        "intervals."
    ]


def smallest(rows: Iterable[Row], *keys: str) -> float | None:
    """The smallest of some counts over rows; ``None`` if no row has one."""
    found = [row.values[key].mean for row in rows for key in keys if key in row.values]
    found = [each for each in found if not math.isnan(each)]
    return min(found, default=None)


def stats_over_seeds(found: Mapping[str, Sequence[float]]) -> dict[str, Stat]:
    """Mean and deviation over seeds by key; of ends of intervals the mean alone.

    Seeds see the same test images, so their mean is no surer of these.
    """
    stats = {key: Stat.of(values) for key, values in found.items()}
    return {key: Stat(stat.mean) if key.endswith(ends("")) else stat for key, stat in stats.items()}
