"""EmojiWorld demo: train CoOp prompts and NegAS, test both beside the stock detector, compare."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from negas.cli import leave_room_for_workers, parse_with_overrides, user_errors
from negas.options import Options, option

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = {
    "yolo-world": Path("work_dirs/demo"),
    "grounding-dino": Path("work_dirs/demo_grounding_dino"),
}


@dataclass(frozen=True)
class DemoOptions(Options):
    """Options of the command."""

    detector: Literal["yolo-world", "grounding-dino"] = option("yolo-world", help="which one")
    work_dir: Path | None = option(
        None, metavar="DIR", help="default: work_dirs/demo[_grounding_dino]", output=True
    )
    fresh: bool = option(False, help="do again what is done already")
    seed: int = option(0, help="of the trainings", ge=0)
    cfg_options: dict[str, Any] | None = option(None, cli=False, help="of all three configs")


@user_errors
def main() -> int:
    """Run the demo."""
    leave_room_for_workers()
    about = "override settings of all three configs, e.g. train_cfg.max_epochs=2"
    args = parse_with_overrides(DemoOptions, __doc__, about)
    work_dir = args.work_dir.absolute() if args.work_dir else DEFAULT[args.detector]
    os.chdir(ROOT)  # configs name their data relative to the repository
    print("loading libraries ...", flush=True)
    from negas.experiments.demo import CONFIG_DIR, check_weights, make_scenes, run_demo

    check_weights(CONFIG_DIR, args.cfg_options, args.detector)
    make_scenes()
    run_demo(
        work_dir,
        overrides=args.cfg_options,
        fresh=args.fresh,
        seed=args.seed,
        detector=args.detector,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
