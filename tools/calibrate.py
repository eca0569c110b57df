"""Fit the confidence cut and tau: ``python tools/calibrate.py CONFIG CHECKPOINT [--tpr 0.95]``.

They are stored beside the checkpoint, where tools/infer.py finds them.
"""

import argparse
import sys
from pathlib import Path

from negas.cli import add_config_options, load_config, user_errors
from negas.files import check_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Calibrate a detector on ID validation images")
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint file (.pth or .safetensors)")
    parser.add_argument("--tpr", type=float, default=0.95, help="share of ID boxes to be known")
    parser.add_argument("--cut", type=float, help="fixed confidence cut (default: best F1)")
    parser.add_argument(
        "--records", help="records/cut.npz of a test, in place of running the detector"
    )
    parser.add_argument("--ann-file", help="COCO json of other ID validation images")
    parser.add_argument("--img-dir", help="their folder")
    parser.add_argument(
        "--negatives", nargs="+", metavar="WORD", help="words, a bank (.json), a list (.txt), none"
    )
    parser.add_argument("--out", help="file to write (default: <checkpoint>.calibration.json)")
    parser.add_argument("--device", help="e.g. cuda:0 or cpu")
    add_config_options(parser)
    return parser.parse_args()


@user_errors
def main() -> int:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    if (args.ann_file is None) != (args.img_dir is None):
        raise ValueError("--ann-file and --img-dir belong together; give both")

    from negas.apis.calibration import default_path
    from negas.apis.fit import calibrate, use_images
    from negas.apis.labels import read_negatives
    from negas.experiments.preflight import check_checkpoint

    check_checkpoint(args.checkpoint)
    path = Path(args.out) if args.out else default_path(args.checkpoint)
    check_file(path, "--out")  # what is wrong with it shows before the detector runs
    if args.ann_file:
        use_images(cfg, args.ann_file, args.img_dir)
    negatives = read_negatives(args.negatives)
    fitted = calibrate(
        cfg, args.checkpoint, args.tpr, args.cut, args.records, args.device, negatives
    )
    fitted.save(path)
    print(
        f"confidence cut {fitted.cut:.4f} ({fitted.source['cut_rule']}), tau {fitted.tau:.4f} "
        f"({fitted.fitted_for['score']})"
    )
    print(
        f"{fitted.reached_tpr:.1%} of {fitted.counts['detections']} detections on "
        f"{fitted.counts['images']} ID images are known (wanted {fitted.wanted_tpr:.1%})"
    )
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
