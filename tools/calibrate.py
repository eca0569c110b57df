"""Fit the thresholds of a detector: ``negas calibrate CONFIG CHECKPOINT [--tpr 0.95]``.

One that has a name, as ``negas calibrate emoji-world`` has, needs no CHECKPOINT. What is fitted:
the confidence cut, tau and, where the config seeks them, the threshold of unknown objects. They are
stored beside the checkpoint, where negas infer finds them.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from negas.cli import add_config_options, load_config, user_errors
from negas.command_line import CommandLine

# isort: split
from negas.apis.labels import LabelOptions
from negas.files import check_file
from negas.options import option, overwrite_option
from negas.unknown.thresholds import GROUP, ThresholdOptions
from negas.weights.by_name import find_detector, local_weights
from negas.weights.released import CHECKPOINT, CONFIG


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(LabelOptions):
    """Calibrate a detector on ID validation images."""

    config: str = option(help=CONFIG, positional=True)
    checkpoint: str | None = option(None, help=CHECKPOINT, positional=True)
    tpr: float = option(0.95, help="share of ID boxes to be known", gt=0, le=1)
    cut: float | None = option(None, help="fixed confidence cut (default: best F1)", ge=0, le=1)
    records: str | None = option(
        None, help="records/id_val.npz of a test, in place of running the detector"
    )
    state: str | None = option(
        None,
        help="state of a fitted score, such as fitted/knn.safetensors of a test (default: fit it "
        "on the ID validation images)",
        metavar="FILE",
    )
    unknown: str | None = option(
        None,
        help="seek unknown objects by this vocabulary ('common', a bank or a file of words; "
        "'none': seek none) in place of the config's",
        metavar="VOCABULARY",
        group=GROUP,
    )
    ann_file: str | None = option(None, help="COCO json of other ID validation images")
    img_dir: str | None = option(None, help="their folder")
    out: str | None = option(
        None,
        help="file to write (default: beside the checkpoint, under a name of its own for "
        "--classes and --negatives; negas infer finds both)",
        output=True,
    )
    overwrite: bool = overwrite_option()
    device: str | None = option(None, help="e.g. cuda:0 or cpu")

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.ann_file is None) != (self.img_dir is None):
            raise ValueError("--ann-file and --img-dir belong together; give both")


@user_errors
def main() -> int:
    parser = CommandLine(description=CalibrateOptions.__doc__)
    CalibrateOptions.add_to(parser)
    ThresholdOptions.add_to(parser)
    add_config_options(parser)
    args = parser.parse_args()
    options = CalibrateOptions.from_args(args)
    limits = ThresholdOptions.from_args(args)
    config, checkpoint = find_detector(options.config, options.checkpoint)
    cfg = load_config(config, args.cfg_options)

    from negas.apis.calibration import UnknownCalibration, default_path
    from negas.apis.fit import calibrate, relabelled, seek_unknown, use_images
    from negas.evaluation.unknown import threshold_lines
    from negas.experiments.preflight import check_checkpoint
    from negas.reports.few import FEW, widened

    checkpoint = local_weights(checkpoint)
    check_checkpoint(checkpoint)
    labels = options.labels()
    given = any(one is not None for one in labels.values())
    own = relabelled(cfg.model, **labels) if given else None
    path = Path(options.out) if options.out else default_path(checkpoint, own)
    # what is wrong with it shows before the detector runs
    check_file(path, "--out", ('"cut"', '"wanted_tpr"'), options.overwrite)
    if options.ann_file:
        use_images(cfg, options.ann_file, options.img_dir)
    if options.unknown:
        seek_unknown(cfg, None if options.unknown == "none" else options.unknown)
    fitted = calibrate(
        cfg,
        checkpoint,
        options.tpr,
        options.cut,
        options.records,
        options.device,
        labels["negatives"],
        limits,
        labels["classes"],
        options.state,
    )
    fitted.save(path)
    print(
        f"confidence cut {fitted.cut:.4f} ({fitted.source['cut_rule']}), tau {fitted.tau:.4f} "
        f"({fitted.fitted_for['score']})"
    )
    count, images = fitted.counts["detections"], fitted.counts["images"]
    print(
        f"{fitted.reached_tpr:.1%} of {count} detections on {images} ID images are known "
        f"(wanted {fitted.wanted_tpr:.1%})"
    )
    if ends := widened(fitted.reached_tpr, count):
        print(
            f"Few samples (under {FEW}): of other images {ends['low']:.0%} to {ends['high']:.0%} "
            "may be known (95% interval); calibrate with more images"
        )
    if fitted.fitted is not None:
        boxes, name = fitted.fitted["boxes"], fitted.fitted["set"]
        print(f"{fitted.fitted_for['score']} is fitted on {boxes} boxes of {name}")
    if fitted.unknown is not None:
        print(*threshold_lines(UnknownCalibration(**fitted.unknown)), sep="\n")
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
