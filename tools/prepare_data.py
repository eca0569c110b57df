"""Annotations of the protocol's data sets as COCO json, from official annotation files only.

    python tools/prepare_data.py voc --devkit VOCdevkit
    python tools/prepare_data.py bdd100k --labels bdd100k/labels
    python tools/prepare_data.py coco-ood --ann annotations/instances_val2017.json --id voc
    python tools/prepare_data.py openimages-ood --folder openimages --id voc
    python tools/prepare_data.py custom --ann mine.json --id cat dog --out data/mine

ID classes (--id) are ``voc``, ``bdd100k``, a file of names, or the names. Counts and checksums are
printed beside the known ones. A second run finds nothing to do; files of other content are
replaced only with --overwrite. The exit code is 2 for bad input, and 1 with --strict if a known
number is missed. docs/data.md tells what to download and what the rules are.
"""

import argparse
import sys
from pathlib import Path

from negas.cli import user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--overwrite", action="store_true", help="replace files of other content")
    common.add_argument(
        "--strict", action="store_true", help="exit with 1 if a known number differs"
    )
    id_names = argparse.ArgumentParser(add_help=False)
    id_names.add_argument(
        "--id",
        nargs="+",
        required=True,
        metavar="CLASS",
        dest="id_names",
        help="ID classes: voc, bdd100k, a file of names, or the names themselves",
    )
    exclude = argparse.ArgumentParser(add_help=False)
    exclude.add_argument(
        "--exclude", nargs="+", default=[], metavar="NAME", help="further classes that count as ID"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="SET")

    voc = commands.add_parser("voc", parents=[common], help="PASCAL VOC 2007 + 2012")
    voc.add_argument("--devkit", required=True, help="folder with VOC2007 and VOC2012")
    voc.add_argument("--out", default="data/VOC/annotations", help="folder (default: %(default)s)")
    voc.add_argument(
        "--difficult",
        choices=["keep", "ignore", "drop"],
        default="keep",
        help="objects marked as difficult: ordinary ones as in the published tables, ignored by "
        "the evaluation (iscrowd), or left out (default: %(default)s)",
    )
    voc.add_argument(
        "--link-images", metavar="FOLDER", help="link all images there, e.g. data/VOC/JPEGImages"
    )

    bdd = commands.add_parser("bdd100k", parents=[common], help="BDD100K, labels of 2018 or 2020")
    bdd.add_argument("--labels", required=True, help="folder with the label files")
    bdd.add_argument("--out", default="data/bdd100k/annotations", help="folder (%(default)s)")
    bdd.add_argument(
        "--holdout",
        type=int,
        default=5000,
        metavar="N",
        help="images of train to watch the training with (default: %(default)s)",
    )

    coco = commands.add_parser(
        "coco-ood", parents=[common, id_names, exclude], help="COCO val2017 without ID classes"
    )
    coco.add_argument("--ann", required=True, help="instances_val2017.json")
    coco.add_argument("--out", help="json (default: beside --ann, named after --id)")
    coco.add_argument("--ids", metavar="FILE", help="keep just these image ids, one per line")
    coco.add_argument(
        "--drop-unannotated", action="store_true", help="leave out images without annotations"
    )

    images = commands.add_parser(
        "openimages-ood", parents=[common, id_names, exclude], help="Open Images without ID classes"
    )
    images.add_argument("--folder", required=True, help="folder with the official csv files")
    images.add_argument(
        "--split", choices=["train", "validation", "test"], default="validation", help="%(default)s"
    )
    images.add_argument("--boxes", help="box csv, if it is not in --folder under its usual name")
    images.add_argument("--image-labels", help="csv of image-level labels, likewise")
    images.add_argument(
        "--no-image-labels", action="store_true", help="do without image-level labels"
    )
    images.add_argument("--images", help="folder of the downloaded images; without: only the list")
    images.add_argument("--out", help="json (default: in --folder, named after split and --id)")

    custom = commands.add_parser(
        "custom", parents=[common, id_names], help="an ID and an OOD set from any COCO json"
    )
    custom.add_argument("--ann", required=True, help="COCO json")
    custom.add_argument("--out", required=True, help="folder of STEM_id.json and STEM_ood.json")
    custom.add_argument(
        "--drop-mixed", action="store_true", help="no ID images that show other classes too"
    )
    custom.add_argument(
        "--drop-unannotated", action="store_true", help="no OOD images without annotations"
    )
    return parser.parse_args()


def run_voc(args: argparse.Namespace) -> list:
    from negas.datasets.prepare.voc import link_images, prepare_voc

    results = prepare_voc(args.devkit, args.out, args.difficult, args.overwrite)
    if args.link_images:
        print(f"{args.link_images}: {link_images(args.devkit, args.link_images)} new links")
    return results


def run_bdd100k(args: argparse.Namespace) -> list:
    from negas.datasets.prepare.bdd100k import prepare_bdd100k

    return prepare_bdd100k(args.labels, args.out, args.holdout, args.overwrite)


def run_coco_ood(args: argparse.Namespace) -> list:
    from negas.datasets.prepare.coco_ood import prepare_coco_ood
    from negas.datasets.prepare.id_classes import label_of, read_id_names

    out = args.out or Path(args.ann).with_name(
        f"{Path(args.ann).stem}_ood_{label_of(args.id_names)}.json"
    )
    return prepare_coco_ood(
        args.ann,
        out,
        read_id_names(args.id_names),
        ids=args.ids,
        drop_unannotated=args.drop_unannotated,
        exclude=args.exclude,
        overwrite=args.overwrite,
    )


def run_openimages_ood(args: argparse.Namespace) -> list:
    from negas.datasets.prepare.id_classes import label_of, read_id_names
    from negas.datasets.prepare.openimages_ood import find_sources, prepare_openimages_ood

    sources = find_sources(
        args.folder, args.split, args.boxes, args.image_labels, not args.no_image_labels
    )
    out = args.out or Path(args.folder) / f"{args.split}_ood_{label_of(args.id_names)}.json"
    names = read_id_names(args.id_names)
    return prepare_openimages_ood(sources, out, names, args.images, args.exclude, args.overwrite)


def run_custom(args: argparse.Namespace) -> list:
    from negas.datasets.prepare.custom import prepare_custom
    from negas.datasets.prepare.id_classes import read_id_names

    return prepare_custom(
        args.ann,
        args.out,
        read_id_names(args.id_names),
        drop_mixed=args.drop_mixed,
        drop_unannotated=args.drop_unannotated,
        overwrite=args.overwrite,
    )


RUN = {
    "voc": run_voc,
    "bdd100k": run_bdd100k,
    "coco-ood": run_coco_ood,
    "openimages-ood": run_openimages_ood,
    "custom": run_custom,
}


@user_errors
def main() -> int:
    args = parse_args()
    from negas.datasets.prepare.outcome import print_prepared

    all_as_known = print_prepared(RUN[args.command](args))
    return int(args.strict and not all_as_known)


if __name__ == "__main__":
    sys.exit(main())
