"""Test a detector: ``negas test CONFIG CHECKPOINT [--work-dir DIR]``.

One that has a name, as ``negas test emoji-world`` has, needs no CHECKPOINT.
"""

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
from negas.files import protect
from negas.weights.by_name import find_detector, local_weights
from negas.weights.released import CHECKPOINT, CONFIG


def parse_args() -> argparse.Namespace:
    parser = CommandLine(description="Test a detector on the ID set and the OOD sets")
    parser.add_argument("config", help=CONFIG)
    parser.add_argument("checkpoint", nargs="?", help=CHECKPOINT)
    parser.add_argument("--work-dir", help="where to put results, records and plots")
    parser.add_argument("--show", action="store_true", help="show ID detections in a window")
    parser.add_argument(
        "--show-dir", help="folder below the work dir for painted images, one folder per set"
    )
    parser.add_argument(
        "--preset",
        nargs="+",
        metavar="NAME",
        help="further protocols, as in negas score: val_f1, vos, siren, matched, objects, owod, "
        "fixed",
    )
    parser.add_argument("--amp", action="store_true", help="test with mixed precision (GPU)")
    add_config_options(parser)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def add_presets(cfg, names: list[str]) -> None:
    """Ask the config's OODMetric for further protocols.

    Raises:
        ValueError: there is no such preset, or no OODMetric.
    """
    from negas.metrics import find_presets

    find_presets(names)
    evaluators = cfg.get("test_evaluator") or []
    evaluators = evaluators if isinstance(evaluators, list | tuple) else [evaluators]
    found = [each for each in evaluators if each.get("type") == "OODMetric"]
    if not found:
        raise ValueError("--preset: the config's test_evaluator has no OODMetric")
    for each in found:
        each["presets"] = list(dict.fromkeys([*each.get("presets", ("val_f1",)), *names]))


def print_numbers(work_dir: str) -> None:
    """The headline, and where all tables are."""
    from mmengine.dist import is_main_process

    from negas.evaluation.run import Run
    from negas.reports.scores import run_tables
    from negas.reports.table import print_tables
    from negas.reports.unknown import unknown_table

    run = Run.load(work_dir)
    if is_main_process() and (tables := run_tables(run)):  # none on an ID set alone
        print()
        places = [
            f"all presets and banks: negas report {work_dir}",
            f"one page with pictures: negas html-report {work_dir}",
        ]
        found = unknown_table(run.name, run.results.get("unknown", {}), brief=True)
        print_tables([*([found] if found else []), tables[-1]], places=places)


@user_errors
def main() -> int:
    args = parse_args()
    config, checkpoint = find_detector(args.config, args.checkpoint)
    cfg = load_config(config, args.cfg_options, args.launcher)
    checkpoint = local_weights(checkpoint)
    protect(checkpoint)
    if args.preset:
        add_presets(cfg, args.preset)
    prepare_work_dir(cfg, args.work_dir)
    if args.show:
        cfg.default_hooks.visualization.update(draw=True, show=True)
    if args.amp:
        cfg.test_cfg.fp16 = True

    with lasting_imports():
        from negas.experiments.run import test

    metrics = test(cfg, checkpoint, args.show_dir)
    if "id/cut" in metrics:  # an OODTestLoop came to its end
        print_numbers(cfg.work_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
