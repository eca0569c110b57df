"""Score whole images or crops as known or unknown: ``python tools/image_ood.py --preset P``.

A preset (``configs/image_level/*.json``) names encoder, bank, sets and methods; options override
it, and do without one. Sets are written ``[NAME=]FOLDER``, ``LIST.txt[@ROOT]`` (OpenOOD's lists) or
``ANNOTATIONS.json@IMAGES[@DETECTIONS]``. Features and captions are cached.
"""

import argparse
import sys

from negas.cli import user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Image-level OOD detection with negative labels.")
    add = parser.add_argument
    add("--preset", help="json with the settings; see configs/image_level/")
    add("--out", help="folder of the results (default: work_dirs/image_ood/<preset>_<view>)")
    add("--dry-run", action="store_true", help="check and count, and do nothing")

    add = parser.add_argument_group("data").add_argument
    add("--id", metavar="SET", help="the ID test set")
    add("--train", metavar="SET", help="ID training images of known class, for interneg")
    add("--ood", metavar="NAME=SET", nargs="+", help="OOD sets")
    add("--near", metavar="NAME=SET", nargs="+", help="OOD sets of the near group")
    add("--far", metavar="NAME=SET", nargs="+", help="OOD sets of the far group")
    add(
        "--view",
        nargs="+",
        choices=["images", "gt_crops", "detected_crops"],
        help="of COCO sets; several give one table (default: images)",
    )
    add("--min-score", type=float, help="least confidence of detected boxes (default: run's cut)")
    add("--min-size", type=float, help="least side of a crop in pixels (default: 16)")
    add("--bank", help="label bank (json)")
    add("--classes", help="file of class names in the order of a list's labels (default: bank's)")

    add = parser.add_argument_group("methods").add_argument
    add("--methods", nargs="+", help="such as mcm neglabel adaneg; or all")
    add("--method-options", nargs="+", metavar="M.O=V", help="such as neglabel.groups=100")
    add("--template", help="one for all methods: a name, or a sentence with {}")
    add("--scale", help="multiple of the cosine: a number, or encoder for its own (default: 100)")
    add("--batch-size", type=int, help="images per step of online methods (default: 256)")
    add("--seeds", type=int, nargs="+", help="of the order online methods see (default: 0)")
    add("--rotations", type=int, help="draws of the rotated-bank control, 0: none (default: 5)")
    add("--images-per-class", type=int, help="training images per class (default: 16)")

    add = parser.add_argument_group("encoder").add_argument
    add("--encoder", help="CLIP-style model: directory or hub name")
    add("--device", help="cpu (default), cuda, ...")
    add("--dtype", choices=["float32", "float16", "bfloat16"], help="of the encoder only")
    add("--encoder-batch", type=int, help="images per forward pass (default: 64)")
    add("--workers", type=int, help="threads that read images (default: 4)")
    add("--cache", help="folder of features and captions (default: work_dirs/image_features)")

    add = parser.add_argument_group("captions (ants)").add_argument
    add("--captioner", choices=["names", "server", "local"], help="who describes images")
    add("--captioner-model", help="server: its name there; local: directory or hub name")
    add("--base-url", help="http(s)://host/v1 (or environment OPENAI_BASE_URL)")
    add("--api-key-file", help="file with the key (or the key in environment OPENAI_API_KEY)")
    add("--requests-per-minute", type=float, help="at most so many requests start in a minute")
    add("--caption-prompt", help="the question about each image")
    add("--words", help="names: file of words, one per line or json")
    parser.add_argument("--no-plots", action="store_true", help="draw no histograms")
    return parser.parse_args()


@user_errors
def main() -> int:
    args = parse_args()
    from tqdm import tqdm

    from negas.image_level.run.command import options_from
    from negas.image_level.run.run import prepare, run_image_ood

    views = options_from(args)
    ready = [prepare(options) for options in views]  # all that can be wrong, before long work
    if args.dry_run:
        for options, one in zip(views, ready, strict=True):
            print("\n".join([f"view {options.view}:", *one.lines()]))
        print(f"methods: {', '.join(views[0].methods)}")
        return 0

    def say(line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    from negas.reports.image_level import make_table, write_partial, write_report, write_table
    from negas.reports.table import print_table

    runs, files = [], []
    for pair in zip(views, ready, strict=True):
        runs.append(run_image_ood(*pair, notify=say, save=write_partial))
        files += write_report(runs[-1])  # before the next view, which may fail
    table = make_table(runs)
    files.append(write_table(table, runs))
    print_table(table)
    print("written: " + ", ".join(str(path) for path in files if path.suffix != ".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
