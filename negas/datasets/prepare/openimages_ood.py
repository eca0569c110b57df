"""A documented OOD set from Open Images; not the published one, which cannot be rebuilt.

An image is kept if it has at least one box of an OOD class, no box of an ID class or of a class
related to one (:func:`.openimages_classes.split_classes`), and no image-level label, verified as
present by people, of those. Boxes exist for verified labels only, so an image may still show an
ID object that nobody was asked about. All boxes of a kept image are written.

The csv files are streamed: memory grows with the number of images, not with that of boxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from negas.pictures import PictureError, picture_size

from .coco_json import make_annotation, make_categories, write_coco
from .files import ids_sha256, need_file, need_folder, write_if_different
from .openimages_classes import Split, read_classes, read_hierarchy, split_classes
from .openimages_csv import image_key, image_name, read_rows
from .outcome import Check, Prepared, find_overlap

_STORE = "https://storage.googleapis.com/openimages"
BOXES_SOURCE = (
    f"{_STORE}/v5/validation-annotations-bbox.csv (or test-..., or "
    f"{_STORE}/v6/oidv6-train-annotations-bbox.csv)"
)
LABELS_SOURCE = f"{_STORE}/v5/validation-annotations-human-imagelabels-boxable.csv"
DOWNLOADER = "https://raw.githubusercontent.com/openimages/dataset/master/downloader.py"
# Boxes of the official files since version 5.
KNOWN_BOXES = {"train": 14_610_229, "validation": 303_980, "test": 937_327}
_BOX = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf", "IsDepiction")


@dataclass(frozen=True)
class Sources:
    """Official files of one split.

    Attributes:
        boxes: ``validation-annotations-bbox.csv``.
        image_labels: ``validation-annotations-human-imagelabels-boxable.csv``; None: do without.
        classes: ``class-descriptions-boxable.csv``.
        hierarchy: ``bbox_labels_600_hierarchy.json``.
        split: ``train``, ``validation`` or ``test``, as the image host calls it.
    """

    boxes: Path
    image_labels: Path | None
    classes: Path
    hierarchy: Path
    split: str = "validation"


def find_sources(
    folder: str | Path,
    split: str,
    boxes: str | Path | None = None,
    image_labels: str | Path | None = None,
    use_image_labels: bool = True,
) -> Sources:
    """Official files by their usual names in one folder; those that are given win."""
    root = Path(folder)
    prefix = "oidv6-train" if split == "train" else split
    labels = Path(image_labels or root / f"{split}-annotations-human-imagelabels-boxable.csv")
    return Sources(
        boxes=Path(boxes or root / f"{prefix}-annotations-bbox.csv"),
        image_labels=labels if use_image_labels else None,
        classes=root / "class-descriptions-boxable.csv",
        hierarchy=root / "bbox_labels_600_hierarchy.json",
        split=split,
    )


def prepare_openimages_ood(
    sources: Sources,
    out: str | Path,
    id_names: Sequence[str],
    images: str | Path | None = None,
    exclude: Sequence[str] = (),
    overwrite: bool = False,
) -> list[Prepared]:
    """Choose the images; with their files at hand, write the json too.

    The csv files do not tell the sizes of images, and nobody wants to download all of them. So
    without ``images`` only the list of images is written (``OUT`` with the suffix
    ``.images.txt``), in the form that the official downloader reads.

    Args:
        sources: the official files.
        out: the json to write.
        id_names: ID classes; names of VOC and BDD100K are found under Open Images' words.
        images: folder with the downloaded images, ``ID.jpg``.
        exclude: further classes of Open Images that count as ID.
        overwrite: replace files of other content.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is malformed, no ID name is a class, or no image is left.
    """
    boxes = need_file(sources.boxes, "Open Images boxes", BOXES_SOURCE)
    if sources.image_labels is not None:
        need_file(sources.image_labels, "Open Images image-level labels", LABELS_SOURCE)
    if images is not None:
        need_folder(images, "Open Images images", f"{DOWNLOADER} and the list of images")
    names = read_classes(sources.classes)
    split = split_classes(names, read_hierarchy(sources.hierarchy), id_names, exclude)
    if not split.id_codes:
        raise ValueError(
            f"ID classes: none of {list(id_names)} is a boxable class of Open Images; name the "
            "classes that stand for them with --exclude."
        )
    kept, used, total = choose_images(boxes, sources.image_labels, split)
    if not kept:
        raise ValueError(f"{str(boxes)!r}: no image is left without an ID class.")
    target = Path(out)
    listing = target.with_suffix(".images.txt")
    lines = (f"{sources.split}/{image_name(key)}\n" for key in kept)
    is_new = write_if_different(listing, lines, overwrite)
    ood_names = [name for code, name in split.ood.items() if used[code]]
    overlap, note = find_overlap(ood_names, id_names)
    result = Prepared(
        listing,
        is_new,
        {
            "images": len(kept),
            "OOD classes": len(ood_names),
            "ID classes": len(split.id_codes),
            "classes related to them": len(split.related),
            "boxes read": total,
        },
        [Check("boxes of the source", total, KNOWN_BOXES[sources.split])],
        [f"sha256 of the sorted image ids: {ids_sha256(map(image_name, kept))}."],
        overlap,
    )
    result.notes += [note] * bool(note)
    if split.unmatched:
        result.notes.append(f"ID classes that Open Images lacks: {', '.join(split.unmatched)}.")
    if sources.image_labels is None:
        result.notes.append("image-level labels were not looked at: more ID objects remain.")
    if images is None:
        result.notes.append(
            f"next: download the listed images (python downloader.py {listing}, from {DOWNLOADER}) "
            "and run this again with --images FOLDER."
        )
        return [result]
    return [result, _write(boxes, target, kept, Path(images), split, id_names, overwrite)]


def choose_images(
    boxes: Path, image_labels: Path | None, split: Split
) -> tuple[list[int], Counter[str], int]:
    """Images that the rule keeps.

    Returns:
        Sorted keys of the images, boxes by class code on them, and the number of boxes read.

    Raises:
        ValueError: a row is malformed, or of a class that the class file lacks.
    """
    banned, names = split.banned, split.names
    rejected: set[int] = set()
    for line, (image, code, confidence) in _label_rows(image_labels):
        if code in banned and confidence not in ("0", "0.0"):
            rejected.add(image_key(image, image_labels, line))
    candidates: set[int] = set()
    total = 0
    for line, (image, code) in read_rows(boxes, _BOX[:2], BOXES_SOURCE):
        total += 1
        if code not in names:
            raise ValueError(
                f"{str(boxes)!r}, line {line}: the class {code!r} is not in the class names; use "
                "files of the same release."
            )
        (rejected if code in banned else candidates).add(image_key(image, boxes, line))
    kept = candidates - rejected
    del candidates, rejected
    used: Counter[str] = Counter()
    for line, (image, code) in read_rows(boxes, _BOX[:2], BOXES_SOURCE):
        if image_key(image, boxes, line) in kept:
            used[code] += 1
    return sorted(kept), used, total


def _label_rows(path: Path | None) -> Iterator[tuple[int, list[str]]]:
    columns = ("ImageID", "LabelName", "Confidence")
    return read_rows(path, columns, LABELS_SOURCE) if path is not None else iter(())


def _write(
    boxes: Path,
    out: Path,
    kept: list[int],
    images: Path,
    split: Split,
    id_names: Sequence[str],
    overwrite: bool,
) -> Prepared:
    sizes = _read_sizes(kept, images)
    ood = split.ood
    number = {code: i for i, code in enumerate(ood, 1)}
    written = 0

    def annotations() -> Iterator[dict]:
        nonlocal written
        for line, row in read_rows(boxes, _BOX, BOXES_SOURCE):
            key = image_key(row[0], boxes, line)
            if key in sizes:
                written += 1
                box = _pixel_box(row[2:6], sizes[key], f"{str(boxes)!r}, line {line}")
                group, depiction = (int(flag == "1") for flag in row[6:])
                # A group's box holds many objects: evaluation ignores it, as COCO's crowds.
                more = dict(iscrowd=group, depiction=depiction)
                yield make_annotation(written, image_name(key), number[row[1]], box, **more)

    records = (
        dict(id=name, file_name=f"{name}.jpg", width=sizes[key][0], height=sizes[key][1])
        for key, name in ((key, image_name(key)) for key in kept)
    )
    info = dict(
        description="Open Images without the ID classes and their relatives (a negas set, not the "
        "published OpenImages-OOD)",
        id_classes=list(id_names),
        left_out=sorted(split.names.get(code, code) for code in split.banned),
    )
    categories = make_categories(ood.values())
    is_new = write_coco(out, info, records, annotations(), categories, overwrite)
    return Prepared(out, is_new, {"images": len(kept), "boxes": written})


def _read_sizes(kept: list[int], folder: Path) -> dict[int, tuple[int, int]]:
    """Width and height of every image, from the header of its file."""
    # Paths are made anew each time: a million of them take more memory than all else here.
    missing = [key for key in kept if not (folder / f"{image_name(key)}.jpg").is_file()]
    if missing:
        first = folder / f"{image_name(missing[0])}.jpg"
        raise FileNotFoundError(
            f"Open Images images: {len(missing)} of {len(kept)} do not exist, the first is "
            f"{str(first)!r}; download those of the list with {DOWNLOADER}."
        )
    sizes = {}
    for key in tqdm(kept, "image sizes", leave=False, delay=2):
        path = folder / f"{image_name(key)}.jpg"
        try:
            sizes[key] = picture_size(path)
        except PictureError as error:
            raise ValueError(
                f"{str(path)!r} is no readable image ({error.reason}); download it again."
            ) from error
    return sizes


def _pixel_box(texts: list[str], size: tuple[int, int], where: str) -> list[float]:
    """[x, y, width, height] in pixels from XMin, XMax, YMin, YMax as shares of the image."""
    try:
        x1, x2, y1, y2 = map(float, texts)
    except ValueError:
        x1 = x2 = y1 = y2 = float("nan")
    if not (0 <= x1 <= x2 <= 1 and 0 <= y1 <= y2 <= 1):
        raise ValueError(
            f"{where}: XMin, XMax, YMin, YMax are {texts}; expected 0 <= min <= max <= 1."
        )
    width, height = size
    box = (x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height)
    return [round(value, 2) for value in box]
