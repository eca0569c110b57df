"""PASCAL VOC 2007 and 2012 to COCO json.

Boxes are (xmin, ymin, xmax - xmin, ymax - ymin), without a shift by one pixel, as in VOS's files.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from xml.etree import ElementTree

from tqdm import tqdm

from negas.files import make_folder
from negas.text import read_text

from .coco_json import make_annotation, make_categories, write_coco
from .files import first_repeated, need_file, need_folder
from .id_classes import VOC, VOC_WORDS
from .outcome import Check, Prepared

_HOST = "http://host.robots.ox.ac.uk/pascal/VOC"
SOURCES = {
    ("2007", "trainval"): f"{_HOST}/voc2007/VOCtrainval_06-Nov-2007.tar",
    ("2007", "test"): f"{_HOST}/voc2007/VOCtest_06-Nov-2007.tar",
    ("2012", "trainval"): f"{_HOST}/voc2012/VOCtrainval_11-May-2012.tar",
}
# Output file -> its official lists. The val list watches training; the train list leaves it out.
OUTPUTS = {
    "voc0712_trainval.json": (("2007", "trainval"), ("2012", "trainval")),
    "voc0712_train.json": (("2007", "train"), ("2012", "train")),
    "voc0712_val.json": (("2007", "val"), ("2012", "val")),
    "voc07_test.json": (("2007", "test"),),
}
# Numbers of the official sets: images, and objects with the difficult ones.
KNOWN = {
    "voc0712_trainval.json": (5011 + 11540, 15662 + 31561),
    "voc0712_train.json": (2501 + 5717, None),
    "voc0712_val.json": (2510 + 5823, None),
    "voc07_test.json": (4952, 14976),
}
DIFFICULT = ("keep", "ignore", "drop")


def prepare_voc(
    devkit: str | Path, out: str | Path, difficult: str = "keep", overwrite: bool = False
) -> list[Prepared]:
    """Write the four json files of VOC 2007 + 2012.

    Args:
        devkit: folder with ``VOC2007`` and ``VOC2012`` as the archives unpack.
        out: folder of the json files.
        difficult: objects marked as difficult are ordinary ones (``keep``, as in the published
            tables), are marked ``iscrowd`` so that evaluation ignores them (``ignore``), or are
            left out (``drop``). The attribute ``difficult`` is written in any case.
        overwrite: replace files of other content.

    Raises:
        FileNotFoundError: a list, an annotation or a folder is missing.
        ValueError: a file is malformed, or ``difficult`` is none of the three.
    """
    if difficult not in DIFFICULT:
        raise ValueError(f"difficult={difficult!r}; expected one of {', '.join(DIFFICULT)}.")
    root = need_folder(devkit, "VOC devkit", f"{_HOST} (three archives, unpacked to one folder)")
    stems = {name: [read_list(root, *part) for part in OUTPUTS[name]] for name in OUTPUTS}
    results = []
    for name, parts in stems.items():
        records = [
            read_record(folder / "Annotations" / f"{stem}.xml", stem)
            for folder, members in parts
            for stem in tqdm(members, f"{name} {folder.name}", leave=False, delay=2)
        ]
        results.append(_write(Path(out) / name, records, difficult, overwrite))
    return results


def link_images(devkit: str | Path, folder: str | Path) -> int:
    """Link all images of both years into one folder.

    Returns:
        How many links are new.

    Raises:
        FileNotFoundError: a folder of images is missing.
    """
    folders = [
        need_folder(
            Path(devkit) / f"VOC{year}" / "JPEGImages",
            f"VOC {year} images",
            SOURCES[year, "trainval"],
        )
        for year in ("2007", "2012")
    ]
    target, new = make_folder(folder), 0
    for images in folders:
        for image in tqdm(sorted(images.glob("*.jpg")), "linking", leave=False, delay=2):
            link = target / image.name
            if not os.path.lexists(link):
                link.symlink_to(image.resolve())
                new += 1
    return new


def read_list(root: Path, year: str, split: str) -> tuple[Path, list[str]]:
    """The folder of a year, and the images of one of its official lists.

    Raises:
        FileNotFoundError: the list or an annotation is missing.
        ValueError: the list is empty, or names an image twice.
    """
    source = SOURCES[year, "test" if split == "test" else "trainval"]
    folder = root / f"VOC{year}"
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    need_file(path, f"VOC {year} {split} list", source)
    stems = read_text(path, repr(str(path))).split()
    if not stems:
        raise ValueError(f"{str(path)!r} is empty; get {source} again.")
    repeated = first_repeated(stems)
    if repeated:
        raise ValueError(f"{str(path)!r} lists {repeated!r} twice; remove one.")
    lost = [stem for stem in stems if not (folder / "Annotations" / f"{stem}.xml").is_file()]
    if lost:
        raise FileNotFoundError(
            f"VOC {year} {split}: {len(lost)} of {len(stems)} annotations are missing, the first "
            f"is {str(folder / 'Annotations' / lost[0])}.xml; unpack {source} completely."
        )
    return folder, stems


def read_record(path: Path, stem: str) -> tuple[dict, list[dict]]:
    """Image record of an annotation file, and its objects.

    Returns:
        The record, whose id is ``stem``; objects with ``category`` (a name of :data:`VOC`), ``box``
        [x, y, width, height], ``difficult`` and ``truncated``.

    Raises:
        ValueError: it is no annotation of VOC.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{str(path)!r} is not valid XML ({error}); unpack it again.") from error
    try:
        width, height = (int(root.findtext(f"size/{key}", "")) for key in ("width", "height"))
        image = dict(id=stem, file_name=f"{stem}.jpg", width=width, height=height)
        return image, [_read_object(node) for node in root.iterfind("object")]
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is no VOC annotation: {error}; unpack it again.") from None


def _read_object(node: ElementTree.Element) -> dict:
    name = node.findtext("name", "").strip()
    name = VOC_WORDS.get(name, name)
    if name not in VOC:
        raise ValueError(f"it has an object named {name!r}, which is none of VOC's 20 classes")
    # Parts of persons have boxes too; only the object's own one is its direct child.
    corners = [float(node.findtext(f"bndbox/{k}", "nan")) for k in ("xmin", "ymin", "xmax", "ymax")]
    x1, y1, x2, y2 = (int(v) if v.is_integer() else v for v in corners)
    if not all(map(math.isfinite, corners)) or x2 <= x1 or y2 <= y1:
        raise ValueError(f"the box of its {name!r} is {corners}, not finite with xmin < xmax")
    flags = {key: int(node.findtext(key, "0") or 0) for key in ("difficult", "truncated")}
    return dict(category=name, box=[x1, y1, x2 - x1, y2 - y1], **flags)


def _write(
    path: Path, records: list[tuple[dict, list[dict]]], difficult: str, overwrite: bool
) -> Prepared:
    number = {name: i for i, name in enumerate(VOC, 1)}
    annotations: list[dict] = []
    total = hard = 0
    for image, objects in records:
        for thing in objects:
            total += 1
            hard += thing["difficult"]
            if thing["difficult"] and difficult == "drop":
                continue
            annotations.append(
                make_annotation(
                    len(annotations) + 1,
                    image["id"],
                    number[thing["category"]],
                    thing["box"],
                    iscrowd=int(thing["difficult"] and difficult == "ignore"),
                    difficult=thing["difficult"],
                    truncated=thing["truncated"],
                )
            )
    lists = " + ".join(f"VOC{year} {split}" for year, split in OUTPUTS[path.name])
    info = dict(description=lists, difficult=difficult)
    images = [image for image, _ in records]
    is_new = write_coco(path, info, images, annotations, make_categories(VOC), overwrite)
    known_images, known_boxes = KNOWN[path.name]
    checks = [Check("images", len(images), known_images)]
    if known_boxes:
        checks.append(Check("objects with difficult ones", total, known_boxes))
    counts = {"images": len(images), "objects": len(annotations), "marked difficult": hard}
    return Prepared(path, is_new, counts, checks)
