"""Loading detector weights with nothing lost silently."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from negas.files import file_sha256
from negas.text import listed

# Buffers that older transformers versions saved and newer ones do not have.
_IGNORED_SUFFIXES = (".position_ids",)


def is_partial(state_dict: dict[str, Tensor]) -> bool:
    """Whether a state dict holds only what was trained (no detection head in it)."""
    return not any(key.startswith("bbox_head.") for key in state_dict)


def check_state_dict(
    model: nn.Module, state_dict: dict[str, Tensor], optional: tuple[str, ...] = ()
) -> None:
    """Report names and shapes that do not fit, and refuse them.

    Args:
        model: the detector that is about to load.
        state_dict: what it is given; a partial one (see :func:`is_partial`) may lack everything but
            must not bring anything unknown.
        optional: prefixes that may be missing, each as a whole.

    Raises:
        RuntimeError: naming missing and unexpected keys and wrong shapes; or there are no weights
            at all, which a partial one could otherwise pass for.
    """
    if not state_dict:
        raise RuntimeError(
            f"the checkpoint of {type(model).__name__} holds no weights (its state_dict is empty); "
            "give the file that the training wrote"
        )
    expected = model.state_dict()
    partial = is_partial(state_dict)
    lacking = [
        prefix for prefix in optional if not any(key.startswith(prefix) for key in state_dict)
    ]
    missing = [
        key
        for key in expected
        if not partial
        and key not in state_dict
        and not key.startswith(tuple(lacking))
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
    lacking = [f"{name}*" for name in lacking if any(key.startswith(name) for key in expected)]
    if lacking and not partial:
        print_log(f"Checkpoint has no {', '.join(lacking)}: kept as they are.", "current")
    if missing or unexpected or shapes:
        parts = []
        found = {"missing": missing, "unexpected": unexpected, "wrong shapes": shapes}
        for what, keys in found.items():
            if keys:
                more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
                parts.append(f"{len(keys)} {what}: {listed(keys, 5)}{more}")
        raise RuntimeError(
            f"the checkpoint does not fit {type(model).__name__} ({'; '.join(parts)}); "
            "check that config and checkpoint are of the same size and version"
        )


def check_base(path: str | Path) -> bool:
    """Look for base weights; whether they are on another machine.

    Raises:
        FileNotFoundError: if a local file does not exist.
    """
    remote = "://" in str(path)
    if not remote and not Path(path).is_file():
        raise FileNotFoundError(f"base_checkpoint={str(path)!r} does not exist; give a weight file")
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
        FileNotFoundError: if a local file does not exist.
    """
    remote = check_base(path)
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location="cpu")
    state_dict = checkpoint.get("state_dict", checkpoint)
    if is_partial(state_dict):
        raise RuntimeError(
            f"base_checkpoint={str(path)!r} holds no detector (only trained parameters); "
            "give the full weights it was trained on"
        )
    model.load_state_dict(state_dict, strict=False)
    print_log(f"Loaded base weights from {path}", "current")
    return hashlib.sha256(str(path).encode()).hexdigest() if remote else file_sha256(path)
