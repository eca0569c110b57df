"""Every number of some runs in a row of its own: what spreadsheets and plotting code read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from negas.files import check_file, write_csv
from negas.metrics.objects import OBJECT_COUNTS, OSCR_METRICS
from negas.metrics.protocol import ROW_METRICS

from .few import ends, interval_values
from .objects import state_values

COLUMNS = (
    *("method", "run", "seed", "preset", "protocol", "cut", "cut_rule", "cut_source", "set"),
    *("score", "bank", "control", "metric", "value", "std", "low", "high"),
)
_PLACE = ("preset", "protocol", "cut", "cut_rule", "cut_source", "score", "bank", "control")
_COUNTS = ("num_id", "num_ood", *OBJECT_COUNTS)
_PARTS = ("open_set", "open_set_with_words", "owod")
_OF_WORDS = ("recall", "recall_seen", "recall_unseen", "id_known", "id_unknown", "id_elsewhere")


def check_csv(path: str | None, overwrite: bool) -> None:
    """Before any work: see that the file can be written; nothing if there is none to write.

    Raises:
        OSError: it cannot, or is somebody else's; see :func:`negas.files.check_file`.
    """
    if path is not None:
        check_file(path, "--csv", (",".join(COLUMNS[:3]),), overwrite)


def write_long(path: str | Path, rows: Iterable[dict]) -> None:
    """Write rows of this module; fractions and counts as they are, not in percent."""
    kept = [
        {key: None if isinstance(x, float) and math.isnan(x) else x for key, x in row.items()}
        for row in rows
    ]
    write_csv(path, kept, COLUMNS)


def long_rows(
    method: str,
    run: str,
    seed: int | None,
    rows: Sequence[Mapping],
    maps: Mapping[str, float | None],
    unknown: Mapping | None = None,
) -> Iterator[dict]:
    """Numbers of one run.

    Args:
        method: what the run is a seed of.
        run: its name.
        seed: of its training.
        rows: of the engine.
        maps: mAP (ID) by name.
        unknown: its section ``unknown``, for what a vocabulary finds.
    """
    about = dict(method=method, run=run, seed=seed)
    for key, value in maps.items():
        if value is not None:
            yield about | dict(set="id", metric=key, value=value)
    for row in rows:
        where = about | {key: row[key] for key in _PLACE} | dict(set=row["ood_set"])
        for key, numbers in _numbers(row).items():
            yield where | dict(metric=key) | numbers
    for row in (unknown or {}).get("rows", ()):
        where = about | dict(set=row["ood_set"], score="words", control=row["control"])
        where |= dict(bank=row["vocabulary"], cut=row["score_thr"], cut_source="unknown")
        for key in _OF_WORDS:
            interval = (row.get("interval") or {}) if key == "recall" else {}
            ends = {end: interval.get(end) for end in ("low", "high")}
            yield where | dict(metric=key, value=row[key], std=row.get(f"{key}_std")) | ends


def paired_rows(rows: Iterable[Mapping]) -> Iterator[dict]:
    """Differences of two runs."""
    for row in rows:
        where = dict(method=f"{row['run']} minus {row['other']}", set=row["ood_set"])
        where |= {key: row[key] for key in ("preset", "cut", "cut_rule", "cut_source")}
        where |= {key: row[key] for key in ("score", "bank")}
        for key in ("fpr95", "auroc"):
            ends = {end: row[key][end] for end in ("low", "high", "std")}
            yield where | dict(metric=f"{key}_difference", value=row[key]["value"]) | ends


def published_rows(rows: Iterable[Mapping]) -> Iterator[dict]:
    """Rows of papers, as ``negas.experiments.tables.published_rows`` gives them."""
    for row in rows:
        for key, value in row["values"].items():
            name, _, metric = key.rpartition("/")
            where = dict(method=row["title"], control="published", set=name or "id")
            yield where | dict(metric=metric, value=value)


def _numbers(row: Mapping) -> dict[str, dict]:
    """Value, deviation and interval of each number of a row."""
    name = row["ood_set"]
    found = {
        key: dict(value=row[key], std=row.get(f"{key}_std"))
        for key in (*ROW_METRICS, *OSCR_METRICS, *_COUNTS)
        if key in row
    }
    values = interval_values(row)
    if "objects" in row:
        for key, value in state_values(row["objects"], name).items():
            if key.endswith(ends("")):
                values[key] = value
            else:
                found[_short(key, name)] = dict(value=value)
    for key, value in values.items():
        metric, _, end = _short(key, name).rpartition("_")
        found[metric][end] = value
    for part in _PARTS:
        for key, value in row.get(part, {}).items():
            if not isinstance(value, str | None):
                found[f"{part}/{key}"] = dict(value=value)
    return found


def _short(key: str, name: str) -> str:
    """``taken`` for ``near/taken``, ``taken, seen classes`` for ``near, seen classes/taken``."""
    part, _, metric = key.removeprefix(name).rpartition("/")
    return f"{metric}{part}"
