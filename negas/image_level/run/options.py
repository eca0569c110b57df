"""Options of an image-level OOD run: from a preset, overridden by the command line.

Kinds of values in a preset, which people write by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from negas.image_level.image_sets import View

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


_WORDS |= {dict: "an object", tuple: "a list", type(None): "null"}


def require_kinds(given: Any, kinds: Mapping[str, tuple[type, ...]]) -> None:
    """Refuse attributes of the wrong kind; ``true`` and ``false`` are no numbers.

    Args:
        given: an object.
        kinds: attribute -> classes it may be of; of a list each entry must be of one of those
            behind ``tuple``.

    Raises:
        ValueError: the first attribute that is not.
    """
    for name, (first, *others) in kinds.items():
        value, listed = getattr(given, name), first is tuple
        allowed = others if listed else (first, *others)
        if listed:
            holds = isinstance(value, tuple) and all(_is_of(one, allowed) for one in value)
        else:
            holds = _is_of(value, allowed)
        if not holds:
            what = " or ".join(_WORDS.get(kind, "an object or a set") for kind in allowed)
            what = f"a list, each entry {what}" if listed else what
            value = list(value) if isinstance(value, tuple) else value
            raise ValueError(f"{name} must be {what}, got {value!r}.")


def _is_of(value: Any, kinds: Any) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, tuple(kinds))


GROUPS = ("near", "far")
CAPTIONERS = ("names", "server", "local")
# Names of other columns and rows of the results
_TAKEN = {"id", "train", "mean", *(f"{group} mean" for group in GROUPS)}
_SET_KEYS = ("folder", "list", "root", "ann_file", "img_dir", "detections", "names", "group")


@dataclass(frozen=True)
class SetSpec:
    """Where a set of images comes from: a folder, a list or a COCO json.

    Attributes:
        name: in tables.
        group: ``near``, ``far`` or ``None``; groups get means of their own.
        folder: of images.
        list: text file with ``path label`` per line.
        root: folder that the paths of the list start from.
        ann_file: COCO json.
        img_dir: folder of its images.
        detections: boxes for the view ``detected_crops``: records (npz) or COCO results (json).
        names: file with the class names of an OOD set, to count the negatives that name one; a COCO
            json needs none.
    """

    name: str
    group: str | None = None
    folder: str | None = None
    list: str | None = None
    root: str | None = None
    ann_file: str | None = None
    img_dir: str | None = None
    detections: str | None = None
    names: str | None = None

    def __post_init__(self) -> None:
        require_kinds(self, {"name": (str,)} | dict.fromkeys(_SET_KEYS, (str, type(None))))
        if not self.name.strip() or set(self.name) & set("/\\\0"):
            raise ValueError(
                f"the name {self.name!r} of a set cannot be used; it names files, so give one "
                f"without slashes."
            )
        given = [key for key in ("folder", "list", "ann_file") if getattr(self, key)]
        if len(given) != 1:
            raise ValueError(
                f"the set {self.name!r} needs exactly one of folder, list and ann_file, got "
                f"{', '.join(given) or 'none'}."
            )
        if self.ann_file and not self.img_dir:
            raise ValueError(
                f"the set {self.name!r} has annotations without images; give img_dir (on the "
                f"command line: {self.ann_file}@FOLDER)."
            )
        if self.group not in (None, *GROUPS):
            raise ValueError(
                f"the group of the set {self.name!r} must be near or far, got {self.group!r}."
            )

    @classmethod
    def from_dict(cls, name: str, given: Any) -> SetSpec:
        """A set of a preset; unknown keys are refused."""
        if not isinstance(given, Mapping):
            raise ValueError(f"the set {name!r} must be an object with folder, list or ann_file.")
        strange = sorted(set(given) - set(_SET_KEYS))
        if strange:
            raise ValueError(
                f"the set {name!r} has the unknown key {strange[0]!r}; known: "
                f"{', '.join(_SET_KEYS)}."
            )
        return cls(name=name, **given)

    @classmethod
    def from_text(cls, text: str, name: str | None = None, group: str | None = None) -> SetSpec:
        """A set of the command line.

        Args:
            text: ``[NAME=]FOLDER``, ``LIST.txt[@ROOT]`` or ``JSON@IMAGES[@DETECTIONS]``.
            name: of the set, where the text has none.
            group: of an OOD set.
        """
        head, sep, rest = text.partition("=")
        if sep and "/" not in head and "@" not in head:
            name, text = head, rest
        if not name:
            raise ValueError(f"the set {text!r} has no name; write NAME={text}.")
        parts = text.split("@")
        kind = Path(parts[0]).suffix.lower()
        keys = {
            ".json": ("ann_file", "img_dir", "detections"),
            ".txt": ("list", "root"),
        }.get(kind, ("folder",))
        if len(parts) > len(keys) or not all(parts):
            raise ValueError(
                f"the set {text!r} cannot be read; write FOLDER, LIST.txt[@ROOT] or "
                f"ANNOTATIONS.json@IMAGES[@DETECTIONS]."
            )
        return cls(name=name, group=group, **dict(zip(keys, parts, strict=False)))


@dataclass(frozen=True)
class ImageOodOptions:
    """All that a run depends on.

    Attributes:
        encoder: CLIP-style model, hub name or directory.
        bank: label bank (json).
        id: the ID test set.
        ood: the OOD sets.
        train: ID training images, for methods with image proxies.
        classes: names, or a file of names, in the order of the labels of lists; default: those of
            the bank.
        methods: names; see :mod:`negas.image_level.run.methods`.
        method_options: method -> options of its constructor, also ``scale`` and ``template``.
        template: one for all methods, in place of each one's own.
        scale: multiple of the cosine for methods on CLIP's logits: a number, ``encoder`` for what
            the encoder was trained with, or ``None`` for the methods' own 100.
        view: whole images, or crops of annotated or detected boxes (COCO sets only).
        min_score: least confidence of detected boxes.
        min_size: least length in pixels of a crop's shorter side.
        batch_size: images per step of online methods.
        seeds: of the order in which online methods see the images, and of what they draw.
        rotations: draws of the rotated-bank control; 0 leaves it out.
        images_per_class: training images per class, for proxies.
        captioner: ``type`` (names, server or local) and its options, for ANTS.
        device: for encoder and local captioner.
        dtype: of the encoder.
        encoder_batch: images per forward pass.
        workers: threads that read images.
        cache: folder of features and captions.
        out: folder of the results.
        plots: draw histograms.
    """

    encoder: str
    bank: str
    id: SetSpec
    ood: tuple[SetSpec, ...]
    train: SetSpec | None = None
    classes: str | tuple[str, ...] | None = None
    methods: tuple[str, ...] = ("mcm", "energy", "neglabel", "eoe", "adaneg")
    method_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    template: str | None = None
    scale: str | float | None = None
    view: str = "images"
    min_score: float | None = None
    min_size: float = 16
    batch_size: int = 256
    seeds: tuple[int, ...] = (0,)
    rotations: int = 5
    images_per_class: int = 16
    captioner: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str | None = None
    encoder_batch: int = 64
    workers: int = 4
    cache: str = "work_dirs/image_features"
    out: str = "work_dirs/image_ood"
    plots: bool = True

    def __post_init__(self) -> None:
        require_kinds(self, _KINDS)
        if not self.ood:
            raise ValueError("there is no OOD set; give at least one with --ood, --near or --far.")
        names = [one.name for one in self.ood]
        double = next((n for n in names if names.count(n) > 1 or n in _TAKEN), None)
        if double is not None:
            raise ValueError(f"the name {double!r} of an OOD set is taken; give another one.")
        if self.view not in get_args(View):
            raise ValueError(f"view must be one of {', '.join(get_args(View))}, got {self.view!r}.")
        if self.view != "images":
            plain = next((s.name for s in (self.id, *self.ood) if not s.ann_file), None)
            if plain is not None:
                raise ValueError(
                    f"the view {self.view!r} needs boxes, and the set {plain!r} is no COCO json; "
                    f"use --view images."
                )
        if self.scale not in (None, "encoder") and not _positive(self.scale):
            raise ValueError(f"scale must be a positive number or 'encoder', got {self.scale!r}.")
        least = {"batch_size": 1, "rotations": 0, "images_per_class": 1, "min_size": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name} must be at least {value}, got {getattr(self, name)}.")
        for method, given in self.method_options.items():
            if not isinstance(given, Mapping):
                raise ValueError(f"the options of {method!r} must be an object, got {given!r}.")
        if not all(0 <= seed < 2**63 for seed in self.seeds):
            raise ValueError(f"seeds must be at least 0, got {list(self.seeds)}.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be distinct and at least one, got {list(self.seeds)}.")
        kind = self.captioner.get("type")
        if self.captioner and kind not in CAPTIONERS:
            raise ValueError(
                f"the captioner's type must be one of {', '.join(CAPTIONERS)}, got {kind!r}."
            )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> ImageOodOptions:
        """Options from a preset's content, sets as objects by name.

        Raises:
            ValueError: an unknown key, one that is missing, or a value out of range.
        """
        given = {key: value for key, value in settings.items() if key != "about"}
        known = {one.name for one in fields(cls)}
        strange = sorted(set(given) - known)
        if strange:
            raise ValueError(
                f"the preset has the unknown key {strange[0]!r}; known: {', '.join(sorted(known))}."
            )
        wanted = {"encoder": "--encoder", "bank": "--bank", "id": "--id", "ood": "--ood"}
        for key, option in wanted.items():
            if not given.get(key):
                raise ValueError(f"there is no {key}; give {option} or a preset that names it.")
        for key in ("id", "train"):
            if isinstance(given.get(key), Mapping):
                given[key] = SetSpec.from_dict(key, given[key])
        if isinstance(given["ood"], Mapping):
            given["ood"] = [SetSpec.from_dict(name, one) for name, one in given["ood"].items()]
        for key in ("ood", "methods", "seeds", "classes"):
            if isinstance(given.get(key), list):
                given[key] = tuple(given[key])
        return cls(**given)


_OPTIONAL = type(None)
_KINDS = dict.fromkeys(("encoder", "bank", "view", "device", "cache", "out"), (str,))


_KINDS |= dict.fromkeys(("template", "dtype"), (str, _OPTIONAL))


_KINDS |= dict.fromkeys(("batch_size", "rotations", "images_per_class"), (int,))


_KINDS |= dict.fromkeys(("encoder_batch", "workers"), (int,))


_KINDS |= {"id": (SetSpec,), "train": (SetSpec, _OPTIONAL), "ood": (tuple, SetSpec)}


_KINDS |= {"methods": (tuple, str), "seeds": (tuple, int), "plots": (bool,)}


_KINDS |= {"min_size": (float, int), "min_score": (float, int, _OPTIONAL)}


_KINDS |= {"method_options": (dict,), "captioner": (dict,)}


def _positive(value: object) -> bool:
    try:
        return 0 < float(value) < float("inf")
    except (TypeError, ValueError):
        return False


def read_preset(path: str) -> dict[str, Any]:
    """The content of a preset file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON object.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"the preset {path!r} does not exist; see configs/image_level/.")
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"the preset {path!r} is not valid JSON ({error}).") from error
    if not isinstance(data, dict):
        raise ValueError(f"the preset {path!r} must be a JSON object.")
    for key in ("method_options", "captioner"):
        if not isinstance(data.get(key, {}), dict):
            raise ValueError(f"the preset {path!r}: {key} must be an object, got {data[key]!r}.")
    return data


def parse_method_options(texts: list[str]) -> dict[str, dict[str, Any]]:
    """``METHOD.OPTION=VALUE`` texts; values are JSON, or texts where that fails.

    Raises:
        ValueError: a text of another form.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, sep, value = text.partition("=")
        method, dot, option = place.partition(".")
        if not (sep and dot and method and option):
            raise ValueError(
                f"the method option {text!r} cannot be read; write METHOD.OPTION=VALUE, such as "
                f"neglabel.groups=100."
            )
        try:
            found.setdefault(method, {})[option] = json.loads(value)
        except ValueError:
            found.setdefault(method, {})[option] = value
    return found
