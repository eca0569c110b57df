"""BDD100K detection labels to COCO json, from the files of 2018 or those of 2020.

The 2018 files are a gigabyte of JSON with lanes and areas in between; they are read as a stream.
Boxes are (x1, y1, x2 - x1, y2 - y1). Of the attributes ``crowd`` becomes ``iscrowd``, as in the
official converter; that a box is occluded or truncated changes nothing in COCO's evaluation.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from negas.files import not_json
from negas.text import shown

from .coco_json import make_annotation, make_categories, write_coco
from .files import CUT_SHORT, first_repeated, need_file
from .id_classes import BDD100K, BDD100K_WORDS
from .outcome import Check, Prepared

SOURCE = (
    "https://bdd-data.berkeley.edu (free account; 'Labels' of 2018: bdd100k_labels_images_"
    "{train,val}.json, or 'Detection 2020 Labels': det_{train,val}.json)"
)
# Both releases in their usual places.
NAMES = {
    "train": ("det_train.json", "bdd100k_labels_images_train.json"),
    "val": ("det_val.json", "bdd100k_labels_images_val.json"),
}
# Of 70,000 train images, 137 have no entry in the label files.
KNOWN = {"train": 69863, "val": 10000}
SIZE = (1280, 720)  # every image of the 100k set, width and height
# Boxes of 2020 that are no class of the benchmark, and what is drawn without boxes.
LEFT_OUT = {"other vehicle", "other person", "trailer", "drivable area", "lane"}
_LANES = ("area/", "lane/")  # how some releases spell areas and lanes


def find_labels(folder: str | Path, split: str) -> Path:
    """The label file of a split anywhere below a folder; 2020's if both are there.

    Raises:
        FileNotFoundError: there is none.
    """
    for name in NAMES[split]:
        found = sorted(Path(folder).rglob(name))
        if found:
            return found[0]
    raise FileNotFoundError(
        f"BDD100K {split} labels: no {' or '.join(NAMES[split])} below {str(folder)!r}; get it "
        f"from {SOURCE}."
    )


def prepare_bdd100k(
    labels: str | Path, out: str | Path, holdout: int = 5000, overwrite: bool = False
) -> list[Prepared]:
    """Write the json files of train, a holdout of train, and val.

    CHOICE: no official split of train exists, and val is the protocol's test set. The holdout
    holds the ``holdout`` images of train whose names have the smallest SHA-256.

    Args:
        labels: folder with the label files of both splits.
        out: folder of the json files.
        holdout: images of train to watch the training with; 0: none, and no file for them.
        overwrite: replace files of other content.

    Raises:
        FileNotFoundError: a label file is missing.
        ValueError: a file is malformed, or ``holdout`` does not leave images to train on.
    """
    paths = {split: find_labels(labels, split) for split in NAMES}
    train, left_out = read_frames(paths["train"])
    if not 0 <= holdout < len(train):
        raise ValueError(
            f"holdout={holdout}: train has {len(train)} images; expected 0 to {len(train) - 1}."
        )
    ranked = sorted(train, key=lambda frame: hashlib.sha256(frame["name"].encode()).digest())
    held = {frame["name"] for frame in ranked[:holdout]}
    check = Check("images of train with the holdout", len(train), KNOWN["train"])
    folder, outputs = Path(out), []
    kept = [frame for frame in train if frame["name"] not in held]
    outputs.append(("bdd100k_train.json", kept, [check], left_out))
    if held:
        rest = [frame for frame in train if frame["name"] in held]
        outputs.append(("bdd100k_train_holdout.json", rest, [], Counter()))
    val, left_out = read_frames(paths["val"])
    check = Check("images", len(val), KNOWN["val"])
    outputs.append(("bdd100k_val.json", val, [check], left_out))
    return [
        _write(folder / name, frames, checks, gone, overwrite)
        for name, frames, checks, gone in outputs
    ]


def read_frames(path: str | Path) -> tuple[list[dict], Counter]:
    """Frames with their boxes, in the file's order.

    Returns:
        Dicts with ``name`` and ``boxes`` (class name, [x, y, width, height], 1 for a crowd or 0),
        and how many objects of which category were left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is malformed, or has a category that neither release has.
    """
    where = need_file(path, "BDD100K labels", SOURCE)
    left_out: Counter[str] = Counter()
    frames = []
    for frame in _stream(where):
        name = frame.get("name") if isinstance(frame, dict) else None
        if not isinstance(name, str) or not name:
            raise ValueError(f"{str(where)!r}: entry {len(frames)} has no name of an image.")
        boxes, labels = [], frame.get("labels") or []
        if not isinstance(labels, list):
            raise ValueError(f"{str(where)!r}: image {name!r} has labels={labels!r}, not a list.")
        for label in labels:
            entry = _read_label(label, f"{str(where)!r}: image {name!r}", left_out)
            if entry:
                boxes.append(entry)
        frames.append(dict(name=name, boxes=boxes))
    repeated = first_repeated(frame["name"] for frame in frames)
    if repeated:
        raise ValueError(f"{str(where)!r} lists image {repeated!r} twice; remove one.")
    if not frames:
        raise ValueError(f"{str(where)!r} lists no images; get it again from {SOURCE}.")
    return frames, left_out


def _stream(path: Path) -> Iterator[dict]:
    import ijson

    with path.open("rb") as file:
        if file.read(64).lstrip()[:1] not in (b"[", b""):
            raise ValueError(f"{str(path)!r}: expected a JSON list of images with labels.")
        file.seek(0)
        total = path.stat().st_size
        bar = tqdm(total=total, desc=path.name, unit="B", unit_scale=True, leave=False, delay=2)
        with bar:
            try:
                for frame in ijson.items(file, "item", use_float=True):
                    yield frame
                    bar.update(file.tell() - bar.n)
            except (ijson.JSONError, UnicodeDecodeError) as error:
                raise not_json(path, error, CUT_SHORT) from error


def _read_label(label: object, where: str, left_out: Counter) -> tuple[str, list, int] | None:
    """Class, box and crowd mark of a label; None if it is none of the ten classes."""
    category = label.get("category") if isinstance(label, dict) else None
    if not isinstance(category, str):
        raise ValueError(f"{where} has a label without a category.")
    if category in LEFT_OUT or category.startswith(_LANES):
        left_out[category] += 1
        return None
    name = BDD100K_WORDS.get(category, category)
    if name not in BDD100K:
        raise ValueError(
            f"{where} has category {category!r}, which neither the 2018 nor the 2020 labels have; "
            "rename it to one of theirs."
        )
    box = label.get("box2d")
    corners = [box.get(key) if isinstance(box, dict) else None for key in ("x1", "y1", "x2", "y2")]
    sound = all(isinstance(v, int | float) and math.isfinite(v) for v in corners)
    if not sound or corners[2] < corners[0] or corners[3] < corners[1]:
        raise ValueError(
            f"{where} has a {category!r} with box2d {box!r}; expected finite x1 <= x2, y1 <= y2."
        )
    x1, y1, x2, y2 = corners
    crowd = (label.get("attributes") or {}).get("crowd") or 0
    if crowd not in (0, 1):
        raise ValueError(
            f"{where} has a {category!r} with attributes.crowd={shown(crowd)}; expected true or "
            "false."
        )
    return name, [x1, y1, x2 - x1, y2 - y1], int(crowd)


def _write(
    path: Path, frames: list[dict], checks: list[Check], left_out: Counter, overwrite: bool
) -> Prepared:
    number = {name: i for i, name in enumerate(BDD100K, 1)}
    width, height = SIZE
    images = [
        dict(id=i, file_name=frame["name"], width=width, height=height)
        for i, frame in enumerate(frames, 1)
    ]
    pairs = [(i, *box) for i, frame in enumerate(frames, 1) for box in frame["boxes"]]
    annotations = (
        # As in the official converter: evaluation ignores a box of many objects.
        make_annotation(id_, image_id, number[name], box, iscrowd=crowd)
        for id_, (image_id, name, box, crowd) in enumerate(pairs, 1)
    )
    info = dict(description=f"BDD100K detection, {path.stem}")
    is_new = write_coco(path, info, images, annotations, make_categories(BDD100K), overwrite)
    notes = []
    if left_out:
        gone = ", ".join(f"{count} {name}" for name, count in sorted(left_out.items()))
        notes.append(f"labels of the source file that are no class of the benchmark: {gone}.")
    counts = {"images": len(images), "objects": len(pairs)}
    if crowds := sum(crowd for *_, crowd in pairs):
        counts["crowds among them"] = crowds
    return Prepared(path, is_new, counts, checks, notes)
