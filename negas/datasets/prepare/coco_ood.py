"""COCO-OOD: the images of COCO val2017 on which no annotation names an ID class.

The published rule keeps an image if none of its annotations (crowds included) has a category that
stands for an ID class, with all its annotations, categories, ids and the order of the source.
Images without annotations pass. The published files come after a removal by hand of images that
show an unlabelled ID object, so the rule gives a superset; ``ids`` gives an exact subset.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from negas.text import read_text

from .coco_json import read_coco, write_coco
from .files import first_repeated, ids_sha256, need_file
from .id_classes import IN_COCO, VOC, categories_of
from .outcome import Check, Prepared, find_overlap

SOURCE = "http://images.cocodataset.org/annotations/annotations_trainval2017.zip"
# Published COCO-OOD for VOC: images, annotated ones, and SHA-256 of the sorted image ids.
VOC_IMAGES, VOC_ANNOTATED, VOC_UNANNOTATED, VOC_ANNOTATIONS = 930, 882, 48, 2824
VOC_SHA256 = "03516240aa43a640f75bd733fc9b20525955559a91f83fc1f2669e1be5370cfc"
VOC_ANNOTATED_SHA256 = "940b35955ab6cfe436356eaed392824a429913402241e0861bf35f655429b472"
VAL2017_IMAGES, VAL2017_ANNOTATED = 5000, 4952


def prepare_coco_ood(
    annotations: str | Path,
    out: str | Path,
    id_names: Sequence[str],
    ids: str | Path | None = None,
    drop_unannotated: bool = False,
    exclude: Sequence[str] = (),
    overwrite: bool = False,
) -> list[Prepared]:
    """Write the json of COCO-OOD for a list of ID classes.

    Args:
        annotations: ``instances_val2017.json``.
        out: the json to write.
        id_names: ID classes; names of VOC and BDD100K are found under COCO's words.
        ids: text file of image ids, one per line: keep just these.
        drop_unannotated: leave out images without annotations (nobody has looked for ID objects
            there, but the published set has them).
        exclude: further COCO categories that count as ID.
        overwrite: replace a file of other content.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is malformed, no ID name is a category, an id of ``ids`` is not there or
            breaks the rule, a name of ``exclude`` is no category, or no image is left.
    """
    coco = read_coco(annotations, "COCO val2017 annotations", SOURCE)
    categories = [category["name"] for category in coco["categories"]]
    unknown = [name for name in exclude if name not in categories]
    if unknown:
        raise ValueError(f"exclude: {unknown[0]!r} is no category of {str(annotations)!r}.")
    matches = categories_of(id_names, categories, IN_COCO)
    banned = {name for names in matches.values() for name in names} | set(exclude)
    if not banned:
        raise ValueError(
            f"ID classes: none of {list(id_names)} is a category of {str(annotations)!r}, so every "
            "image would be OOD; give the names of its categories, or those that stand for your "
            "classes with --exclude."
        )
    kept = images_without(coco, banned)
    passing = len(kept)
    if ids is not None:
        kept = _exactly(_read_ids(ids), kept, coco, str(ids))
    annotated = {annotation["image_id"] for annotation in coco["annotations"]}
    if drop_unannotated:
        kept &= annotated
    if not kept:
        raise ValueError(f"{str(annotations)!r}: no image is left without an ID class.")
    result = write_subset(
        coco,
        kept,
        Path(out),
        dict(description="COCO-OOD", id_classes=list(id_names), id_categories=sorted(banned)),
        id_names,
        overwrite,
    )
    unmatched = [name for name, found in matches.items() if not found]
    if unmatched:
        result.notes.append(f"ID classes without a category in COCO: {', '.join(unmatched)}.")
    result.counts["ID categories"] = len(banned)
    result.counts["without annotation"] = len(kept - annotated)
    result.checks += [
        Check("images of the source", len(coco["images"]), VAL2017_IMAGES),
        Check("annotated images of the source", len(annotated), VAL2017_ANNOTATED),
    ]
    if set(id_names) == set(VOC) and not exclude:
        result.checks += _voc_checks(kept, result, passing, drop_unannotated, ids is not None)
    return [result]


def images_without(coco: dict, banned: Collection[str]) -> set[int | str]:
    """Ids of the images that no annotation of a banned category lies on."""
    banned_ids = {c["id"] for c in coco["categories"] if c["name"] in banned}
    hit = {a["image_id"] for a in coco["annotations"] if a["category_id"] in banned_ids}
    return {image["id"] for image in coco["images"]} - hit


def write_subset(
    coco: dict,
    kept: Collection[int | str],
    out: Path,
    info: dict,
    id_names: Sequence[str],
    overwrite: bool,
) -> Prepared:
    """Write some images of a COCO dict with all their annotations, and report overlaps by name."""
    images = [image for image in coco["images"] if image["id"] in kept]
    annotations = [row for row in coco["annotations"] if row["image_id"] in kept]
    is_new = write_coco(out, info, images, annotations, coco["categories"], overwrite)
    used = {row["category_id"] for row in annotations}
    names = [c["name"] for c in coco["categories"] if c["id"] in used]
    overlap, note = find_overlap(names, id_names)
    counts = {
        "images": len(images),
        "annotations": len(annotations),
        "OOD classes": len(names),
    }
    notes = [f"sha256 of the sorted image ids: {ids_sha256(kept)}."]
    return Prepared(out, is_new, counts, [], notes + [note] * bool(note), overlap)


def _read_ids(path: str | Path) -> list[int]:
    file = need_file(path, "image ids", "whoever published the subset (one id per line)")
    try:
        ids = [int(word) for word in read_text(file, repr(str(path))).split()]
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: expected one image id per line ({error}).") from error
    repeated = first_repeated(ids)
    if repeated is not None:
        raise ValueError(f"{str(path)!r} lists image {repeated} twice; remove one.")
    return ids


def _exactly(ids: list[int], passing: set, coco: dict, where: str) -> set:
    present = {image["id"] for image in coco["images"]}
    lost = [id_ for id_ in ids if id_ not in present]
    if lost:
        raise ValueError(
            f"{where!r}: {len(lost)} of {len(ids)} image ids are not in the annotations, the first "
            f"is {lost[0]}; the list belongs to another set."
        )
    broken = [id_ for id_ in ids if id_ not in passing]
    if broken:
        raise ValueError(
            f"{where!r}: {len(broken)} of {len(ids)} images have an annotation of an ID class, the "
            f"first is {broken[0]}; the list belongs to other ID classes."
        )
    return set(ids)


def _voc_checks(
    kept: set, result: Prepared, passing: int, annotated_only: bool, exact: bool
) -> list[Check]:
    if not exact:
        return [Check("images that pass the rule", passing, VOC_IMAGES, at_least=True)]
    count, sha = (
        (VOC_ANNOTATED, VOC_ANNOTATED_SHA256) if annotated_only else (VOC_IMAGES, VOC_SHA256)
    )
    unannotated = 0 if annotated_only else VOC_UNANNOTATED
    return [
        Check("images of the published set", len(kept), count),
        Check("annotations of the published set", result.counts["annotations"], VOC_ANNOTATIONS),
        Check(
            "unannotated images of the published set",
            result.counts["without annotation"],
            unannotated,
        ),
        Check("sha256 of the image ids of the published set", ids_sha256(kept), sha),
    ]
