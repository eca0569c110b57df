"""Annotations of the protocol's data sets as COCO json, from official annotation files only.

    negas prepare voc --devkit VOCdevkit
    negas prepare bdd100k --labels bdd100k/labels
    negas prepare coco-ood --ann annotations/instances_val2017.json --id voc
    negas prepare openimages-ood --folder openimages --id voc
    negas prepare custom --ann mine.json --id cat dog --out data/mine
    negas prepare owodb --variant s --val annotations/instances_val2017.json

ID classes (--id) are ``voc``, ``bdd100k``, a file of names, or the names. Counts and checksums are
printed beside the known ones. A second run finds nothing to do; files of other content are
replaced only with --overwrite. The exit code is 2 for bad input, and 1 with --strict if a known
number is missed. docs/data.md tells what to download and what the rules are.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from negas.cli import user_errors
from negas.command_line import CommandLine
from negas.options import Options, option


@dataclass(frozen=True, kw_only=True)
class _Prepare(Options):
    overwrite: bool = option(False, help="replace files of other content")
    strict: bool = option(False, help="exit with 1 if a known number differs")


@dataclass(frozen=True, kw_only=True)
class _Voc(_Prepare):
    """PASCAL VOC 2007 + 2012."""

    devkit: str = option(help="folder with VOC2007 and VOC2012")
    out: str = option("data/VOC/annotations", help="folder", output=True)
    difficult: str = option(
        "keep",
        help="objects marked as difficult: ordinary ones as in the published tables, ignored by "
        "the evaluation (iscrowd), or left out",
        choices=("keep", "ignore", "drop"),
    )
    link_images: str | None = option(
        None, help="link all images there, e.g. data/VOC/JPEGImages", metavar="FOLDER", output=True
    )

    def run(self) -> list:
        from negas.datasets.prepare.voc import link_images, prepare_voc

        results = prepare_voc(self.devkit, self.out, self.difficult, self.overwrite)
        if self.link_images:
            print(f"{self.link_images}: {link_images(self.devkit, self.link_images)} new links")
        return results


@dataclass(frozen=True, kw_only=True)
class _Bdd100k(_Prepare):
    """BDD100K, labels of 2018 or 2020."""

    labels: str = option(help="folder with the label files")
    out: str = option("data/bdd100k/annotations", help="folder", output=True)
    holdout: int = option(
        5000, help="images of train to watch the training with", ge=0, metavar="N"
    )

    def run(self) -> list:
        from negas.datasets.prepare.bdd100k import prepare_bdd100k

        return prepare_bdd100k(self.labels, self.out, self.holdout, self.overwrite)


@dataclass(frozen=True, kw_only=True)
class _WithClasses(_Prepare):
    id_names: tuple[str, ...] = option(
        help="ID classes: voc, bdd100k, a file of names, or the names themselves",
        flag="--id",
        metavar="CLASS",
    )

    @property
    def classes(self) -> tuple[str, ...]:
        from negas.datasets.prepare.id_classes import read_id_names

        return read_id_names(self.id_names)

    @property
    def label(self) -> str:
        from negas.datasets.prepare.id_classes import label_of

        return label_of(self.id_names)


@dataclass(frozen=True, kw_only=True)
class _CocoOod(_WithClasses):
    """COCO val2017 without ID classes."""

    exclude: tuple[str, ...] = option((), help="further classes that count as ID", metavar="NAME")
    ann: str = option(help="instances_val2017.json")
    out: str | None = option(
        None, help="json (default: beside --ann, named after --id)", output=True
    )
    ids: str | None = option(None, help="keep just these image ids, one per line", metavar="FILE")
    drop_unannotated: bool = option(False, help="leave out images without annotations")

    def run(self) -> list:
        from negas.datasets.prepare.coco_ood import prepare_coco_ood

        ann = Path(self.ann)
        return prepare_coco_ood(
            self.ann,
            self.out or ann.with_name(f"{ann.stem}_ood_{self.label}.json"),
            self.classes,
            ids=self.ids,
            drop_unannotated=self.drop_unannotated,
            exclude=self.exclude,
            overwrite=self.overwrite,
        )


@dataclass(frozen=True, kw_only=True)
class _OpenImagesOod(_WithClasses):
    """Open Images without ID classes."""

    exclude: tuple[str, ...] = option((), help="further classes that count as ID", metavar="NAME")
    folder: str = option(help="folder with the official csv files")
    split: str = option(
        "validation", help="of Open Images", choices=("train", "validation", "test")
    )
    boxes: str | None = option(None, help="box csv, if it is not in --folder under its usual name")
    image_labels: str | None = option(None, help="csv of image-level labels, likewise")
    no_image_labels: bool = option(False, help="do without image-level labels")
    images: str | None = option(
        None, help="folder of the downloaded images; without: only the list"
    )
    out: str | None = option(
        None, help="json (default: in --folder, named after split and --id)", output=True
    )

    def run(self) -> list:
        from negas.datasets.prepare.openimages_ood import find_sources, prepare_openimages_ood

        sources = find_sources(
            self.folder, self.split, self.boxes, self.image_labels, not self.no_image_labels
        )
        out = self.out or Path(self.folder) / f"{self.split}_ood_{self.label}.json"
        return prepare_openimages_ood(
            sources, out, self.classes, self.images, self.exclude, self.overwrite
        )


@dataclass(frozen=True, kw_only=True)
class _Custom(_WithClasses):
    """An ID and an OOD set from any COCO json."""

    ann: str = option(help="COCO json")
    out: str = option(help="folder of STEM_id.json and STEM_ood.json", output=True)
    drop_mixed: bool = option(False, help="no ID images that show other classes too")
    drop_unannotated: bool = option(False, help="no OOD images without annotations")

    def run(self) -> list:
        from negas.datasets.prepare.custom import prepare_custom

        return prepare_custom(
            self.ann,
            self.out,
            self.classes,
            drop_mixed=self.drop_mixed,
            drop_unannotated=self.drop_unannotated,
            overwrite=self.overwrite,
        )


@dataclass(frozen=True, kw_only=True)
class _Owodb(_Prepare):
    """S-OWODB or M-OWODB, the open-world splits of COCO, task by task."""

    variant: str = option(help="classes by super-category (s), or VOC's first (m)", choices="sm")
    val: str = option(help="instances_val2017.json")
    train: str | None = option(
        None, help="instances_train2017.json; without it no training files are written"
    )
    devkit: str | None = option(None, help="of m: folder with VOC2007 and VOC2012")
    list: str | None = option(None, help="of m: all_task_test.txt, the test images", metavar="FILE")
    out: str | None = option(
        None, help="folder (default: data/owodb/s or data/owodb/m)", output=True
    )

    def run(self) -> list:
        from negas.datasets.prepare.owodb import prepare_owodb

        out = self.out or f"data/owodb/{self.variant}"
        sources = (self.train, self.devkit, self.list)
        return prepare_owodb(self.variant, self.val, out, *sources, self.overwrite)


COMMANDS = {  # each writes its files and returns what was prepared by ``run()``
    "voc": _Voc,
    "bdd100k": _Bdd100k,
    "coco-ood": _CocoOod,
    "openimages-ood": _OpenImagesOod,
    "custom": _Custom,
    "owodb": _Owodb,
}


def parse_args() -> _Prepare:
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="SET")
    for name, kind in COMMANDS.items():
        kind.add_to(commands.add_parser(name, help=kind.__doc__.rstrip(".")))
    args = parser.parse_args()
    return COMMANDS[args.command].from_args(args)


@user_errors
def main() -> int:
    options = parse_args()
    from negas.datasets.prepare.outcome import print_prepared

    all_as_known = print_prepared(options.run())
    return int(options.strict and not all_as_known)


if __name__ == "__main__":
    sys.exit(main())
