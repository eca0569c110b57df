"""An ID set and an OOD set from any COCO json and a list of ID names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from negas.coco_json import completed
from negas.text import counted, listed, shown_text

from .coco_json import make_categories, read_coco, write_coco
from .coco_ood import images_without, write_subset
from .outcome import Prepared


def prepare_custom(
    annotations: str | Path,
    out: str | Path,
    id_names: Sequence[str],
    drop_mixed: bool = False,
    drop_unannotated: bool = False,
    overwrite: bool = False,
) -> list[Prepared]:
    """Split a COCO json into an ID and an OOD set.

    ``STEM_id.json`` has the images with at least one ID object, the ID annotations alone, and the
    ID classes as categories 1..K in the given order. ``STEM_ood.json`` has the images without any
    ID object, unchanged, as in COCO-OOD; it is not written if there is none. Annotations that lack
    ``area`` or ``iscrowd``, which MMDetection reads, get the area of their box and 0.

    Args:
        annotations: a COCO json.
        out: folder of the json files.
        id_names: names of categories, spelled as there.
        drop_mixed: leave images that also show other classes out of the ID set; else they stay
            and their other objects are unlabelled, as OOD objects in VOC's training images are.
        drop_unannotated: leave images without annotations out of the OOD set.
        overwrite: replace files of other content.

    Raises:
        FileNotFoundError: the json is missing.
        ValueError: the json is not sound, has no category of an ID name, or no ID object.
    """
    coco = read_coco(annotations, "annotations", "the maker of your data set")
    coco["annotations"] = [completed(row) for row in coco["annotations"]]
    names = {category["name"]: category["id"] for category in coco["categories"]}
    _check_names(id_names, list(names), str(annotations))
    number = {names[name]: i for i, name in enumerate(id_names, 1)}
    shown: dict[int | str, set[int]] = {}
    for row in coco["annotations"]:
        shown.setdefault(row["image_id"], set()).add(row["category_id"])
    with_id = {image for image, classes in shown.items() if classes & set(number)}
    mixed = {image for image in with_id if shown[image] - set(number)}
    chosen = with_id - mixed if drop_mixed else with_id
    if not chosen:
        raise ValueError(f"{str(annotations)!r}: no image is left for the ID set.")
    stem = Path(annotations).stem
    folder = Path(out)
    results = [
        _write_id(coco, chosen, number, id_names, folder / f"{stem}_id.json", overwrite),
    ]
    action = "left out" if drop_mixed else "kept, with their other objects unlabelled"
    results[0].notes.append(f"{counted(len(mixed), 'image')} with ID and other classes: {action}.")
    ood = images_without(coco, set(id_names))
    if drop_unannotated:
        ood &= set(shown)
    if ood:
        info = dict(description="images without ID objects", id_classes=list(id_names))
        path = folder / f"{stem}_ood.json"
        results.append(write_subset(coco, ood, path, info, id_names, overwrite))
        results[1].counts["without annotation"] = len(ood - set(shown))
    else:
        results[0].notes.append("every image shows an ID object: there is no OOD set.")
    return results


def _check_names(id_names: Sequence[str], categories: list[str], where: str) -> None:
    lost = [name for name in id_names if name not in categories]
    if not lost:
        return
    near = difflib.get_close_matches(lost[0], categories, n=1, cutoff=0.6)
    hint = (
        f"did you mean {shown_text(near[0])!r}"
        if near
        else f"it has {listed(sorted(categories), 8)}"
    )
    raise ValueError(
        f"{where!r} has no category {shown_text(lost[0])!r} ({len(lost)} of {len(id_names)} ID "
        f"names are missing); {hint}? Use the names of its categories."
    )


def _write_id(
    coco: dict, chosen: set, number: dict, id_names: Sequence[str], path: Path, overwrite: bool
) -> Prepared:
    images = [image for image in coco["images"] if image["id"] in chosen]
    rows = [
        row
        for row in coco["annotations"]
        if row["image_id"] in chosen and row["category_id"] in number
    ]
    annotations = [
        row | dict(id=i, category_id=number[row["category_id"]]) for i, row in enumerate(rows, 1)
    ]
    info = dict(description="images with ID objects", id_classes=list(id_names))
    categories = make_categories(id_names)
    is_new = write_coco(path, info, images, annotations, categories, overwrite)
    return Prepared(path, is_new, {"images": len(images), "objects": len(rows)})
