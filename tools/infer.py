"""Verdicts for your images: ``python tools/infer.py INPUT CONFIG CHECKPOINT [--out-dir DIR]``.

INPUT is an image, a video or a folder of both. Boxes are judged known or unknown with the
calibration that tools/calibrate.py has put beside the checkpoint. The exit code is 1 if some inputs
could not be read (the others are judged), 2 if nothing could be done.
"""

import argparse
import sys

from negas.cli import add_config_options, load_config, user_errors
from negas.files import check_folder


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Detect objects and judge known or unknown")
    parser.add_argument("input", help="image, video or folder")
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint file (.pth or .safetensors)")
    parser.add_argument("--out-dir", default="work_dirs/infer", help="where to put the results")
    parser.add_argument("--batch-size", type=int, default=1, help="pictures at once")
    parser.add_argument(
        "--calibration",
        default="auto",
        metavar="FILE",
        help="default: <checkpoint>.calibration.json if it is there; 'none': no verdict",
    )
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="ID names, or a file of them")
    parser.add_argument(
        "--negatives", nargs="+", metavar="WORD", help="words, a bank (.json), a list (.txt), none"
    )
    parser.add_argument("--score-thr", type=float, help="least confidence (default: calibrated)")
    parser.add_argument("--no-vis", action="store_true", help="do not paint")
    parser.add_argument("--device", help="e.g. cuda:0 or cpu")
    add_config_options(parser)
    return parser.parse_args()


@user_errors
def main() -> int:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    from negas.apis.inferencer import Inferencer
    from negas.apis.inputs import Pictures
    from negas.apis.labels import read_negatives
    from negas.apis.outputs import print_unreadable
    from negas.labels.mining.classes import read_classes

    Pictures.of(args.input)  # what is wrong with it shows before the detector is built
    check_folder(args.out_dir, "--out-dir")
    inferencer = Inferencer(
        cfg,
        args.checkpoint,
        args.device,
        classes=list(read_classes(args.classes).names) if args.classes else None,
        negatives=read_negatives(args.negatives),
        calibration=None if args.calibration == "none" else args.calibration,
    )
    results = inferencer(
        args.input,
        batch_size=args.batch_size,
        pred_score_thr=args.score_thr,
        no_save_vis=args.no_vis,
        out_dir=args.out_dir,
    )
    report(results, args.out_dir)
    return print_unreadable(results["unreadable"])


def report(results: dict, out_dir: str) -> None:
    predictions = results["predictions"]
    boxes = sum(len(found["labels"]) for found in predictions)
    text = f"{len(predictions)} pictures, {boxes} boxes"
    if all("known" in found for found in predictions):
        known = sum(sum(found["known"]) for found in predictions)
        text += f": {known} known, {boxes - known} unknown"
    else:
        text += (
            ", no verdict: there is no calibration with these labels; make one with "
            "tools/calibrate.py"
        )
    print(text)
    print(f"results are in {out_dir}")


if __name__ == "__main__":
    sys.exit(main())
