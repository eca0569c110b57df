"""Train and test configs with several seeds, then compare: mean and standard deviation.

Example:
    negas seeds --seeds 0 1 2 --work-dir work_dirs/seeds --configs \
        configs/negas/stock_yolo-world-tiny_emoji-world.py \
        configs/negas/coop_yolo-world-tiny_1xb16-8e_emoji-world.py \
        configs/negas/negas_yolo-world-tiny_1xb16-8e_emoji-world.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negas.cli import (
    jobs_option,
    lasting_imports,
    leave_room_for_workers,
    parse_with_overrides,
    user_errors,
)
from negas.options import Options, option


@dataclass(frozen=True)
class SeedsOptions(Options):
    """Options of the command."""

    configs: tuple[str, ...] = option(metavar="CONFIG", help="one per method")
    seeds: tuple[int, ...] = option((0, 1, 2), metavar="SEED", help="one training each", ge=0)
    work_dir: Path = option(
        Path("work_dirs/seeds"), metavar="DIR", help="for runs and report", output=True
    )
    test_only: bool = option(False, help="test existing checkpoints again")
    fresh: bool = option(False, help="do again what is done already")
    shared_cut: str | None = option(
        None,
        metavar="VALUE",
        help="one confidence cut for all: a number, or 'stock' (default if the stock detector is "
        "among the configs)",
    )
    jobs: int = jobs_option()
    cfg_options: dict[str, Any] | None = option(None, cli=False, help="of all configs")


@user_errors
def main() -> int:
    """Run all seeds."""
    leave_room_for_workers()
    args = parse_with_overrides(SeedsOptions, __doc__, "for all configs")
    print("loading libraries ...", flush=True)
    with lasting_imports():
        from negas.evaluation.run import Run
        from negas.experiments.seeds import check_stock, plan_seeds
        from negas.experiments.train_and_test import run_all
        from negas.reports.methods import REPORT_FILES, check_shared_cut, make_report, role_of
        from negas.reports.table import places, print_tables

    runs, out = plan_seeds(args.configs, args.seeds, args.work_dir), args.work_dir
    if args.shared_cut is not None and check_shared_cut(args.shared_cut) == "stock":
        check_stock(runs, args.cfg_options)
    folders = run_all(runs, args.cfg_options, args.test_only, args.fresh, jobs=args.jobs)
    shared = args.shared_cut
    if shared is None and any(role_of(Run.load(folder)) == "stock" for folder in folders):
        shared = "stock"
    print("scoring all boxes at one shared cut ...", flush=True)
    tables = make_report(folders, shared_cut=shared, out=out)
    print()
    print_tables(tables, True, places([out / name for name in REPORT_FILES], None, (), True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
