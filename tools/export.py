"""Write a detector as one file: ``negas export CONFIG CHECKPOINT --out model.onnx``.

The file says known or unknown by itself: pixels in, boxes with verdicts out, with ONNX Runtime or
any other engine (docs/export.md). ``--out model.pt2`` writes the network alone for PyTorch.
"""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from negas.cli import add_config_options, load_config, user_errors
from negas.command_line import CommandLine

# isort: split
from negas.apis.labels import LabelOptions, VocabularyOptions
from negas.files import check_file
from negas.options import option, overwrite_option
from negas.weights.released import CHECKPOINT


@dataclass(frozen=True, kw_only=True)
class ExportOptions(LabelOptions, VocabularyOptions):
    """Write a detector with its labels, score and threshold as one file."""

    config: str = option(help="config file", positional=True)
    checkpoint: str = option(help=CHECKPOINT, positional=True)
    out: str = option("model.onnx", help="file to write, .onnx or .pt2", output=True)
    mode: str = option(
        "baked",
        help="baked: labels are fixed; open: other words may be given to the file, whose text "
        "encoder is written beside it",
        choices=("baked", "open"),
    )
    calibration: str = option(
        "auto",
        help="default: <checkpoint>.calibration.json if it is there; 'none': no verdict",
        metavar="FILE",
    )
    score_thr: float | None = option(
        None, help="least confidence of a box (default: calibrated)", ge=0, le=1
    )
    tau: float | None = option(
        None, help="least score of a known box, in place of the calibrated one"
    )
    size: tuple[int, ...] | None = option(
        None,
        help="width and height of the input (default: the test pipeline's)",
        metavar="PIXELS",
        ge=1,
    )
    raw: bool = option(False, help="give the logits of all labels, too")
    web: str | None = option(
        None,
        help="write a page for browsers there, with the detector in mode open, in place of --out",
        metavar="DIR",
        output=True,
    )
    onnxruntime_web: Path | None = option(
        None,
        help="npm's tarball of it for --web (default: fetched into checkpoints/)",
        metavar="FILE",
    )
    overwrite: bool = overwrite_option()

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.out).suffix not in (".onnx", ".pt2"):
            raise ValueError(f"--out: the name must end in .onnx or .pt2, got {self.out!r}")
        if self.mode == "open" and Path(self.out).suffix != ".onnx":
            raise ValueError("--mode open writes ONNX files; give --out a name that ends in .onnx")
        if self.web is not None and self.out != "model.onnx":
            raise ValueError("--web: the page has its own file of the detector; leave out --out")
        if self.web is None and self.onnxruntime_web is not None:
            raise ValueError("--onnxruntime-web is for --web DIR only")
        if self.unknown not in (None, "none") and Path(self.out).suffix != ".onnx":
            raise ValueError("--unknown: unknown objects are not in a .pt2; write an .onnx")
        if self.size is not None and len(self.size) != 2:
            raise ValueError("--size: give a width and a height in pixels")


@user_errors
def main() -> int:
    parser = CommandLine(description=ExportOptions.__doc__)
    ExportOptions.add_to(parser)
    add_config_options(parser)
    args = parser.parse_args()
    options = ExportOptions.from_args(args)
    sought = options.wanted()
    cfg = load_config(options.config, args.cfg_options)
    from negas.apis.inferencer import Inferencer, no_verdict
    from negas.export.page import PACKAGE, export_page, fetch_engine
    from negas.export.write import Wanted, export_onnx, export_pt2
    from negas.runtime.words import Words

    # what is wrong with it shows before the detector is built
    if options.web is None:
        check_file(options.out, "--out", ("negas",), options.overwrite)
    else:
        package = fetch_engine(options.onnxruntime_web or PACKAGE)
        check_file(Path(options.web, "index.html"), "--web", ("negas",), options.overwrite)
    inferencer = Inferencer(
        cfg,
        options.checkpoint,
        "cpu",
        **options.labels(),
        calibration=None if options.calibration == "none" else options.calibration,
        unknown=sought,
        show_progress=False,
    )
    if options.tau is not None:
        inferencer.tau = options.tau
    wanted = Wanted(options.mode, options.score_thr, options.size, options.raw)
    if options.web is not None:
        about = export_page(inferencer, Path(options.web), wanted, package)
    else:
        write = export_onnx if Path(options.out).suffix == ".onnx" else export_pt2
        about = write(inferencer, options.out, wanted)
    width, height = about.letterbox.size
    print(
        f"{about.detector}, {len(about.class_names)} classes, {len(about.neg_labels)} negatives, "
        f"images of {width}x{height} pixels, score {about.score}"
    )
    if about.tau is None:
        print(f"no verdict: {no_verdict(inferencer.model)}")
    else:
        how = "by hand" if about.calibration is None else "calibrated"
        print(f"confidence cut {about.score_thr:.4f}, tau {about.tau:.4f} ({how})")
    if found := about.unknown:
        how = "calibrated" if found["calibrated"] else "by hand"
        print(
            f"unknown objects by {len(found['words'])} words, threshold {found['score_thr']:.4f} "
            f"({how})"
        )
    if options.web is not None:
        print(
            f"written to {Path(options.web, 'index.html')}; look at it with\n"
            f"  python -m http.server --bind 127.0.0.1 --directory {shlex.quote(options.web)}"
        )
        return 0
    files = [options.out, *(Words.files(Path(options.out)) if about.mode == "open" else ())]
    print(f"written to {', '.join(map(str, files))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
