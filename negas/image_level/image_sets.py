"""Sets of images, and of crops of annotated or detected boxes, as items opened when needed.

They come from folders, OpenOOD's lists and COCO files. Boxes are xyxy in pixels of the whole image.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from negas.embeddings.images import ImageItem, annotated_crops
from negas.evaluation.result_files import read_set
from negas.files import IMAGE_ENDINGS, find_files, read_json
from negas.labels.names import name_forms, name_key
from negas.metrics.coco import load_coco
from negas.options import check_value
from negas.text import read_text, shown, shown_text

from . import View


def detected_crops(
    name: str,
    detections: str | os.PathLike | None,
    files: Mapping[Any, str],
    min_score: float | None,
    min_size: float,
) -> tuple[list[ImageItem], dict[str, Any]]:
    """Crops of detected boxes, and the confidence cut that was used.

    Args:
        name: of the set, for errors.
        detections: records of a test run (npz), or COCO results (json).
        files: image id -> path.
        min_score: least confidence; ``None``: the cut of the run whose records these are.
        min_size: least length of the shorter side, in pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no file, no cut, boxes of images that are not listed, or no box is left.
    """
    if detections is None:
        raise ValueError(
            f"the set {name!r} has no detections; give records (npz) of negas test or COCO "
            f"results (json), or choose another view."
        )
    from_records = Path(detections).suffix == ".npz"
    if from_records:
        records, tested = read_set(detections)
        rows = zip(records.image_ids.tolist(), records.bboxes.tolist(), records.scores, strict=True)
        if min_score is None and tested:
            min_score = float(tested["cuts"]["run"]["value"])
    else:
        rows = _from_results(detections)
    if min_score is None:
        raise ValueError(
            f"{detections}: no confidence cut is known for these boxes; give one (--min-score)."
        )
    by_text = {str(image): path for image, path in files.items()}
    items = []
    for row, (image, box, score) in enumerate(rows):
        if str(image) not in by_text:
            raise ValueError(
                f"{detections}: a box is on image {shown(image)}, which is not in the annotations "
                f"of the set {name!r}; they belong to another set."
            )
        if score >= min_score and min(box[2] - box[0], box[3] - box[1]) >= min_size:
            place = row if from_records else None
            items.append(ImageItem(by_text[str(image)], tuple(map(float, box)), record=place))
    if not items:
        raise ValueError(
            f"{detections}: no box of at least {min_size:g} pixels has a confidence of "
            f"{min_score:g} or more; lower the cut (--min-score)."
        )
    items.sort(key=lambda item: (item.path, item.box))
    return items, {"min_score": min_score}


def _from_results(path: str | os.PathLike) -> list[tuple[Any, list[float], float]]:
    rows = []
    results = read_json(path, "name a file of detections")
    if not isinstance(results, list):
        raise ValueError(f"{path}: COCO results are a list of detections.")
    for index, row in enumerate(results):
        where = f"{path}: result {index}"
        try:
            image, box, score = row["image_id"], row["bbox"], row["score"]
        except (KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {shown_text(error)}"
            raise ValueError(f"{where} is no COCO detection ({reason}).") from error
        check_value(f"{where}: bbox", box, list[float])
        check_value(f"{where}: score", score, float, ge=0, le=1)
        if len(box) != 4:
            raise ValueError(f"{where}: bbox must be [x, y, width, height], got {shown(box)}.")
        x, y, width, height = map(float, box)
        rows.append((image, [x, y, x + width, y + height], float(score)))
    return rows


@dataclass(frozen=True)
class ImageSet:
    """A named list of images or crops.

    Attributes:
        name: in tables.
        items: in a fixed order.
        source: where they come from and what was left out, JSON-able.
        class_names: names of the classes that occur, where the source tells.
    """

    name: str
    items: list[ImageItem]
    source: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.items:
            where = next(iter(self.source.values()), "its source")
            raise ValueError(f"the set {self.name!r} is empty: there is no image in {where}.")


def read_folder(
    name: str, folder: str | os.PathLike, id_names: Sequence[str] | None = None
) -> ImageSet:
    """All images below a folder, sorted by path.

    Args:
        name: of the set.
        folder: searched with all its sub-folders; ``source`` tells what else it holds.
        id_names: the K ID classes, if the images are of them: sub-folders bear their names
            (``_`` for a space), or there are K of them, whose sorted order is that of the classes.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no image, or its sub-folders do not fit the ID classes.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"the folder {str(folder)!r} of the set {name!r} does not exist.")
    paths, left_out = find_files(root, IMAGE_ENDINGS, below=True)
    source = {"folder": str(folder)} | ({"left out": left_out} if left_out else {})
    if id_names is None:
        items = [ImageItem(str(path)) for path in paths]
        return ImageSet(name, items, source)
    folders = sorted({path.relative_to(root).parts[0] for path in paths} - {p.name for p in paths})
    of_name = {name_key(n): k for k, n in enumerate(id_names)}
    labels = {one: of_name.get(name_key(one)) for one in folders}
    if None in labels.values():
        if len(folders) != len(id_names):
            strange = next((f for f, k in labels.items() if k is None), None)
            raise ValueError(
                f"the folder {str(folder)!r} of the set {name!r} has {len(folders)} sub-folders "
                f"for {len(id_names)} ID classes, and {strange!r} is no class name; name them as "
                f"the classes, or have one per class in sorted order."
            )
        labels = {one: k for k, one in enumerate(folders)}
    items = [
        ImageItem(str(p), labels=(labels[p.relative_to(root).parts[0]],))
        for p in paths
        if p.parent != root
    ]
    return ImageSet(name, items, source)


def read_list(
    name: str, list_file: str | os.PathLike, root: str | os.PathLike | None = None
) -> ImageSet:
    """An image list in OpenOOD's format: ``path label`` per line, -1 for no ID class.

    Args:
        name: of the set.
        list_file: the text file; paths may hold spaces, a line may lack the label.
        root: folder that the paths start from; default: that of the list.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not text, or lists nothing.
    """
    path = Path(list_file)
    if not path.is_file():
        raise FileNotFoundError(f"the list {str(list_file)!r} of the set {name!r} does not exist.")
    lines = read_text(path, f"the list {str(list_file)!r} of the set {name!r}").split("\n")
    base, items = Path(root) if root is not None else path.parent, []
    for line in filter(None, map(str.strip, lines)):
        file, _, label = line.rpartition(" ")
        if not file or not label.lstrip("-").isdecimal():
            file, label = line, "-1"
        labels = (int(label),) if int(label) >= 0 else ()
        items.append(ImageItem(str(base / file.strip()), labels=labels))
    return ImageSet(name, items, {"list": str(list_file), "root": str(base)})


def read_coco(
    name: str,
    ann_file: str | os.PathLike,
    img_dir: str | os.PathLike,
    id_names: Sequence[str],
    is_id: bool,
    view: View = "images",
    detections: str | os.PathLike | None = None,
    min_score: float | None = None,
    min_size: float = 16,
) -> ImageSet:
    """Images of a COCO file, or crops of them.

    Args:
        name: of the set.
        ann_file: COCO json.
        img_dir: folder of its images.
        id_names: the K ID classes, by category name.
        is_id: ground-truth crops are of ID classes only; otherwise of all others.
        view: whole images, crops of annotated objects, or of detected boxes.
        detections: records (npz) or COCO results (json), for ``detected_crops``.
        min_score: least confidence of a detected box; default: the cut of the test run that wrote
            the records.
        min_size: least length of a crop's shorter side, in pixels.

    Raises:
        FileNotFoundError: a file or the folder does not exist.
        ValueError: malformed files, or nothing is left.
    """
    if view not in get_args(View):
        raise ValueError(f"view must be one of {', '.join(get_args(View))}, got {view!r}.")
    if not Path(img_dir).is_dir():
        raise FileNotFoundError(
            f"the image folder {str(img_dir)!r} of the set {name!r} does not exist."
        )
    truth = load_coco(ann_file).dataset
    files = {image["id"]: str(Path(img_dir) / image["file_name"]) for image in truth["images"]}
    category = {one["id"]: one["name"] for one in truth["categories"]}
    label_of = {name_key(n): k for k, n in enumerate(id_names)}
    labels = {c: label_of.get(name_key(n)) for c, n in category.items()}
    used = {ann["category_id"] for ann in truth["annotations"]}
    id_forms = frozenset().union(*map(name_forms, id_names))
    strange = [c for c in used if c in category and not name_forms(category[c]) & id_forms]
    source = {"ann_file": str(ann_file), "img_dir": str(img_dir), "view": view}
    if view == "images":
        shown: dict[Any, set[int]] = {}
        for ann in truth["annotations"]:
            if labels.get(ann["category_id"]) is not None:
                shown.setdefault(ann["image_id"], set()).add(labels[ann["category_id"]])
        items = [ImageItem(p, labels=tuple(sorted(shown.get(i, ())))) for i, p in files.items()]
    elif view == "gt_crops":
        of_id = {c: k for c, k in labels.items() if k is not None}
        wanted = of_id if is_id else dict.fromkeys(strange)
        items = annotated_crops(ann_file, truth, img_dir, wanted, min_size)
        if not items:
            raise ValueError(
                f"{ann_file}: no box of at least {min_size:g} pixels of the wanted classes; check "
                f"the category names, use whole images, or lower the least size."
            )
        items.sort(key=lambda item: (item.path, item.box))  # an image is opened once
        source["min_size"] = min_size
    else:
        items, found = detected_crops(name, detections, files, min_score, min_size)
        source |= {"detections": str(detections), "min_size": min_size, **found}
    return ImageSet(name, items, source, tuple(category[c] for c in sorted(strange, key=str)))
