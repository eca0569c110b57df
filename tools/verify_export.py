"""Compare an exported file with its detector: ``negas verify-export MODEL CONFIG CHECKPOINT``.

The exit code is 1 if, on the same pixels, a number differs by more than the tolerance, a verdict
flips, or one of the two has a box or unknown object that the other lacks.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from negas.cli import add_config_options, load_config, user_errors
from negas.command_line import CommandLine

# isort: split
from negas.apis.labels import LabelOptions
from negas.options import option
from negas.weights.released import CHECKPOINT


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(LabelOptions):
    """Compare an exported file with the detector that it was made of."""

    model: str = option(help="file of negas export", positional=True)
    config: str = option(help="config file", positional=True)
    checkpoint: str = option(help=CHECKPOINT, positional=True)
    data: str | None = option(
        None, help="image or folder of images (default: the config's ID validation images)"
    )
    images: int = option(16, help="images to look at", ge=1)
    tolerance: float = option(
        1e-3, help="largest difference of scores, and of boxes as a share of the input's side", gt=0
    )
    variants: tuple[str, ...] = option(
        (),
        help="also make and compare smaller files",
        choices=("fp16", "int8"),
        metavar="fp16|int8",
    )
    tau_images: int = option(
        200, help="ID validation images on which tau of variants is fitted anew", ge=1
    )
    speed: int = option(
        0, help="measure the speed with one and two threads, by this many repeats", ge=0
    )


@user_errors
def main() -> int:
    parser = CommandLine(description=VerifyOptions.__doc__)
    VerifyOptions.add_to(parser)
    add_config_options(parser)
    args = parser.parse_args()
    options = VerifyOptions.from_args(args)
    from negas.runtime import Detector

    detector = Detector(options.model)  # what is wrong with it shows before the other is built
    cfg = load_config(options.config, args.cfg_options)
    from negas.apis.inferencer import Inferencer
    from negas.export.report import agreement_lines, passes, speed_lines, variant_lines
    from negas.export.verify import check_same, compare, measure, pictures_of, search_of

    files = pictures_of(cfg, options.data, options.images)
    inferencer = Inferencer(
        cfg,
        options.checkpoint,
        "cpu",
        **options.labels(),
        calibration=None,
        unknown=search_of(detector),
        show_progress=False,
    )
    check_same(detector, inferencer)
    pixels, pictures = compare(detector, inferencer, files)
    print(*agreement_lines(pixels, pictures, len(files)), sep="\n")
    if options.variants:
        id_val = pictures_of(cfg, None, options.tau_images)
        for name in options.variants:
            print(*variant_lines(name, Path(options.model), files, id_val), sep="\n")
    if options.speed:
        for threads in (1, 2):
            found = measure(options.model, inferencer, files[0], threads, options.speed)
            print(*speed_lines(found), sep="\n")
    good = passes(pixels, options.tolerance, max(detector.about.letterbox.size))
    print(f"{'within' if good else 'NOT within'} the tolerance of {options.tolerance:g}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
