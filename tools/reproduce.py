"""Fill a table of the paper: ``negas reproduce configs/tables/mask.yaml --data voc``.

Trains and tests every row (what is finished is skipped, what was interrupted goes on), then prints
ours beside the published numbers. ``--dry-run`` prints the plan and touches nothing.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negas.cli import jobs_option, leave_room_for_workers, parse_with_overrides, user_errors
from negas.options import Options, option


@dataclass(frozen=True)
class ReproduceOptions(Options):
    """Options of the command."""

    table: Path = option(positional=True, help="file of configs/tables, or one of yours")
    data: str = option(help="voc, bdd100k or emoji-world (built in)")
    model: str | None = option(
        None, help="as in the configs' names (default: yolo-world-v2-s, built in yolo-world-tiny)"
    )
    seeds: tuple[int, ...] = option((0,), metavar="SEED", help="one training each", ge=0)
    rows: tuple[str, ...] = option((), metavar="TITLE", help="rows to fill (default: all)")
    work_dir: Path = option(
        Path("work_dirs/reproduce"),
        metavar="DIR",
        help="for runs, which tables share, and tables",
        output=True,
    )
    dry_run: bool = option(False, help="print the plan, and do nothing")
    fresh: bool = option(False, help="do again what is done already")
    jobs: int = jobs_option()
    cfg_options: dict[str, Any] | None = option(None, cli=False, help="of all configs")


@user_errors
def main() -> int:
    """Fill the table, or print the plan."""
    leave_room_for_workers()
    about = "override settings of all configs, e.g. train_cfg.max_epochs=2"
    options = parse_with_overrides(ReproduceOptions, __doc__, about)
    path, work_dir = options.table, options.work_dir
    from negas.experiments.tables import read_table

    table = read_table(path)
    print("loading libraries ...", flush=True)
    from negas.experiments.plan import model_of, plan_table
    from negas.experiments.reproduce import describe, reproduce, write_tables
    from negas.reports.table import print_table

    model = model_of(options.data, options.model)
    rows = plan_table(
        table, options.data, model, options.seeds, work_dir, options.rows, options.cfg_options
    )
    if options.dry_run:
        print("\n".join(describe(rows, options.cfg_options, options.fresh)))
        return int(any(row.problems for row in rows))
    found = reproduce(
        table, rows, options.data, model, options.cfg_options, options.fresh, options.jobs
    )
    print()
    for each in found:
        print_table(each)
    stem = work_dir / f"{path.stem}_{options.data}_{model}"
    for file in write_tables(stem, found, rows, options.record()):
        print(f"written: {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
