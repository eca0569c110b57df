"""Train a detector: ``negas train CONFIG [--work-dir DIR] [--resume [CHECKPOINT]]``."""

import argparse
import os
import sys

from negas.cli import (
    add_config_options,
    lasting_imports,
    load_config,
    prepare_work_dir,
    user_errors,
)
from negas.command_line import CommandLine


def parse_args() -> argparse.Namespace:
    parser = CommandLine(description="Train a detector")
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="where to put logs and checkpoints")
    parser.add_argument("--amp", action="store_true", help="train with mixed precision")
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate with the batch size"
    )
    parser.add_optional_value(
        "--resume",
        "auto",
        metavar="CHECKPOINT",
        endings=(".pth", ".safetensors"),
        help="resume from this checkpoint, or from the last one in the work dir",
    )
    parser.add_argument(
        "--allow-nan", action="store_true", help="go on after a loss that is NaN or infinite"
    )
    add_config_options(parser)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


@user_errors
def main() -> int:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options, args.launcher)
    prepare_work_dir(cfg, args.work_dir)

    with lasting_imports():
        from negas.experiments.run import train

    train(cfg, args.amp, args.auto_scale_lr, args.resume, args.allow_nan)
    return 0


if __name__ == "__main__":
    sys.exit(main())
