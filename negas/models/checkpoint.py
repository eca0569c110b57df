"""Loading detector weights with nothing lost silently."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from negas.compat.checkpoint import FILE, TRAINED
from negas.files import file_sha256
from negas.labels.names import first_difference
from negas.text import listed, shown, shown_text
from negas.weights.released import how_to_get

if TYPE_CHECKING:
    from .interface import OODDetector

_BASE = "negas.base"  # in the metadata of base weights, which nobody takes for trained ones
_UNTRAINED = {  # by prefix: what full weights lack, and what happens without it
    "prompt.": "prompt: the prompt is as it starts a training",
    "siren.": "SIREN head: its scores train one of their own on the fit set",
}
# Buffers that older transformers versions saved and newer ones do not have.
_IGNORED_SUFFIXES = (".position_ids",)


def is_partial(state_dict: dict[str, Tensor]) -> bool:
    """Whether a state dict holds only what was trained (no detection head in it)."""
    return not any(key.startswith("bbox_head.") for key in state_dict)


def fit_state_dict(
    model: OODDetector, state_dict: dict[str, Tensor], prefix: str, metadata: Mapping[str, Any]
) -> None:
    """Check that weights are this detector's, and fill in those that may be missing.

    All loaders pass here: of training, resuming, testing, inference and averaged copies.

    Args:
        model: the detector that is about to load.
        state_dict: what it is given, completed in place; a partial one (see :func:`is_partial`) is
            put on the detector's base weights.
        prefix: of the detector's names in it.
        metadata: what :func:`negas.compat.checkpoint.load_checkpoint` knows of the file.

    Raises:
        RuntimeError: naming missing and unexpected keys, wrong shapes and types; or the weights
            belong on other base weights or to other classes; or there are none.
    """
    given = {key[len(prefix) :]: v for key, v in state_dict.items() if key.startswith(prefix)}
    partial = is_partial(given)
    if partial and given and not model.base_checkpoint:
        raise RuntimeError(
            "the checkpoint holds only trained parameters and the config has no "
            "model.base_checkpoint to put them on; set it to the weights it was trained on"
        )
    if partial and given:
        model.load_base()
    if isinstance(saved := metadata.get(TRAINED), Mapping):
        model.load_base()
        _check_identity(model, saved)
    name = metadata.get(FILE)
    which = f"checkpoint {name!r}" if name else "checkpoint"
    _check_names(model, given, model.optional_keys(), which)
    expected = model.state_dict()
    for key in [key for key in given if key not in expected]:  # or MMEngine warns of them
        del state_dict[prefix + key]
    if not partial:
        _tell_missing(given, expected, model.optional_keys(), bool(metadata.get(_BASE)))
    for key, value in expected.items():  # or MMEngine warns of hundreds of missing keys
        state_dict.setdefault(prefix + key, value)


def _check_identity(model: OODDetector, saved: Mapping[str, Any]) -> None:
    """Compare with what :class:`~negas.engine.TrainedOnlyCheckpointHook` wrote of the training."""
    if saved.get("base_sha256") != model.base_sha256:
        raise RuntimeError(
            f"the checkpoint was trained on base weights "
            f"{shown(saved.get('base_checkpoint'), 200)} with SHA-256 "
            f"{shown_text(saved.get('base_sha256'), 12)}, but model.base_checkpoint is "
            f"{model.base_checkpoint!r} ({str(model.base_sha256)[:12]}...); use the same file"
        )
    classes, names = list(saved.get("class_names") or ()), list(model.class_names)
    if classes != names and not model.relabelled:
        raise RuntimeError(
            f"the checkpoint was trained for other classes than the config's ("
            f"{first_difference(classes, names)}); use the config it was trained with"
        )
    before, labels = list(saved.get("neg_labels") or ()), list(model.neg_labels)
    if before != labels and not model.relabelled:
        print_log(
            f"the checkpoint was trained with {len(before)} other negative labels than the "
            f"{len(labels)} of the config, which are used now "
            f"({first_difference(before, labels)}); to test with those it was trained with, set "
            "model.neg_labels as in the training",
            "current",
            logging.WARNING,
        )


def _tell_missing(
    given: Mapping, expected: Mapping, optional: tuple[str, ...], is_base: bool
) -> None:
    """Say which parts full weights lack, which stay as they are."""
    for prefix in optional:
        if _has(given, prefix) or not _has(expected, prefix):
            continue
        if prefix in _UNTRAINED and not is_base:
            print_log(
                f"the checkpoint holds no trained {_UNTRAINED[prefix]}. "
                "Give a checkpoint of this training (epoch_N.pth) to test what was learned",
                "current",
                logging.WARNING,
            )
        else:
            print_log(f"Not in the checkpoint, as it should be: {prefix}*", "current")


def _has(state_dict: Mapping, prefix: str) -> bool:
    return any(key.startswith(prefix) for key in state_dict)


def _check_names(
    model: nn.Module, state_dict: dict[str, Tensor], optional: tuple[str, ...], which: str
) -> None:
    if not state_dict:
        raise RuntimeError(
            f"the {which} of {type(model).__name__} holds no weights (its state_dict is empty); "
            "give the file that the training wrote"
        )
    expected = model.state_dict()
    partial = is_partial(state_dict)
    lacking = tuple(prefix for prefix in optional if not _has(state_dict, prefix))
    missing = [
        key
        for key in expected
        if not partial
        and key not in state_dict
        and not key.startswith(lacking)
        and not key.endswith((*_IGNORED_SUFFIXES, "num_batches_tracked"))
    ]
    unexpected = [
        key for key in state_dict if key not in expected and not key.endswith(_IGNORED_SUFFIXES)
    ]
    shapes = [
        f"{key} {tuple(state_dict[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in state_dict and state_dict[key].shape != expected[key].shape
    ]
    types = [
        f"{key} {state_dict[key].dtype} instead of {value.dtype}"
        for key, value in expected.items()
        if key in state_dict and state_dict[key].is_floating_point() != value.is_floating_point()
    ]
    if missing or unexpected or shapes or types:
        parts = []
        found = {"missing": missing, "unexpected": unexpected, "wrong shapes": shapes}
        found["wrong types"] = types
        for what, keys in found.items():
            if keys:
                parts.append(f"{len(keys)} {what}: {listed(keys, 5, 100)}")
        raise RuntimeError(
            f"the {which} does not fit {type(model).__name__} ({'; '.join(parts)}); "
            "check that config and checkpoint are of the same size and version"
        )


def check_base(path: str | Path) -> bool:
    """Look for base weights; whether they are on another machine.

    Raises:
        FileNotFoundError: if a local file does not exist.
    """
    remote = "://" in str(path)
    if not remote and not Path(path).is_file():
        raise FileNotFoundError(f"base_checkpoint={str(path)!r} does not exist; {how_to_get(path)}")
    return remote


def load_base_weights(model: nn.Module, path: str) -> str:
    """Load full detector weights.

    Args:
        model: the detector.
        path: local ``.pth``/``.safetensors`` file, or anything else MMEngine's loader takes.

    Returns:
        SHA-256 of the file; for a remote one, of its name.

    Raises:
        RuntimeError: if the weights do not fit or are themselves partial.
        ValueError: it is no file of weights.
        FileNotFoundError: if a local file does not exist.
    """
    remote = check_base(path)
    try:
        checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location="cpu")
    except ValueError as error:
        raise ValueError(f"model.base_checkpoint: {error}") from error
    state_dict = OrderedDict(checkpoint.get("state_dict", checkpoint))
    if is_partial(state_dict):
        raise RuntimeError(
            f"base_checkpoint={str(path)!r} holds no detector (only trained parameters); "
            "give the full weights it was trained on"
        )
    state_dict._metadata = {"": {FILE: str(path), _BASE: True}}
    model.load_state_dict(state_dict, strict=False)
    print_log(f"Loaded base weights from {path}", "current")
    return hashlib.sha256(str(path).encode()).hexdigest() if remote else file_sha256(path)
