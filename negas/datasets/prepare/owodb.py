"""S-OWODB and M-OWODB: COCO's classes in four tasks, each known class unknown before its own.

The splits and their images are those of the published benchmarks (M: Joseph et al., CVPR 2021; S:
Gupta et al., CVPR 2022), from official annotations. At task t the classes of tasks 1..t are known
and all others unknown. Categories keep their names: what is no ID label is unknown in our metrics.

A test image shows known and unknown objects alike. Beside the whole test set stand therefore its
two halves, which share no image: those with a known object, the ID set of a test, and the others,
its OOD set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from negas.coco_json import completed
from negas.text import counted, listed, read_text, shown

from .coco_json import make_annotation, make_categories, read_coco, write_coco
from .coco_ood import SOURCE, VAL2017_ANNOTATED
from .files import need_file, need_folder, write_if_different
from .id_classes import VOC
from .outcome import Check, Prepared
from .voc import SOURCES, read_list, read_record

_OUTDOOR = ("traffic light", "fire hydrant", "stop sign", "parking meter", "bench")
_ACCESSORY = ("backpack", "umbrella", "handbag", "tie", "suitcase")
_APPLIANCE = ("microwave", "oven", "toaster", "sink", "refrigerator")
_SPORTS_AND_FOOD = (
    *("frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove"),
    *("skateboard", "surfboard", "tennis racket", "banana", "apple", "sandwich", "orange"),
    *("broccoli", "carrot", "hot dog", "pizza", "donut", "cake"),
)
_INDOOR_AND_KITCHEN = (
    *("laptop", "mouse", "remote", "keyboard", "cell phone", "book", "clock", "vase", "scissors"),
    *("teddy bear", "hair drier", "toothbrush", "wine glass", "cup", "fork", "knife", "spoon"),
    "bowl",
)
TASKS = {
    "s": (
        (
            *("airplane", "bicycle", "bird", "boat", "bus", "car", "cat", "cow", "dog", "horse"),
            *("motorcycle", "sheep", "train", "elephant", "bear", "zebra", "giraffe", "truck"),
            "person",
        ),
        (
            *(*_OUTDOOR, "chair", "dining table", "potted plant", *_ACCESSORY, *_APPLIANCE),
            *("bed", "toilet", "couch"),
        ),
        _SPORTS_AND_FOOD,
        (*_INDOOR_AND_KITCHEN, "tv", "bottle"),
    ),
    "m": (
        VOC,
        (
            *("truck", *_OUTDOOR, "elephant", "bear", "zebra", "giraffe"),
            *(*_ACCESSORY, *_APPLIANCE),
        ),
        _SPORTS_AND_FOOD,
        ("bed", "toilet", *_INDOOR_AND_KITCHEN),
    ),
}
ALL_NAMES = tuple(name for task in TASKS["s"] for name in task)
# Of all_task_test.txt: lines, distinct images; and of its COCO half.
M_LINES, M_IMAGES, M_COCO_LINES, M_COCO_IMAGES = 10_246, 9_119, 5_294, 4_167
_KINDS = {"COCO": r"\d{12}", "VOC2007": r"\d{6}", "VOC2012": r"\d{4}_\d{6}"}


@dataclass(frozen=True)
class _Picture:
    """An image's record; its objects as annotation records without ids, with their ``name``."""

    record: dict
    objects: list[dict]

    def shows(self, names: Iterable[str]) -> bool:
        return not {thing["name"] for thing in self.objects}.isdisjoint(names)


def prepare_owodb(
    variant: str,
    val: str | Path,
    out: str | Path,
    train: str | Path | None = None,
    devkit: str | Path | None = None,
    image_list: str | Path | None = None,
    overwrite: bool = False,
) -> list[Prepared]:
    """Write class lists, test and training files of the four tasks.

    For each task t: ``t<t>_known.txt`` (the names of tasks 1..t in their order) and
    ``t<t>_unknown.txt`` (the others; none at task 4), ``t<t>_test.json`` (all test images with all
    objects), its halves ``t<t>_test_id.json`` and ``t<t>_test_ood.json`` with and without an object
    of a known class, and ``t<t>_train.json`` (images with a known object, known objects alone).
    Crowds keep their mark and count as objects of an image. Outlines are left out.

    Args:
        variant: ``s`` or ``m``.
        val: ``instances_val2017.json``.
        out: folder of the files.
        train: ``instances_train2017.json``; without it there are no training files.
        devkit: of ``m``: folder with ``VOC2007`` and ``VOC2012``.
        image_list: of ``m``: ``all_task_test.txt``, one image a line; repeated ones are kept once.
        overwrite: replace files of other content.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: an unknown variant, sources of the other one, an unsound json or one of other
            classes, or a list with a line that names no image.
    """
    if variant not in TASKS:
        raise ValueError(f"variant: expected s or m, got {variant!r}.")
    given = dict(devkit=devkit, list=image_list)
    wrong = [key for key, value in given.items() if (value is None) == (variant == "m")]
    if wrong and variant == "m":
        raise ValueError(
            f"variant m needs --{wrong[0]}: its test images are those of all_task_test.txt, from "
            "VOC 2007 and COCO."
        )
    if wrong:
        raise ValueError(f"variant s has images of COCO alone; leave out --{wrong[0]}.")
    coco = _read(val, "COCO val2017 annotations", "" if variant == "s" else "coco/val2017/")
    if variant == "s":
        tests, about = _annotated(coco)
    else:
        root = need_folder(devkit, "VOC devkit", SOURCES["2007", "test"])
        tests, about = _listed(_read_lines(image_list), coco, root, (str(val), str(image_list)))
    prefix = "" if variant == "s" else "coco/train2017/"
    pictures = _read(train, "COCO train2017 annotations", prefix) if train is not None else None
    first = _voc_trainval(root) if pictures is not None and variant == "m" else []
    made = _Writer(variant, Path(out), overwrite)
    results = []
    for task in range(1, 5):
        results += made.test(task, tests, about)
        if pictures is not None:
            results.append(made.train(task, pictures, first))
    return results


@dataclass(frozen=True)
class _Writer:
    variant: str
    out: Path
    overwrite: bool

    def known(self, task: int) -> tuple[str, ...]:
        return tuple(name for names in TASKS[self.variant][:task] for name in names)

    def unknown(self, task: int) -> tuple[str, ...]:
        return tuple(name for names in TASKS[self.variant][task:] for name in names)

    def test(self, task: int, pictures: Sequence[_Picture], about: _About) -> list[Prepared]:
        known, unknown = self.known(task), self.unknown(task)
        results = [self._names(f"t{task}_known.txt", known)]
        if unknown:
            results.append(self._names(f"t{task}_unknown.txt", unknown))
        whole = self._write(f"t{task}_test.json", task, "test", pictures, (*known, *unknown))
        whole.checks += about.checks
        whole.notes += about.notes
        whole.counts["unknown objects"] = _count(pictures, unknown)
        whole.counts["crowds"] = sum(bool(o["iscrowd"]) for p in pictures for o in p.objects)
        if about.repeats and unknown:
            whole.notes.append(_ceiling(pictures, about.repeats, unknown, task))
        halves = dict(
            id=[picture for picture in pictures if picture.shows(known)],
            ood=[picture for picture in pictures if not picture.shows(known)],
        )
        for half, part in halves.items():
            if part:
                name = f"t{task}_test_{half}.json"
                results.append(self._write(name, task, half, part, (*known, *unknown)))
                results[-1].counts["unknown objects"] = _count(part, unknown)
            else:
                lack = "no image shows" if half == "id" else "every image shows"
                whole.notes.append(f"{lack} a known object: there is no t{task}_test_{half}.json.")
        return [*results, whole]

    def train(self, task: int, coco: Sequence[_Picture], first: Sequence[_Picture]) -> Prepared:
        """``first``: images that all tasks train on; COCO's need an object of a later class."""
        known = self.known(task)
        wanted = known[len(TASKS[self.variant][0]) :] if first else known
        pictures = [*first, *(picture for picture in coco if picture.shows(wanted))]
        result = self._write(f"t{task}_train.json", task, "train", pictures, known)
        left = sum(thing["name"] not in known for p in pictures for thing in p.objects)
        result.counts["unlabelled objects of later classes"] = left
        return result

    def _names(self, file: str, names: Sequence[str]) -> Prepared:
        path = self.out / file
        is_new = write_if_different(path, [f"{name}\n" for name in names], self.overwrite)
        return Prepared(path, is_new, {"names": len(names)})

    def _write(
        self, file: str, task: int, part: str, pictures: Sequence[_Picture], names: Sequence[str]
    ) -> Prepared:
        number = {name: i for i, name in enumerate(names, 1)}
        pairs = [(picture, thing) for picture in pictures for thing in picture.objects]
        rows = [
            dict(id=i, image_id=picture.record["id"], category_id=number[thing["name"]])
            | {key: value for key, value in thing.items() if key != "name"}
            for i, (picture, thing) in enumerate(
                (pair for pair in pairs if pair[1]["name"] in number), 1
            )
        ]
        info = dict(
            description=f"{self.variant.upper()}-OWODB, task {task}, {part}",
            benchmark=f"{self.variant.upper()}-OWODB",
            task=task,
            known=list(self.known(task)),
        )
        images = [picture.record for picture in pictures]
        categories = make_categories(names)
        path = self.out / file
        is_new = write_coco(path, info, images, rows, categories, self.overwrite)
        return Prepared(path, is_new, {"images": len(images), "objects": len(rows)})


@dataclass(frozen=True)
class _About:
    """What is told of a test set; ``repeats``: how often the list names each image."""

    checks: list[Check]
    notes: list[str]
    repeats: Counter | None = None


def _read(path: str | Path, what: str, prefix: str) -> list[_Picture]:
    """All images of a COCO json; with a ``prefix``, of their files, ids are the files' stems."""
    coco = read_coco(path, what, SOURCE)
    names = {category["id"]: category["name"] for category in coco["categories"]}
    odd = set(names.values()) ^ set(ALL_NAMES)
    if odd:
        raise ValueError(
            f"{str(path)!r}: its categories are not COCO's 80: {listed(sorted(odd), 4)} "
            f"{'is' if len(odd) == 1 else 'are'} missing or too many; give the official file."
        )
    objects: dict[object, list[dict]] = {image["id"]: [] for image in coco["images"]}
    for row in coco["annotations"]:
        whole = completed(row)
        kept = {key: whole[key] for key in ("bbox", "area", "iscrowd")}
        objects[row["image_id"]].append(dict(name=names[row["category_id"]], **kept))
    pictures = []
    for image in coco["images"]:
        record = {k: v for k, v in image.items() if k in ("id", "file_name", "width", "height")}
        if prefix:
            file = image["file_name"]
            record |= dict(id=Path(file).stem, file_name=prefix + file)
        pictures.append(_Picture(record, objects[image["id"]]))
    return pictures


def _annotated(pictures: Sequence[_Picture]) -> tuple[list[_Picture], _About]:
    tests = [picture for picture in pictures if picture.objects]
    left = counted(len(pictures) - len(tests), "image")
    notes = [f"left out of the test: {left} without annotation."]
    return tests, _About([Check("test images", len(tests), VAL2017_ANNOTATED)], notes)


def _read_lines(path: str | Path) -> list[str]:
    file = need_file(path, "test images of M-OWODB", "the OWOD repository (all_task_test.txt)")
    lines = read_text(file, repr(str(path))).splitlines()
    stems = []
    for i, line in enumerate(lines, 1):
        stem = line.strip()
        if stem and not any(re.fullmatch(kind, stem) for kind in _KINDS.values()):
            raise ValueError(
                f"{str(path)!r}, line {i}: {shown(stem)} names no image; expected six digits (VOC "
                "2007) or twelve (COCO)."
            )
        stems += [stem] * bool(stem)
    if not stems:
        raise ValueError(f"{str(path)!r} is empty; get it again.")
    return stems


def _listed(
    stems: Sequence[str], coco: Sequence[_Picture], root: Path, where: tuple[str, str]
) -> tuple[list[_Picture], _About]:
    """The images of the list, each once; names are compared as texts, never as numbers."""
    repeats = Counter(stems)
    by_stem = {picture.record["id"]: picture for picture in coco}
    of_coco = [stem for stem in repeats if re.fullmatch(_KINDS["COCO"], stem)]
    lost = [stem for stem in of_coco if stem not in by_stem]
    if lost:
        raise ValueError(
            f"{where[1]!r}: {len(lost)} of {len(of_coco)} COCO images are not in {where[0]!r}, the "
            f"first is {lost[0]}; give the list's own annotations."
        )
    voc = _voc_pictures(root, [stem for stem in repeats if stem not in by_stem])
    by_stem |= {picture.record["id"]: picture for picture in voc}
    often = Counter(count for count in repeats.values() if count > 1)
    times = ", ".join(f"{count} {n} times" for n, count in sorted(often.items()))
    again = len(stems) - len(repeats)
    notes = [f"{again} lines name an image again ({times}); each is kept once."] if again else []
    coco_lines = sum(repeats[stem] for stem in of_coco)
    checks = [
        Check("lines of the list", len(stems), M_LINES),
        Check("test images", len(repeats), M_IMAGES),
        Check("lines of COCO", coco_lines, M_COCO_LINES),
        Check("images of COCO", len(of_coco), M_COCO_IMAGES),
    ]
    notes.append("Unknown objects are annotated on the images of COCO alone, not on those of VOC.")
    return [by_stem[stem] for stem in repeats], _About(checks, notes, repeats if again else None)


def _ceiling(
    pictures: Sequence[_Picture], repeats: Counter, unknown: Sequence[str], task: int
) -> str:
    """What counting a repeated image's objects again, but finding them once, does to recall."""
    once = _count(pictures, unknown)
    lines = sum(_count([p], unknown) * repeats[p.record["id"]] for p in pictures)
    share = 100 * once / lines if lines else 100
    return (
        "Published evaluators that read the list as it is (ORE, OW-DETR, PROB, OW-OVD) count the "
        "objects of a repeated image again and find them once: their U-Recall cannot exceed "
        f"{share:.1f}% at task {task} and does not compare with numbers on this file."
    )


def _count(pictures: Iterable[_Picture], names: Sequence[str]) -> int:
    wanted = set(names)
    return sum(thing["name"] in wanted for picture in pictures for thing in picture.objects)


def _voc_trainval(root: Path) -> list[_Picture]:
    parts = [read_list(root, year, "trainval") for year in ("2007", "2012")]
    return _voc_pictures(root, [stem for _, stems in parts for stem in stems])


def _voc_pictures(root: Path, stems: Sequence[str]) -> list[_Picture]:
    pictures = []
    for stem in stems:
        year = "2012" if re.fullmatch(_KINDS["VOC2012"], stem) else "2007"
        source = SOURCES[year, "test" if year == "2007" else "trainval"]
        path = root / f"VOC{year}" / "Annotations" / f"{stem}.xml"
        record, objects = read_record(need_file(path, f"VOC {year} annotation", source), stem)
        record |= dict(file_name=f"VOC/JPEGImages/{stem}.jpg")
        things = []
        for thing in objects:
            row = make_annotation(0, stem, 0, thing["box"], difficult=thing["difficult"])
            kept = ("bbox", "area", "iscrowd", "difficult")
            things.append(dict(name=thing["category"]) | {key: row[key] for key in kept})
        pictures.append(_Picture(record, things))
    return pictures
