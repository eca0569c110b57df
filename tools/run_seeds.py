"""Train and test configs with several seeds, then compare: mean and standard deviation.

Example:
    python tools/run_seeds.py --seeds 0 1 2 --work-dir work_dirs/seeds --configs \
        configs/negas/stock_yolo-world-tiny_emoji-world.py \
        configs/negas/coop_yolo-world-tiny_1xb16-8e_emoji-world.py \
        configs/negas/negas_yolo-world-tiny_1xb16-8e_emoji-world.py
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negas.cli import leave_room_for_workers, user_errors
from negas.options import Options, option


@dataclass(frozen=True)
class SeedsOptions(Options):
    """Options of the command."""

    configs: tuple[str, ...] = option(metavar="CONFIG", help="one per method")
    seeds: tuple[int, ...] = option((0, 1, 2), metavar="SEED", help="one training each", ge=0)
    work_dir: Path = option(Path("work_dirs/seeds"), metavar="DIR", help="for runs and report")
    test_only: bool = option(False, help="test existing checkpoints again")
    fresh: bool = option(False, help="do again what is done already")
    shared_cut: str | None = option(
        None,
        metavar="VALUE",
        help="one confidence cut for all: a number, or 'stock' (default if the stock detector is "
        "among the configs)",
    )
    cfg_options: dict[str, Any] | None = option(None, cli=False, help="of all configs")


def parse_args() -> SeedsOptions:
    """Read the command line."""
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    SeedsOptions.add_to(parser)
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, help="for all configs")
    return SeedsOptions.from_args(parser.parse_args())


@user_errors
def main() -> int:
    """Run all seeds."""
    leave_room_for_workers()
    args = parse_args()
    print("loading libraries ...", flush=True)
    from negas.evaluation.run import Run
    from negas.experiments.seeds import report_seeds, run_seeds
    from negas.reports.methods import role_of

    folders = run_seeds(
        args.configs, args.seeds, args.work_dir, args.cfg_options, args.test_only, args.fresh
    )
    shared = args.shared_cut
    if shared is None and any(role_of(Run.load(folder)) == "stock" for folder in folders):
        shared = "stock"
    report_seeds(folders, shared, args.work_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
