"""Values of a config, looked at before anything is built from it.

What the parts of negas take follows from their constructors: names and types from the signature,
ranges from :data:`RANGES`. Of MMEngine's and MMDetection's sections the keys that results hang on
are declared as :class:`~negas.options.Options`; their other keys are let through.
"""

from __future__ import annotations

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, get_type_hints

from mmengine import registry
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner

from negas.embeddings.prompt import PromptLearner
from negas.evaluation.ood_metric import OODMetric
from negas.models.background import BackgroundMask
from negas.models.base import BaseDetector
from negas.models.nega_noise import StepNoise
from negas.models.postprocess import OODPostProcessor
from negas.options import (
    Options,
    check_number,
    check_value,
    option,
    refuse_misspelt,
    refuse_unknown,
)
from negas.text import shown
from negas.unknown import UnknownOptions

_SEED = dict(ge=0, le=2**32 - 1)  # what numpy takes
_SHARE = dict(ge=0, le=1)
_SHARES = ("cut", "shared_cut", "iou_thr", "focal_alpha", "prefix_prob", "first_weight")
_SHARES += ("dense_prob",)
_AMOUNTS = ("rotations", "sigma", "alpha", "loss_weight", "gamma")
_COUNTS = ("num_ctx", "epoch_length", "num_texts", "length", "size", "prior_size", "embed_dims")
_COUNTS += ("num_classes", "max_tokens", "num_layers_of_embedded", "num_csp_blocks", "num_heads")
_COUNTS += ("in_channels", "out_channels", "embed_channels", "guide_channels", "legible")
# Range of every number that a constructor of negas takes from a config, by parameter.
RANGES: dict[str, dict[str, float]] = {
    **dict.fromkeys(_SHARES, _SHARE),
    **dict.fromkeys(_AMOUNTS, dict(ge=0)),
    **dict.fromkeys(_COUNTS, dict(ge=1)),
    **dict.fromkeys(("id_oversample", "deepen_factor", "widen_factor"), dict(gt=0)),
    "min_score": dict(ge=0, lt=1),
    "siren_dim": dict(ge=2),
    "seed": _SEED,
    "soft_target_thr": dict(ge=-1, lt=1),
    "tau": {},  # scores of any kind: finite is all that can be asked
}


@dataclass(frozen=True)
class Nms(Options):
    """``nms`` of the post-processing."""

    type: str = option(
        "nms", help="which", choices=("nms", "soft_nms", "nms_match", "nms_rotated", "nms_quadri")
    )
    iou_threshold: float | None = option(None, help="overlap of what is suppressed", **_SHARE)
    class_agnostic: bool = option(False, help="over all classes together")


@dataclass(frozen=True)
class PostProcessing(Options):
    """``model.test_cfg`` of one-stage detectors and of Grounding DINO."""

    score_thr: float | None = option(None, help="least confidence of a box", ge=0, lt=1)
    max_per_img: int | None = option(None, help="most boxes of an image", ge=1)
    nms_pre: int | None = option(None, help="most boxes before NMS", ge=1)
    min_bbox_size: float | None = option(None, help="in pixels; below 0: off", ge=-1)
    chunked_size: int | None = option(None, help="names of a caption; -1: all", ge=-1)
    multi_label: bool | None = option(None, help="several labels for one box")
    yolox_style: bool | None = option(None, help="keep all boxes over the threshold")
    keep_logits: bool | None = option(None, help="boxes with logits")
    keep_embeddings: bool | None = option(None, help="boxes with embeddings")
    keep_cells: bool | None = option(None, help="cells with embeddings, for unknown objects")
    nms: dict | None = option(None, help="non-maximum suppression")
    unknown: dict | None = option(None, help="unknown objects by a vocabulary")


@dataclass(frozen=True)
class TrainLoop(Options):
    """``train_cfg``."""

    max_epochs: int | None = option(None, help="epochs", ge=1)
    max_iters: int | None = option(None, help="steps", ge=1)
    val_begin: int | None = option(None, help="first epoch with a validation", ge=0)
    # MMDetection has configs with whole numbers that are floats.
    val_interval: float | None = option(None, help="epochs from validation to validation", ge=1)


@dataclass(frozen=True)
class EvalLoop(Options):
    """``val_cfg`` and ``test_cfg``."""

    fp16: bool = option(False, help="mixed precision")
    ood_dataloaders: dict[str, dict] | None = option(None, help="by set")
    id_val_dataloader: dict | None = option(None, help="of the cut")
    id_val_clean_dataloader: dict | None = option(None, help="of the unknown objects' threshold")
    id_train_dataloader: dict | None = option(None, help="that scores may be fitted on")


@dataclass(frozen=True)
class Loader(Options):
    """A dataloader."""

    dataset: dict = option(help="what is read")
    batch_size: int | None = option(None, help="images of a step", ge=1)
    num_workers: int = option(0, help="processes", ge=0)
    prefetch_factor: int | None = option(None, help="batches ahead", ge=1)
    timeout: float = option(0, help="seconds", ge=0)
    persistent_workers: bool = option(False, help="keep processes between epochs")
    drop_last: bool = option(False, help="leave the last, smaller batch out")
    pin_memory: bool = option(False, help="for copies to a GPU")


@dataclass(frozen=True)
class DataSet(Options):
    """``dataset`` of a dataloader, or of a data set around it."""

    type: str | type = option(help="which")
    data_root: str | None = option(None, help="folder that the paths are relative to")
    ann_file: str | list | tuple | None = option(None, help="annotations")
    data_prefix: dict[str, str | None] | None = option(None, help="folders of images")
    metainfo: dict | None = option(None, help="classes")
    filter_cfg: dict | None = option(None, help="images that are left out")
    indices: Any = option(None, help="images that are read")
    pipeline: list | tuple | None = option(None, help="steps from a file to an input")
    test_mode: bool = option(False, help="no image is left out")
    dataset: dict | None = option(None, help="that is wrapped")
    datasets: list | tuple | None = option(None, help="that are joined")
    times: int | None = option(None, help="that the images are repeated", ge=1)
    oversample_thr: float | None = option(None, help="frequency of rare classes", ge=0, le=1)


@dataclass(frozen=True)
class Preprocessor(Options):
    """``model.data_preprocessor``."""

    mean: list[float] | tuple[float, ...] | None = option(None, help="of pixels")
    std: list[float] | tuple[float, ...] | None = option(None, help="of pixels", gt=0)
    bgr_to_rgb: bool = option(False, help="turn the channels")
    rgb_to_bgr: bool = option(False, help="turn the channels")
    pad_size_divisor: int = option(1, help="pixels that sizes are multiples of", ge=1)


@dataclass(frozen=True)
class Optimizer(Options):
    """``optim_wrapper.optimizer``."""

    lr: float | None = option(None, help="learning rate", ge=0)
    weight_decay: float | None = option(None, help="of weights", ge=0)
    momentum: float | None = option(None, help="of gradients", ge=0, lt=1)
    betas: tuple[float, ...] | None = option(None, help="of Adam", ge=0, lt=1)
    eps: float | None = option(None, help="of Adam", ge=0)


@dataclass(frozen=True)
class OptimWrapper(Options):
    """``optim_wrapper``."""

    optimizer: dict | None = option(None, help="what moves the weights")
    clip_grad: dict | None = option(None, help="of gradients")
    accumulative_counts: int = option(1, help="batches of a step", ge=1)


@dataclass(frozen=True)
class Schedule(Options):
    """An entry of ``param_scheduler``."""

    type: str | type = option(help="which")
    begin: int = option(0, help="first epoch or step", ge=0)
    end: int | None = option(None, help="the one after the last", ge=1)
    by_epoch: bool = option(True, help="count epochs")
    convert_to_iter_based: bool = option(False, help="move in every step")
    T_max: int | None = option(None, help="half of a cosine's period", ge=1)
    eta_min: float | None = option(None, help="least value", ge=0)
    eta_min_ratio: float | None = option(None, help="least share of the first value", **_SHARE)
    factor: float | None = option(None, help="that the value starts with", **_SHARE)
    start_factor: float | None = option(None, help="that the value starts with", gt=0, le=1)
    end_factor: float | None = option(None, help="that it ends with", **_SHARE)
    gamma: float | None = option(None, help="of a decay", gt=0)
    power: float | None = option(None, help="of a polynomial", gt=0)
    step_size: int | None = option(None, help="epochs between decays", ge=1)
    milestones: tuple[int, ...] | None = option(None, help="epochs of decays", ge=0)


@dataclass(frozen=True)
class Randomness(Options):
    """``randomness``."""

    seed: int | None = option(None, help="of the run", **_SEED)
    deterministic: bool = option(False, help="slow, but repeatable")
    diff_rank_seed: bool = option(False, help="another seed in each process")


@dataclass(frozen=True)
class ScaleLr(Options):
    """``auto_scale_lr``."""

    enable: bool = option(False, help="scale the learning rate")
    base_batch_size: int | None = option(None, help="batch that it was chosen for", ge=1)


@dataclass(frozen=True)
class Interval(Options):
    """Hooks that do something every so often."""

    interval: int = option(1, help="epochs or steps; -1: never", ge=-1)
    max_keep_ckpts: int = option(-1, help="newest checkpoints that are kept; -1: all", ge=-1)


_SECTIONS: dict[str, type[Options]] = {
    "train_cfg": TrainLoop,
    "val_cfg": EvalLoop,
    "test_cfg": EvalLoop,
    "train_dataloader": Loader,
    "val_dataloader": Loader,
    "test_dataloader": Loader,
    "model.data_preprocessor": Preprocessor,
    "optim_wrapper": OptimWrapper,
    "optim_wrapper.optimizer": Optimizer,
    "randomness": Randomness,
    "auto_scale_lr": ScaleLr,
    "default_hooks.checkpoint": Interval,
    "default_hooks.logger": Interval,
}
# Parts whose constructors do nothing but look at what they are given.
_CHECK_THEMSELVES = (OODMetric, OODPostProcessor, BackgroundMask)
_PARTS = {"model.noise": StepNoise, "model.prompt": PromptLearner}  # sections without a type
# Read by whoever builds the part.
_BUILDERS = {"type", "priority", "constructor", "paramwise_cfg", "_scope_", "_delete_"}
# Read by MMEngine, MMDetection and tools beside the runner's arguments.
_TOP = {"runner_type", "auto_scale_lr", "custom_imports", "tta_model", "tta_pipeline"}
_TOP |= {"backend_args", "bank_command", "ood_dataloaders", "class_names", "banks", "vis_backends"}
_TOP |= {"train_pipeline", "val_pipeline", "test_pipeline"}


# Built from their config as it is: a key that their constructor does not take is an error later.
_PLAIN = ("METRICS", "DATASETS", "TRANSFORMS", "HOOKS", "PARAM_SCHEDULERS", "DATA_SAMPLERS")
_LEVELS = ("CRITICAL", "FATAL", "ERROR", "WARNING", "WARN", "INFO", "DEBUG", "NOTSET")


def check_config(cfg: Config) -> None:
    """Refuse a config whose values cannot be, before anything is built from it.

    Raises:
        ValueError: a number is out of range or NaN, a value of another type, or a key is misspelt;
            the key is named in full.
        OSError: a bank of an evaluator cannot be read.
    """
    content = cfg.to_dict()
    where = f"config {cfg.filename!r}: " if cfg.filename else ""
    try:
        _check_top(content)
        _refuse_nan("", content)
        for key, section in _sections(content):
            _check_section(key, section)
        _check_schedules("param_scheduler", content.get("param_scheduler"))
        if content.get("log_level") is not None:
            check_value("log_level", content["log_level"], str, _LEVELS)
        _check_parts("", content)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error
    except OSError as error:
        raise type(error)(f"{where}{error}") from error


def _check_top(content: dict) -> None:
    """Top-level names may be users' own; one that nearly is a known one must serve another key."""
    hints = get_type_hints(Runner.__init__)
    known = _TOP | set(hints)
    for key, value in content.items():
        if key in hints:
            check_value(key, value, hints[key])
        rest = {other: one for other, one in content.items() if other != key}
        serves = isinstance(value, Mapping | list | tuple) and value and _holds(rest, value)
        if key not in known and not serves:
            refuse_misspelt([key], known)


def _holds(tree: Any, value: Any) -> bool:
    if isinstance(tree, Mapping):
        return tree == value or any(_holds(one, value) for one in tree.values())
    inner = tree if isinstance(tree, list | tuple) else ()
    return tree == value or any(_holds(one, value) for one in inner)


def _refuse_nan(key: str, value: Any) -> None:
    if isinstance(value, float) and math.isnan(value):
        check_number(key, value)
    children = value.items() if isinstance(value, Mapping) else ()
    if isinstance(value, list | tuple):
        children = enumerate(value)
    for name, child in children:
        _refuse_nan(f"{key}.{name}" if key else str(name), child)


def _sections(content: dict) -> Iterator[tuple[str, Any]]:
    """Key and content of the sections that are there, outer ones first."""
    for key in _SECTIONS:
        node: Any = content
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        if node is not None:
            yield key, node


def _check_section(key: str, section: Any) -> None:
    found = _SECTIONS[key].from_settings(section, key, None, section=True)
    if isinstance(found, Loader):
        _check_set(f"{key}.dataset", found.dataset)
    elif isinstance(found, EvalLoop):
        single = [name for name in EvalLoop.__dataclass_fields__ if name.startswith("id_")]
        loaders = {name: getattr(found, name) for name in single if getattr(found, name)}
        sets = found.ood_dataloaders or {}
        loaders |= {f"ood_dataloaders.{name}": loader for name, loader in sets.items()}
        for name, loader in loaders.items():
            checked = Loader.from_settings(loader, f"{key}.{name}", None, section=True)
            _check_set(f"{key}.{name}.dataset", checked.dataset)


def _check_schedules(key: str, given: Any) -> None:
    """One schedule, several, or several for each optimiser."""
    if isinstance(given, list | tuple):
        for i, one in enumerate(given):
            _check_schedules(f"{key}.{i}", one)
    elif isinstance(given, Mapping) and "type" not in given:
        for name, one in given.items():
            _check_schedules(f"{key}.{name}", one)
    elif given is not None:
        found = Schedule.from_settings(given, key, None, section=True)
        if found.end is not None and found.end <= found.begin:
            raise ValueError(f"{key}.end={found.end} must be greater than begin={found.begin}")


def _check_set(key: str, settings: Any) -> None:
    found = DataSet.from_settings(settings, key, None, section=True)
    if found.dataset is not None:
        _check_set(f"{key}.dataset", found.dataset)
    wrapped = key.count(".dataset") > 1 or found.dataset is not None or found.datasets is not None
    if found.pipeline is not None and not found.pipeline and not wrapped:
        raise ValueError(f"{key}.pipeline has no steps, so its images cannot be prepared")
    if found.datasets is not None and not found.datasets:
        raise ValueError(f"{key}.datasets is empty; name at least one data set")
    for i, inner in enumerate(found.datasets or ()):
        _check_set(f"{key}.datasets.{i}", inner)


def _check_parts(key: str, value: Any) -> None:
    """Every part of negas in a config, wherever it stands."""
    if isinstance(value, Mapping):
        _check_type(f"{key}.type" if key else "type", value.get("type"))
        part = _PARTS.get(key) or _part(value.get("type"))
        if part is not None:
            _check_part(key, value, part)
        else:
            _check_plain(key, value)
        for name, child in value.items():
            _check_parts(f"{key}.{name}" if key else str(name), child)
    elif isinstance(value, list | tuple):
        for i, child in enumerate(value):
            _check_parts(f"{key}.{i}", child)


def _check_part(key: str, settings: Mapping, part: type) -> None:
    known, is_open = parameters(part)
    if not is_open:
        refuse_unknown(set(settings) - _BUILDERS, list(known), key)
    for name, value in settings.items():
        if name not in _BUILDERS:
            check_value(f"{key}.{name}", value, known.get(name, Any), **RANGES.get(name, {}))
    if issubclass(part, _CHECK_THEMSELVES):
        try:
            part(**{name: value for name, value in settings.items() if name not in _BUILDERS})
        except (ValueError, KeyError) as error:
            raise ValueError(f"{key}: {error.args[0]}") from error
        except OSError as error:
            raise type(error)(f"{key}: {error}") from error
    if issubclass(part, BaseDetector) and settings.get("test_cfg"):
        boxes = PostProcessing.from_settings(
            settings["test_cfg"], f"{key}.test_cfg", None, section=True
        )
        if boxes.nms:
            Nms.from_settings(boxes.nms, f"{key}.test_cfg.nms", None, section=True)
        if boxes.unknown:
            UnknownOptions.from_settings(boxes.unknown, f"{key}.test_cfg.unknown", section=True)


def _check_plain(key: str, settings: Mapping) -> None:
    """Refuse a key that none of the foreign parts of this name takes, such as an inherited one."""
    kind = settings.get("type")
    candidates = _plain_parts().get(_last(kind), [])
    if isinstance(kind, type):
        candidates = [kind] if kind in candidates else []
    signatures = [parameters(part) for part in candidates]
    if not signatures or any(is_open for _, is_open in signatures):
        return
    keys = set(settings) - _BUILDERS - {"convert_to_iter_based"}
    known = max((set(known) for known, _ in signatures), key=lambda one: len(one & keys))
    for name in sorted(keys - known):
        near = get_close_matches(name, sorted(known), 1)
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else "take it out (what is inherited goes with _delete_=True)"
        )
        raise ValueError(f"{key}.{name}: {_last(kind)} takes no such key; {hint}")


def _last(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]


@cache
def _plain_parts() -> dict[str, list[type]]:
    """Classes of :data:`_PLAIN` registries by the last part of their names."""
    _registered()
    found: dict[str, list[type]] = {}
    todo = [getattr(registry, name) for name in _PLAIN]
    while todo:
        one = todo.pop()
        todo += one.children.values()
        for name, part in one.module_dict.items():
            if isinstance(part, type):
                found.setdefault(name, []).append(part)
    return found


def _check_type(key: str, kind: Any) -> None:
    """Refuse nearly the name of a part; what is far from all may serve a user's own code."""
    name = kind.rpartition(".")[2] if isinstance(kind, str) else ""
    if not name or name in _registered():
        return
    if near := get_close_matches(name, _registered(), 1, cutoff=0.85):
        raise ValueError(
            f"{key}={shown(kind)}: no part has this name; did you mean {near[0]!r}? (parts of your "
            "own need custom_imports)"
        )


def _registered() -> set[str]:
    """Names of all parts that configs can build; MMDetection's are imported for that."""
    todo = [one for one in vars(registry).values() if isinstance(one, Registry)]
    names: set[str] = set()
    while todo:
        one = todo.pop()
        if one not in _imported:
            one.import_from_location()
            _imported.append(one)
        names |= set(one.module_dict)
        todo += one.children.values()
    return names


_imported: list[Registry] = []


@cache
def _owned() -> dict[str, type]:
    """Classes of negas that configs name, by the name they are registered with."""
    registries = [one for one in vars(registry).values() if isinstance(one, Registry)]
    found = {name: one for each in registries for name, one in each.module_dict.items()}
    return {
        name: one
        for name, one in found.items()
        if isinstance(one, type) and one.__module__.startswith("negas.")
    }


def _part(kind: Any) -> type | None:
    if isinstance(kind, type):
        return kind if kind in _owned().values() else None
    name = str(kind)
    if name.startswith("negas."):  # MMEngine's new configs name the class
        name = name.rpartition(".")[2]
    return _owned().get(name.removeprefix("mmengine."))


@cache
def parameters(part: type) -> tuple[dict[str, Any], bool]:
    """Types of what a constructor takes from a config, and whether it takes more.

    The types of foreign base classes are anything.
    """
    known: dict[str, Any] = {}
    takes_more = False
    for cls in part.__mro__[:-1]:
        init = vars(cls).get("__init__")
        if init is None:
            continue
        given = inspect.signature(init).parameters.values()
        hints = get_type_hints(init) if cls.__module__.startswith("negas.") else {}
        for each in given:
            if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
                known.setdefault(each.name, hints.get(each.name, Any))
        takes_more = any(each.kind is each.VAR_KEYWORD for each in given)
        if not takes_more:
            break
    known.pop("self", None)
    return known, takes_more
