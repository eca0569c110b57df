"""Where the texts look: ``python tools/show_attention.py CONFIG CHECKPOINT IMAGE [IMAGE ...]``.

For each image one page: attention of YOLO-World's neck or Grounding DINO's encoder, level by level,
under the ID texts, under the negative texts (NegA's branch without its noise), and the difference.
"""

import argparse
import sys

from negas.cli import add_config_options, load_config, user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw text-guided attention as heat maps")
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint file (.pth or .safetensors)")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, or one folder")
    parser.add_argument("--out-dir", default="work_dirs/attention", help="where to put the pages")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="ID names, or a file of them")
    parser.add_argument(
        "--negatives", nargs="+", metavar="WORD", help="words, a bank (.json), a list (.txt), none"
    )
    parser.add_argument(
        "--path",
        default="output",
        help="layers: output (the last of each level; default), all, or those of one part: "
        "top-down or bottom-up (YOLO-World), fusion-1, fusion-2, ... (Grounding DINO)",
    )
    parser.add_argument("--head", type=int, help="attention head, from 0 (default: mean of all)")
    parser.add_argument(
        "--words", action="store_true", help="mark each map's strongest cell, with its best word"
    )
    parser.add_argument(
        "--range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="of the colours (default: the values of each column)",
    )
    parser.add_argument("--cells", action="store_true", help="show cells, without interpolation")
    parser.add_argument("--no-difference", action="store_true", help="no row of differences")
    parser.add_argument("--device", help="e.g. cuda:0 or cpu")
    add_config_options(parser)
    return parser.parse_args()


@user_errors
def main() -> int:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    from negas.apis.attention import PageOptions, draw_attention
    from negas.apis.inferencer import Inferencer
    from negas.apis.inputs import Pictures
    from negas.apis.labels import read_negatives
    from negas.apis.outputs import print_unreadable
    from negas.labels.mining.classes import read_classes

    options = PageOptions(
        path=args.path,
        head=args.head,
        words=args.words,
        limits=tuple(args.range) if args.range else None,
        smooth=not args.cells,
        difference=not args.no_difference,
    )
    pictures = Pictures.of(args.images[0] if len(args.images) == 1 else args.images)
    inferencer = Inferencer(
        cfg,
        args.checkpoint,
        args.device,
        classes=list(read_classes(args.classes).names) if args.classes else None,
        negatives=read_negatives(args.negatives),
        calibration=None,
    )
    written = draw_attention(inferencer, pictures, args.out_dir, options)
    print(f"{len(written)} pages are in {args.out_dir}")
    return print_unreadable(pictures.unreadable)


if __name__ == "__main__":
    sys.exit(main())
