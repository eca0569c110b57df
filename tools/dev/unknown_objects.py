"""Write results/unknown_objects.csv from finished tests.

Example:
    python tools/dev/unknown_objects.py work_dirs/seeds/*/seed_* --out results/unknown_objects.csv
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from negas.cli import user_errors
from negas.files import check_file, write_csv
from negas.options import Options, option, overwrite_option

METHODS = dict(stock="stock", coop="CoOp", negas="NegAS")
OSCR = ("oscr", "taken_at_50", "taken_at_60", "taken_at_70")
PERCENT = ("recall", "recall_seen", "recall_unseen", *OSCR)
NUMBERS = (
    *("words", "score_thr", "recall", "recall_seen", "recall_unseen"),
    *("id_known", "id_unknown", "id_elsewhere", *OSCR),
)
KEYS = ("detector", "method", "set", "vocabulary")
COLUMNS = (*KEYS, "runs", *(name for number in NUMBERS for name in (number, f"{number}_std")))


@dataclass(frozen=True)
class TableOptions(Options):
    """A row for each method, OOD set and part of the vocabulary: mean and std of its seeds."""

    runs: tuple[str, ...] = option(help="work dirs of tools/test.py", positional=True)
    out: str = option("results/unknown_objects.csv", help="file", metavar="FILE", output=True)
    overwrite: bool = overwrite_option()


def rows_of(run) -> list[dict[str, object]]:
    """Rows of a run; OSCR is by confidence and stands beside all words.

    Raises:
        ValueError: the test found no threshold of unknown objects.
    """
    from negas.reports.methods import detector_of, role_of
    from negas.reports.unknown import part_title

    found = run.results.get("unknown", {}).get("rows")
    if not found:
        raise ValueError(
            f"{run.path}: the test has no rows of unknown objects; test again with "
            "model.test_cfg.unknown, keep_cells=True and ID validation images"
        )
    plain = {r["ood_set"]: r for r in run.tested_rows if r["score"] == "max_sigmoid"}
    rows = []
    for row in found:
        about = dict(detector=detector_of(run), method=METHODS[role_of(run)])
        about |= dict(set=row["ood_set"], vocabulary=part_title(row))
        values = dict(row)
        if row["vocabulary"] == "all" and row["control"] == "none":
            values |= {key: plain.get(row["ood_set"], {}).get(key) for key in OSCR}
        rows.append(about | {key: values.get(key) for key in NUMBERS})
    return rows


def over_seeds(rows: Sequence[Mapping]) -> list[dict[str, str]]:
    """Rows of equal keys as one: mean and sample standard deviation; empty where one has none."""
    groups: dict[tuple, list[Mapping]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    return [
        dict(zip(KEYS, keys, strict=True))
        | dict(runs=len(group))
        | {name: text for key in NUMBERS for name, text in _texts(key, group).items()}
        for keys, group in groups.items()
    ]


def _texts(key: str, rows: Sequence[Mapping]) -> dict[str, str]:
    values = [row[key] for row in rows]
    if any(value is None or math.isnan(value) for value in values):
        return {key: "", f"{key}_std": ""}
    scale, digits = (100, 1) if key in PERCENT else (1, dict(words=0, score_thr=3).get(key, 2))
    spread = f"{scale * stdev(values):.{digits}f}" if len(values) > 1 else ""
    return {key: f"{scale * mean(values):.{digits}f}", f"{key}_std": spread}


@user_errors
def main() -> int:
    """Write the table."""
    options = TableOptions.parse()
    from negas.reports.methods import check_comparable, load_tested

    check_file(options.out, "--out", ("detector,method,set,",), options.overwrite)
    runs = [load_tested(path) for path in options.runs]
    check_comparable(runs)
    rows = over_seeds([row for run in runs for row in rows_of(run)])
    write_csv(options.out, rows, COLUMNS)
    print(f"written: {options.out} ({len(rows)} rows)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
