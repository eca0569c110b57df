"""Options of an image-level OOD run: from a preset, overridden by the command line."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from negas.files import check_folder, check_name, check_names, read_json
from negas.image_level import View
from negas.options import Options, option, refuse_unknown
from negas.shipped import find, point_at_shipped
from negas.text import shown

if TYPE_CHECKING:
    from typing import Self

    from negas.image_level.method import Method, MethodOptions

Group = Literal["near", "far"]
GROUPS = get_args(Group)
# Names of other columns and rows of the results
_TAKEN = {"id", "train", "mean", *(f"{group} mean" for group in GROUPS)}


@dataclass(frozen=True)
class SetSpec(Options):
    """Where a set of images comes from: a folder, a list or a COCO json."""

    name: str = option(help="in tables")
    group: Group | None = option(None, help="groups get means of their own")
    folder: str | None = option(None, help="of images")
    list: str | None = option(None, help="text file with 'path label' per line")
    root: str | None = option(None, help="folder that the paths of the list start from")
    ann_file: str | None = option(None, help="COCO json")
    img_dir: str | None = option(None, help="folder of its images")
    detections: str | None = option(
        None, help="boxes for detected_crops: records (npz) or COCO results (json)"
    )
    names: str | None = option(
        None, help="file with the class names of an OOD set; a COCO json needs none"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.name, "the set")
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

    @classmethod
    def from_dict(cls, name: str, given: Any) -> SetSpec:
        """A set of a preset; unknown keys are refused."""
        where = f"the set {name!r}"
        if not isinstance(given, Mapping):
            raise ValueError(
                f"{where} must be an object with folder, list or ann_file, got {shown(given)}."
            )
        refuse_unknown(given, [each.name for each in fields(cls) if each.name != "name"], where)
        return cls.from_settings({"name": name, **given}, where)

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
            if sep:  # a path before the sign may be meant as a name
                check_name(head, "the set")
            raise ValueError(f"the set {shown(text)} has no name; write NAME={text}.")
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


_ASKING = {"model", "temperature", "top_p", "prompt", "max_side", "seed"}
_CAPTIONER = {
    "names": {"words", "sentence", "template"},
    "server": _ASKING
    | {"base_url", "api_key_file", "timeout", "max_retries", "requests_per_minute"},
    "local": _ASKING | {"max_new_tokens", "dtype"},
}


@dataclass(frozen=True)
class Captioner(Options):
    """Who describes images and names look-alikes of classes, for methods with captions.

    What is ``None`` has the default of the part that takes it.
    """

    type: Literal["names", "server", "local"] = option(
        help="who describes images", flag="--captioner", group="captions"
    )
    model: str | None = option(
        None, help="server: its name there; local: directory or hub name",
        flag="--captioner-model", group="captions",
    )  # fmt: skip
    base_url: str | None = option(
        None, help="http(s)://host/v1 (or environment OPENAI_BASE_URL)", group="captions"
    )
    api_key_file: str | None = option(
        None,
        help="file with the key (or the key in environment OPENAI_API_KEY)",
        secret=True,
        group="captions",
    )
    requests_per_minute: float | None = option(
        None, help="at most so many requests start in a minute", gt=0, group="captions"
    )
    prompt: str | None = option(
        None, help="the question about each image", flag="--caption-prompt", group="captions"
    )
    words: str | None = option(
        None, help="names: file of words, one per line or json", group="captions"
    )
    sentence: str | None = option(None, help="names: of a caption, with {}", cli=False)
    template: str | None = option(None, help="names: around the words", cli=False)
    temperature: float | None = option(None, help="of the sampling", ge=0, cli=False)
    top_p: float | None = option(None, help="of the sampling", gt=0, le=1, cli=False)
    timeout: float | None = option(
        None, help="server: seconds for an answer", gt=0, le=86_400, cli=False
    )
    max_retries: int | None = option(None, help="server: of a request that fails", ge=0, cli=False)
    max_new_tokens: int | None = option(None, help="local: of an answer", ge=1, cli=False)
    dtype: str | None = option(None, help="local: of the weights", cli=False)
    max_side: int | None = option(
        None, help="longer side of what it sees, in pixels", ge=1, cli=False
    )
    seed: int | None = option(None, help="of the sampling", ge=0, cli=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = _CAPTIONER[self.type]
        strange = next((key for key in self.given() if key not in known), None)
        if strange is not None:
            raise ValueError(
                f"the captioner of type {self.type!r} has no option {strange!r}; it has "
                f"{', '.join(sorted(known))}."
            )
        if self.type == "names" and self.words is None:
            raise ValueError("the captioner of type 'names' needs a list of words; give --words.")
        if self.type == "local" and self.model is None:
            raise ValueError("the captioner of type 'local' needs a model; give --captioner-model.")
        if self.prompt is not None and not self.prompt.strip():
            raise ValueError("the captioner's prompt is empty; give a question or leave it out.")

    def given(self) -> dict[str, Any]:
        """What is set, without the type."""
        return {k: v for k, v in vars(self).items() if k != "type" and v is not None}

    def asking(self) -> dict[str, Any]:
        """What is set of how a model is asked about an image."""
        return {k: v for k, v in self.given().items() if k in ("prompt", "max_side", "seed")}

    def chat(self) -> dict[str, Any]:
        """What is set of the model itself."""
        return {k: v for k, v in self.given().items() if k not in self.asking()}


@dataclass(frozen=True)
class ImageOodOptions(Options):
    """All that a run depends on; fields are keys of presets, too."""

    encoder: str = option(help="CLIP-style model: directory or hub name", group="encoder")
    bank: str = option(help="label bank (json)", group="data")
    id: SetSpec = option(help="the ID test set", cli=False)
    ood: tuple[SetSpec, ...] = option(help="the OOD sets", cli=False)
    train: SetSpec | None = option(None, help="ID training images of known class", cli=False)
    classes: str | tuple[str, ...] | None = option(
        None,
        help="file of class names in the order of a list's labels (default: bank's)",
        group="data",
    )
    view: View = option("images", help="whole images, or crops (COCO sets only)", cli=False)
    min_score: float | None = option(
        None,
        help="least confidence of detected boxes (default: run's cut)",
        ge=0,
        le=1,
        group="data",
    )
    min_size: float = option(16, help="least side of a crop in pixels", ge=1, group="data")
    methods: tuple[str, ...] = option(
        ("mcm", "energy", "neglabel", "eoe", "adaneg"),
        help="names, also of scores of negas.scores; or all",
        group="methods",
    )
    method_options: dict[str, Any] = option(
        help="method -> its options, also scale and template", factory=dict, cli=False
    )
    template: str | None = option(
        None, help="one for all methods: a name, or a sentence with {}", group="methods"
    )
    scale: str | float | None = option(
        None,
        help="multiple of the cosine: a number, or encoder for its own (default: 100)",
        gt=0,
        group="methods",
    )
    batch_size: int = option(256, help="images per step of online methods", ge=1, group="methods")
    seeds: tuple[int, ...] = option(
        (0,), help="of the order online methods see, and of what they draw", ge=0, group="methods"
    )
    rotations: int = option(
        5, help="draws of the rotated-bank control, 0: none", ge=0, group="methods"
    )
    images_per_class: int = option(
        16, help="training images per class, for proxies", ge=1, group="methods"
    )
    device: str = option("cpu", help="cpu, cuda, ...", group="encoder")
    dtype: Literal["float32", "float16", "bfloat16"] | None = option(
        None, help="of the encoder only", group="encoder"
    )
    encoder_batch: int = option(64, help="images per forward pass", ge=1, group="encoder")
    workers: int = option(4, help="threads that read images", ge=0, group="encoder")
    cache: str = option(
        "work_dirs/image_features",
        help="folder of features and captions",
        group="encoder",
        output=True,
    )
    captioner: Captioner | None = option(None, help="for methods with captions", cli=False)
    out: str = option(
        "work_dirs/image_ood",
        help="folder of the results (default: work_dirs/image_ood/<preset>_<view>)",
        output=True,
    )
    plots: bool = option(True, help="draw histograms")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ood:
            raise ValueError("there is no OOD set; give at least one with --ood, --near or --far.")
        check_names((one.name for one in self.ood), "the OOD set", _TAKEN)
        if self.view != "images":
            plain = next((s.name for s in (self.id, *self.ood) if not s.ann_file), None)
            if plain is not None:
                raise ValueError(
                    f"the view {self.view!r} needs boxes, and the set {plain!r} is no COCO json; "
                    f"use --view images."
                )
        if self.scale not in (None, "encoder") and not _positive(self.scale):
            raise ValueError(f"scale must be a positive number or 'encoder', got {self.scale!r}.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be distinct and at least one, got {list(self.seeds)}.")
        if not self.methods:
            raise ValueError("there is no method; give at least one with --methods.")
        lost = sorted(set(self.method_options) - set(self.methods))
        if lost:
            raise ValueError(f"there are options for {lost[0]!r}, which is not among the methods.")
        for method, given in self.method_options.items():
            if not isinstance(given, Mapping):
                raise ValueError(f"the options of {method!r} must be an object, got {given!r}.")

    def settled(self, method: Method, logit_scale: float = 100.0, seed: int = 0) -> MethodOptions:
        """The options of a method in this run (see ``Method.settle``)."""
        given = self.method_options.get(method.name, {})
        return method.settle(given, self.template, self.scale, logit_scale, seed)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], where: str = "the preset") -> Self:
        """Options from a preset's content, sets as objects by name.

        Raises:
            ValueError: an unknown key, one that is missing, or a value out of range.
        """
        given = {key: value for key, value in settings.items() if key != "about"}
        refuse_unknown(given, [each.name for each in fields(cls)], where)
        wanted = {"encoder": "--encoder", "bank": "--bank", "id": "--id", "ood": "--ood"}
        for key, flag in wanted.items():
            if not given.get(key):
                raise ValueError(f"there is no {key}; give {flag} or a preset that names it.")
        for key in ("id", "train"):
            if not isinstance(given.get(key), SetSpec | None):
                given[key] = SetSpec.from_dict(key, given[key])
        if isinstance(given["ood"], Mapping):
            given["ood"] = [SetSpec.from_dict(name, one) for name, one in given["ood"].items()]
        elif not all(isinstance(one, SetSpec) for one in given["ood"]):
            raise ValueError(f"ood must be an object of sets by name, got {shown(given['ood'])}.")
        captioner = given.get("captioner") or None
        if captioner is not None:
            captioner = Captioner.from_settings(captioner, "the captioner")
        return cls(**given | {"captioner": captioner})


def _positive(value: object) -> bool:
    try:
        return 0 < float(value) < float("inf")
    except (TypeError, ValueError):
        return False


@dataclass(frozen=True)
class Command(Options):
    """What the command line writes otherwise than a preset."""

    preset: str | None = option(None, help="json with the settings; see configs/image_level/")
    dry_run: bool = option(False, help="check and count, and do nothing")
    id: str | None = option(None, help="the ID test set", metavar="SET", group="data")
    train: str | None = option(
        None, help="ID training images of known class, for proxies", metavar="SET", group="data"
    )
    ood: tuple[str, ...] = option((), help="OOD sets", metavar="NAME=SET", group="data")
    near: tuple[str, ...] = option(
        (), help="OOD sets of the near group", metavar="NAME=SET", group="data"
    )
    far: tuple[str, ...] = option(
        (), help="OOD sets of the far group", metavar="NAME=SET", group="data"
    )
    view: tuple[str, ...] = option(
        (), help="of COCO sets; several give one table (default: images)", group="data",
        choices=get_args(View),
    )  # fmt: skip
    method_options: tuple[str, ...] = option(
        (), help="such as neglabel.groups=100", metavar="M.O=V", group="methods"
    )


def add_options(parser: ArgumentParser) -> None:
    """The whole command line; what the user does not write stays out of the namespace."""
    for part in (Command, ImageOodOptions, Captioner):
        part.add_to(parser, only_given=True)


def options_from(args: Namespace) -> tuple[Command, list[ImageOodOptions]]:
    """Options of a run per view; what stands on the command line wins over the preset.

    Raises:
        FileNotFoundError: the preset does not exist.
        ValueError: an option that is unknown, missing or out of range.
        OSError: the folder of the results cannot be written.
    """
    from negas.image_level.registry import METHODS  # torch: not for --help

    given = vars(args)
    command = Command.from_args(args)
    settings: dict[str, Any] = read_preset(command.preset) if command.preset else {}
    keys = {each.name for each in fields(ImageOodOptions) if each.metadata["cli"]}
    settings |= {key: value for key, value in given.items() if key in keys}
    for key in ("id", "train"):
        if text := getattr(command, key):
            # whatever it is called there: results and messages know these two by their part
            settings[key] = replace(SetSpec.from_text(text, name=key), name=key)
    sets = [
        SetSpec.from_text(text, group=group)
        for group, texts in ((None, command.ood), ("near", command.near), ("far", command.far))
        for text in texts
    ]
    if sets:
        settings["ood"] = sets
    if "methods" in given:
        methods = [m for name in given["methods"] for m in (METHODS if name == "all" else [name])]
        settings["methods"] = list(dict.fromkeys(methods))
        stored = settings.get("method_options", {})
        settings["method_options"] = {m: o for m, o in stored.items() if m in methods}
    stored = dict(settings.get("method_options", {}))
    for method, options in parse_method_options(command.method_options).items():
        stored[method] = {**stored.get(method, {}), **options}
    settings["method_options"] = stored
    flags = {each.name for each in fields(Captioner) if each.metadata["cli"]}
    captioner = {key: value for key, value in given.items() if key in flags}
    if captioner:
        before = settings.get("captioner", {})
        same = captioner.get("type") in (None, before.get("type"))
        settings["captioner"] = (before if same else {}) | captioner
    views = command.view or (settings.get("view", "images"),)
    if command.preset and "out" not in settings:
        name = "_".join([Path(command.preset).stem, *views])
        settings["out"] = f"work_dirs/image_ood/{name}"
    runs = [ImageOodOptions.from_settings(settings | {"view": view}) for view in views]
    if not command.dry_run:
        for key in ("out", "cache"):
            check_folder(getattr(runs[0], key), f"--{key}")
    for one in runs:
        one.check_outputs()
    if len(runs) > 1:
        runs = [replace(one, out=str(Path(one.out) / one.view)) for one in runs]
    return command, runs


def read_preset(path: str) -> dict[str, Any]:
    """The content of a preset file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON object.
    """
    data = read_json(find(path), "see configs/image_level/", f"the preset {path!r}")
    if not isinstance(data, dict):
        raise ValueError(f"the preset {path!r} must be a JSON object.")
    for key in ("method_options", "captioner"):
        if not isinstance(data.get(key, {}), dict):
            raise ValueError(f"the preset {path!r}: {key} must be an object, got {data[key]!r}.")
    point_at_shipped(data)
    return data


def parse_method_options(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
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
