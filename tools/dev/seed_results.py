"""Write a table of ``results/`` from finished tests of the built-in benchmark.

Example:
    python tools/dev/seed_results.py scores work_dirs/seeds/*/seed*
    python tools/dev/seed_results.py fitted work_dirs/seeds/*/seed* work_dirs/shared/*/seed*
    python tools/dev/seed_results.py unknown work_dirs/seeds/*/seed*
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from negas.cli import user_errors
from negas.files import check_file, write_csv
from negas.options import Options, option, overwrite_option

METHODS = dict(stock="stock", coop="CoOp", negas="NegAS", siren="SIREN")
SETS = ("near", "far")
OSCR = ("oscr", "taken_at_50", "taken_at_60", "taken_at_70")
# What a row is about, and its numbers: name -> digits. Shares are written in percent.
TABLES = {
    "scores": (
        ("detector", "world", "method", "preset", "score", "bank", "control"),
        {f"{name}_{key}": 1 for name in SETS for key in ("taken", "unknown", "fpr95", "auroc")}
        | {"id_ap": 1, "id_ap50": 1, "score_thr": 3}
        | {
            f"{key}_{name}": 0
            for key, sets in (("boxes", ("id", *SETS)), ("leaks", SETS))
            for name in sets
        },
    ),
    "unknown": (
        ("detector", "world", "method", "set", "vocabulary"),
        {"words": 0, "score_thr": 3, "recall": 1, "recall_seen": 1, "recall_unseen": 1}
        | {"id_known": 2, "id_unknown": 2, "id_elsewhere": 2, **dict.fromkeys(OSCR, 1)},
    ),
}
TABLES["fitted"] = TABLES["scores"]
FILES = dict(fitted="emoji_world_fitted", scores="emoji_world_scores", unknown="unknown_objects")


@dataclass(frozen=True)
class TableOptions(Options):
    """A row for each method and what its numbers are of: mean and std of its seeds."""

    table: str = option(help="which", choices=tuple(TABLES), positional=True)
    runs: tuple[str, ...] = option(help="work dirs of tools/test.py", positional=True)
    out: str | None = option(
        None, help="default: the table's file in results/", metavar="FILE", output=True
    )
    overwrite: bool = overwrite_option()


def world_of(run) -> str:
    """``shared`` if sets to fit on and to test on show the same instances."""
    return "shared" if "scenes_shared" in run.results["sets"]["id"]["ann_file"] else ""


def about_run(run) -> dict[str, str]:
    """What all rows of a run are about."""
    from negas.reports.methods import detector_of, role_of

    return dict(detector=detector_of(run), world=world_of(run), method=METHODS[role_of(run)])


def score_rows(run, tested: Sequence[Mapping] | None = None) -> list[dict[str, object]]:
    """Every score, bank and control of a run on boxes (`val_f1`, `matched`).

    `tested` are other rows than those of the test.
    `taken` and `unknown` count objects, at the same cut: those taken for known where 60% of the
    known ones are found, and those that all boxes on them call unknown.
    """
    from negas.evaluation.provenance import leaks_of
    from negas.evaluation.recorded import RESERVED_BANKS
    from negas.reports.columns import CONTROLS, score_title
    from negas.reports.objects import state_values

    about = about_run(run)
    maps, info = run.results["map"], run.info
    banks = dict.fromkeys(RESERVED_BANKS, "") | {"model": Path(info["neg_labels"] or "").stem}
    found: dict[tuple, dict] = {}
    states: dict[tuple, dict] = {}
    for row in run.tested_rows if tested is None else tested:
        name = row["ood_set"]
        which = (score_title(row["score"]), row["bank"], row["control"])
        if row["preset"] == "objects":
            if "objects" in row:  # the controls have none
                share = state_values(row["objects"], name)[f"{name}/as_unknown"]
                states.setdefault(which, {})[f"{name}_unknown"] = share
            continue
        values = found.setdefault((row["preset"], *which), {"boxes_id": row["num_id"]})
        values |= {f"{name}_fpr95": row["fpr95"], f"{name}_auroc": row["auroc"]}
        values |= {f"boxes_{name}": row["num_ood"], "score_thr": row["cut"]}
        values[f"{name}_taken"] = row.get("taken_at_60")
        if row["bank"] in run.results["banks"]:
            values[f"leaks_{name}"] = len(leaks_of(run.results["banks"][row["bank"]])[name])
    return [
        about
        | dict(preset=preset, score=score, bank=banks.get(bank, bank))
        | dict(control=CONTROLS.get(control, ""))
        | dict(id_ap=maps["coco_ap"], id_ap50=maps["coco_ap50"])
        | values
        | states.get((score, bank, control), {})
        for (preset, score, bank, control), values in found.items()
    ]


def fitted_rows(run) -> list[dict[str, object]]:
    """The same of the scores that are fitted on ID validation boxes, and of two that are not.

    Of a detector with a head for SIREN's scores, whose boxes are the stock one's: of these alone.
    """
    from negas.evaluation.recorded import Recorded
    from negas.evaluation.rescore import score_runs
    from negas.evaluation.score_options import ScoreOptions
    from negas.scores import SCORES

    scores = ["max_sigmoid", "negs", *(n for n, score in SCORES.items() if score.needs_fit)]
    if run.info.get("score_head"):
        scores = ["siren_vmf", "siren_knn"]
    options = ScoreOptions(
        runs=(str(run.path),),
        preset=("val_f1", "matched"),
        scores=tuple(scores),
        bootstrap=0,
        rotations=0,
    )
    found = score_runs([Recorded.load(run.path)], options)
    return score_rows(run, found["runs"][0]["rows"])


def unknown_rows(run) -> list[dict[str, object]]:
    """What the vocabulary of a run finds; OSCR is by confidence and stands beside all words.

    Raises:
        ValueError: the test found no threshold of unknown objects.
    """
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
        about = about_run(run) | dict(set=row["ood_set"], vocabulary=part_title(row))
        values = dict(row)
        if row["vocabulary"] == "all" and row["control"] == "none":
            values |= {key: plain.get(row["ood_set"], {}).get(key) for key in OSCR}
        rows.append(values | about)
    return rows


def over_seeds(table: str, rows: Sequence[Mapping]) -> tuple[list[dict[str, str]], list[str]]:
    """Rows of equal keys as one: mean and sample standard deviation; empty where one has none."""
    keys, numbers = TABLES[table]
    groups: dict[tuple, list[Mapping]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    made = [
        dict(zip(keys, values, strict=True))
        | dict(runs=len(group))
        | {name: text for key in numbers for name, text in _texts(key, numbers[key], group).items()}
        for values, group in groups.items()
    ]
    return made, [*keys, "runs", *(name for key in numbers for name in (key, f"{key}_std"))]


def _texts(key: str, digits: int, rows: Sequence[Mapping]) -> dict[str, str]:
    values = [row.get(key) for row in rows]
    if any(value is None or math.isnan(value) for value in values):
        return {key: "", f"{key}_std": ""}
    scale = 100 if digits == 1 else 1
    spread = f"{scale * stdev(values):.{digits}f}" if len(values) > 1 else ""
    return {key: f"{scale * mean(values):.{digits}f}", f"{key}_std": spread}


@user_errors
def main() -> int:
    """Write the table."""
    options = TableOptions.parse()
    from negas.reports.methods import check_comparable, load_tested

    out = options.out or f"results/{FILES[options.table]}.csv"
    keys = TABLES[options.table][0]
    check_file(out, "--out", (",".join(keys),), options.overwrite)
    runs = [load_tested(path) for path in options.runs]
    if options.table == "unknown":
        for world in sorted(set(map(world_of, runs))):
            check_comparable([run for run in runs if world_of(run) == world])
    make = dict(scores=score_rows, fitted=fitted_rows, unknown=unknown_rows)[options.table]
    rows, columns = over_seeds(options.table, [row for run in runs for row in make(run)])
    write_csv(out, rows, columns)
    print(f"written: {out} ({len(rows)} rows)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
