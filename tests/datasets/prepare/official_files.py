"""Small files in the formats of the official ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

CAT, TIGER, DOG, PERSON, FACE, CARNIVORE, ZEBRA, KITE, ENTITY = (f"/m/0{i}" for i in range(9))
CLASS_NAMES = {
    CAT: "Cat",
    TIGER: "Persian cat",
    DOG: "Dog",
    PERSON: "Person",
    FACE: "Human face",
    CARNIVORE: "Carnivore",
    ZEBRA: "Zebra",
    KITE: "Kite",
}
HIERARCHY = {
    "LabelName": ENTITY,
    "Subcategory": [
        {
            "LabelName": CARNIVORE,
            "Subcategory": [
                {"LabelName": CAT, "Subcategory": [{"LabelName": TIGER}]},
                {"LabelName": DOG},
            ],
        },
        {"LabelName": PERSON, "Part": [{"LabelName": FACE}]},
        {"LabelName": ZEBRA},
        {"LabelName": KITE},
    ],
}
BOX_COLUMNS = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
    "IsDepiction,IsInside"
).split(",")


def voc_object(name: str, box: Sequence[float | str], difficult: int = 0, part: str = "") -> str:
    """An ``object`` element; ``part`` is put in front of its own box."""
    keys = ("xmin", "ymin", "xmax", "ymax")
    corners = "".join(f"<{key}>{value}</{key}>" for key, value in zip(keys, box, strict=True))
    return (
        f"<object><name>{name}</name><pose>Left</pose><truncated>1</truncated>"
        f"<difficult>{difficult}</difficult>{part}<bndbox>{corners}</bndbox></object>"
    )


def voc_xml(stem: str, objects: Iterable[str], width: int = 500, height: int = 375) -> str:
    """An annotation file of VOC."""
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>{stem}.jpg</filename>{size}{''.join(objects)}</annotation>"


def write_devkit(root: Path, lists: dict[str, dict[str, list[str]]], objects: dict) -> Path:
    """A VOCdevkit: ``lists[year][split]`` are stems, ``objects[stem]`` their object elements."""
    for year, splits in lists.items():
        folder = root / f"VOC{year}"
        for name in ("ImageSets/Main", "Annotations", "JPEGImages"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for split, stems in splits.items():
            text = "".join(f"{stem}\n" for stem in stems)
            (folder / "ImageSets/Main" / f"{split}.txt").write_text(text)
            for stem in stems:
                (folder / "Annotations" / f"{stem}.xml").write_text(voc_xml(stem, objects[stem]))
                (folder / "JPEGImages" / f"{stem}.jpg").write_bytes(b"")
    return root


def small_devkit(root: Path) -> Path:
    """Two years with five images."""
    lists = {
        "2007": {"train": ["000005"], "val": ["000007"], "test": ["000001", "000002"]},
        "2012": {"train": ["2008_000002"], "val": ["2008_000003"]},
    }
    for splits in lists.values():
        splits["trainval"] = splits["train"] + splits["val"]
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    objects = {
        "000005": [voc_object("chair", (263, 211, 324, 339)), voc_object("sofa", (1, 2, 3, 5), 1)],
        "000007": [voc_object("aeroplane", (141, 50, 500, 330))],
        "000001": [voc_object("person", (8, 12, 352, 498), part=part)],
        "000002": [voc_object("train", (139, 200, 207, 301), 1)],
        "2008_000002": [voc_object("tvmonitor", ("34.5", "11", "448", "293"))],
        "2008_000003": [],
    }
    return write_devkit(root, lists, objects)


def bdd_frame(name: str, *labels: tuple[str, Sequence[float]], lanes: bool = False) -> dict:
    """A frame of BDD100K's label files."""
    rows = []
    for id_, (category, box) in enumerate(labels):
        corners = dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
        rows.append(dict(category=category, id=id_, attributes={}, box2d=corners))
    if lanes:
        rows.append(dict(category="lane", poly2d=[dict(vertices=[[1.5, 2.0]], closed=False)]))
        rows.append(dict(category="area/drivable", poly2d=[]))
    return dict(name=name, attributes=dict(weather="clear"), timestamp=10000, labels=rows)


def write_json(path: Path, data: object) -> Path:
    """A JSON file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def coco(images: dict[int, list[str]], names: Sequence[str], crowds: Sequence[int] = ()) -> dict:
    """A COCO dict from the category names on each image; ids of annotations are odd on purpose."""
    number = {name: 10 * i for i, name in enumerate(names, 1)}
    pairs = [(image, name) for image, shown in images.items() for name in shown]
    return dict(
        info={},
        images=[
            dict(id=image, file_name=f"{image:012d}.jpg", width=64, height=48) for image in images
        ],
        annotations=[
            dict(
                id=500 + i,
                image_id=image,
                category_id=number[name],
                bbox=[1, 2, 10, 20],
                area=200,
                iscrowd=int(image in crowds),
            )
            for i, (image, name) in enumerate(pairs)
        ],
        categories=[dict(id=id_, name=name) for name, id_ in number.items()],
    )


def box_row(image: str, code: str, box: Sequence[object] = (0.25, 0.75, 0.5, 1), **flags: int):
    """A row of an Open Images box csv."""
    flag = [flags.get(name, 0) for name in BOX_COLUMNS[8:]]
    return [image, "xclick", code, 1, *box, *flag]


def write_openimages(
    folder: Path, rows: Iterable[Sequence[object]], labels: Iterable[tuple[str, str, int]] = ()
) -> Path:
    """The four official files of the validation split."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "bbox_labels_600_hierarchy.json", HIERARCHY)
    tables = {
        "class-descriptions-boxable.csv": CLASS_NAMES.items(),
        "validation-annotations-bbox.csv": [BOX_COLUMNS, *rows],
        "validation-annotations-human-imagelabels-boxable.csv": [
            ("ImageID", "Source", "LabelName", "Confidence"),
            *((image, "verification", code, confidence) for image, code, confidence in labels),
        ],
    }
    for name, table in tables.items():
        with (folder / name).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(table)
    return folder


def write_image(path: Path, size: tuple[int, int] = (200, 100)) -> None:
    """A JPEG of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)
