"""ID class lists of the protocol, and what their classes are called elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from negas.labels.names import given_names, name_forms, name_key, read_names, refuse_repeated

# In the order of VOS, whose json files number them 1..20.
VOC = (
    *("person", "bird", "cat", "cow", "dog", "horse", "sheep", "airplane", "bicycle", "boat"),
    *("bus", "car", "motorcycle", "train", "bottle", "chair", "dining table", "potted plant"),
    *("couch", "tv"),
)
BDD100K = (
    *("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
    *("traffic light", "traffic sign"),
)
PRESETS = {"voc": VOC, "bdd100k": BDD100K}
# VOC's own words for the COCO-style ones above.
VOC_WORDS = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
# BDD100K's words of 2018 for those of 2020.
BDD100K_WORDS = {"person": "pedestrian", "bike": "bicycle", "motor": "motorcycle"}
# COCO categories that show an ID class under another name.
IN_COCO = {"pedestrian": ("person",), "rider": ("person",), "traffic sign": ("stop sign",)}
IN_COCO |= {voc: (coco,) for voc, coco in VOC_WORDS.items()}
# The same for Open Images; kinds and parts of a class come with the hierarchy.
IN_OPENIMAGES = {
    "pedestrian": ("Person",),
    "rider": ("Person",),
    "cow": ("Cattle",),
    "dining table": ("Kitchen & dining room table",),
    "potted plant": ("Houseplant", "Flowerpot"),
    "tv": ("Television",),
    "aeroplane": ("Airplane",),
    "motorbike": ("Motorcycle",),
    "diningtable": ("Kitchen & dining room table",),
    "pottedplant": ("Houseplant", "Flowerpot"),
    "sofa": ("Couch",),
    "tvmonitor": ("Television",),
}


def read_id_names(source: Sequence[str]) -> tuple[str, ...]:
    """ID classes from ``voc``, ``bdd100k``, a file of names, or the names themselves.

    Names may also have commas between them, as in the other commands; a name that holds a comma
    must come from a file.

    Raises:
        FileNotFoundError: one entry that looks like a file, and there is none.
        ValueError: no names, a name twice, or a file that cannot be read.
    """
    if len(source) == 1 and source[0] in PRESETS:
        return PRESETS[source[0]]
    names = read_names(given_names(source), "ID classes")
    if not names:
        raise ValueError("ID classes: no names; give voc, bdd100k, a file or names.")
    refuse_repeated(names, "ID classes")
    return names


def label_of(source: Sequence[str]) -> str:
    """A word for file names: the preset, the file's stem, or ``custom``."""
    return Path(source[0]).stem if len(source) == 1 and "," not in source[0] else "custom"


def same_words(name: str, others: Iterable[str]) -> list[str]:
    """Those of the other names that are the same words: case, plural, spaces do not matter."""
    forms = name_forms(name)
    return [other for other in others if forms & name_forms(other)]


def categories_of(
    id_names: Sequence[str], categories: Sequence[str], elsewhere: dict[str, tuple[str, ...]]
) -> dict[str, list[str]]:
    """Categories of another data set that stand for each ID class.

    Args:
        id_names: the ID classes.
        categories: the other set's names.
        elsewhere: what ID classes are called there, where the words differ.

    Returns:
        For each ID class its categories; an empty list if the set has none of that name.
    """
    found = {}
    for name in id_names:
        wanted = [name, *elsewhere.get(name_key(name), ())]
        matches = [match for word in wanted for match in same_words(word, categories)]
        found[name] = list(dict.fromkeys(matches))
    return found
