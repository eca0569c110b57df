"""Try words and thresholds in a browser: ``negas app [CONFIG CHECKPOINT] [--run DIR]``.

The page is served on this machine alone, at http://127.0.0.1:7860, until Ctrl-C. With --run its
second tab shows the mistakes of a finished test.
"""

import sys
import threading
from dataclasses import dataclass

from negas.cli import add_config_options, load_config, user_errors
from negas.command_line import CommandLine

# isort: split
from negas.apis.labels import LabelOptions, VocabularyOptions
from negas.files import check_folder
from negas.options import option
from negas.weights.by_name import find_detector
from negas.weights.released import CHECKPOINT, CONFIG


@dataclass(frozen=True, kw_only=True)
class AppOptions(LabelOptions, VocabularyOptions):
    """Try words and thresholds in a browser."""

    config: str = option("emoji-world", help=CONFIG, positional=True)
    checkpoint: str | None = option(None, help=CHECKPOINT, positional=True)
    run: str | None = option(None, help="work dir of negas test to look at", metavar="DIR")
    calibration: str = option(
        "auto",
        help="default: <checkpoint>.calibration.json if it is there; 'none': tau is from the ID "
        "validation images",
        metavar="FILE",
    )
    id_val: str | None = option(
        None,
        help="records/id_val.npz of a test, in place of running the detector on ID validation "
        "images",
        metavar="FILE",
    )
    val_images: int = option(
        100, help="first ID validation images that are looked at before the page opens", ge=0
    )
    host: str = option("127.0.0.1", help="address to listen on; others can reach any but this one")
    port: int = option(7860, help="0: a free one", ge=0, le=65535)
    max_upload: float = option(20, help="megabytes of a picture", gt=0, le=1000)
    out_dir: str = option(
        "work_dirs/app", help="where scenes of the built-in benchmark are drawn", output=True
    )
    device: str | None = option(None, help="e.g. cuda:0 or cpu")


@user_errors
def main() -> int:
    parser = CommandLine(description=AppOptions.__doc__)
    AppOptions.add_to(parser)
    add_config_options(parser)
    args = parser.parse_args()
    options = AppOptions.from_args(args)
    config, checkpoint = find_detector(options.config, options.checkpoint)
    cfg = load_config(config, args.cfg_options)
    from negas.app.page.layout import page, serve  # Gradio may be missing, which shows now

    # isort: split
    from negas.app.finished import Finished
    from negas.app.start import check_port, open_bench, start_pictures

    check_port(options.host, options.port)
    run = Finished.load(options.run) if options.run else None
    folder = check_folder(options.out_dir, "--out-dir")
    bench = open_bench(
        cfg,
        checkpoint,
        folder / "scenes",
        device=options.device,
        labels=options.labels(),
        calibration=None if options.calibration == "none" else options.calibration,
        unknown=options.wanted(),
        records=options.id_val,
        num=options.val_images,
    )
    blocks = page(bench, start_pictures(cfg, folder / "examples"), run)
    address = serve(blocks, options.host, options.port, options.max_upload)
    print(f"the app is at {address} until Ctrl-C", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        blocks.close(verbose=False)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
