"""EmojiWorld demo: train CoOp prompts and NegAS, test both beside the stock detector, compare."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from negas.cli import (
    available_cores,
    jobs_option,
    lasting_imports,
    leave_room_for_workers,
    parse_with_overrides,
    user_errors,
)
from negas.files import check_folder
from negas.options import Options, option

DEFAULT = {
    "yolo-world": Path("work_dirs/demo"),
    "grounding-dino": Path("work_dirs/demo_grounding_dino"),
}


@dataclass(frozen=True)
class DemoOptions(Options):
    """Options of the command."""

    detector: Literal["yolo-world", "grounding-dino"] = option("yolo-world", help="which one")
    work_dir: Path | None = option(
        None, metavar="DIR", help="default: work_dirs/demo[_grounding_dino][_quick]", output=True
    )
    quick: bool = option(False, help="see it work: few scenes, one epoch, numbers that mean little")
    fresh: bool = option(False, help="do again what is done already")
    seed: int = option(0, help="of the trainings", ge=0)
    jobs: int = jobs_option(min(2, available_cores()))
    cfg_options: dict[str, Any] | None = option(None, cli=False, help="of all three configs")


@user_errors
def main() -> int:
    """Run the demo."""
    leave_room_for_workers()
    about = "override settings of all three configs, e.g. train_cfg.max_epochs=2"
    args = parse_with_overrides(DemoOptions, __doc__, about)
    work_dir, overrides = args.work_dir or DEFAULT[args.detector], args.cfg_options or {}
    print("loading libraries ...", flush=True)
    with lasting_imports():
        from negas.experiments.demo import (
            CONFIG_DIR,
            QUICK,
            QUICK_NOTE,
            QUICK_NUM,
            check_weights,
            make_scenes,
            run_demo,
        )

    if args.quick:
        if not args.work_dir:
            work_dir = work_dir.with_name(f"{work_dir.name}_quick")
        work_dir, overrides = check_folder(work_dir.absolute(), "--work-dir"), QUICK | overrides
        os.chdir(work_dir)  # where configs find few scenes in place of all
    check_weights(CONFIG_DIR, overrides, args.detector)
    make_scenes(num=QUICK_NUM if args.quick else None)
    run_demo(
        work_dir,
        overrides=overrides,
        fresh=args.fresh,
        seed=args.seed,
        detector=args.detector,
        html=not args.quick,  # it takes seconds
        jobs=args.jobs,
    )
    if args.quick:
        print(QUICK_NOTE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
