"""Checkpoint files without running code from them: MMEngine's loader, made safe and repaired.

Every command reads weights here, so a file loads in all of them or in none, with one sentence.
Since PyTorch 2.6 ``torch.load`` refuses what MMEngine stores beside the weights (log history,
NumPy scalars). The loader here allows just those classes, so that resuming works and a file from
elsewhere still cannot run code.
"""

from __future__ import annotations

import codecs
import os
import pickle
import re
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch

from negas.text import shown, shown_text
from negas.weights.released import how_to_get

TRUST_VARIABLE = "NEGAS_TRUST_CHECKPOINT"
FILE, TRAINED = "negas.file", "negas.trained"  # keys of the state dict's metadata
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = re.compile(r"^(?:module\.|_orig_mod\.)+")  # of wrapped and of compiled models
_DTYPES = "? S U i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split()


def load_checkpoint(filename: str | os.PathLike, map_location: Any = None) -> dict:
    """Read a local checkpoint.

    The environment variable ``NEGAS_TRUST_CHECKPOINT=1`` also allows files that hold other Python
    objects, **which may run any code**.

    Args:
        filename: ``.pth`` (or any ``torch.save`` file) or ``.safetensors``.
        map_location: as for ``torch.load``.

    Returns:
        the stored dict; its ``state_dict`` holds tensors by name, also if the file has them under
        ``model``, as arrays, without a name around them or with ``module.`` before every key.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, truncated, it holds objects that are not allowed, or weights
            that are none.
    """
    path = Path(filename).expanduser()
    if path.is_dir():
        raise ValueError(f"checkpoint {str(path)!r} is a directory; name the file inside it")
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {str(path)!r} does not exist; {how_to_get(path)}")
    if path.stat().st_size == 0:
        raise ValueError(f"checkpoint {str(path)!r} is empty; copy or download it again")
    with path.open("rb") as file:
        start = file.read(80)
    zipped = start.startswith(b"PK")  # as torch.save writes
    if start[8:9] == b"{" or (path.suffix.lower() == ".safetensors" and not zipped):
        return _with_weights({"state_dict": _load_safetensors(path, map_location)}, path)
    _refuse_other_formats(path, start)
    return _with_weights(_load_pickle(path, map_location), path)


def first_not_finite(state_dict: Mapping[str, torch.Tensor]) -> tuple[str, int] | None:
    """The first key whose tensor holds what no 32-bit number is, and how many keys do; or None."""
    bad = [
        key
        for key, value in state_dict.items()
        if value.is_floating_point() and not torch.isfinite(value.float()).all()
    ]
    return (bad[0], len(bad)) if bad else None


def _with_weights(checkpoint: Any, path: Path) -> dict:
    """The checkpoint with its weights as tensors under ``state_dict``, whatever it calls them."""
    where = f"checkpoint {str(path)!r}"
    save = "save `{'state_dict': model.state_dict()}`"
    if not isinstance(checkpoint, dict):
        kind = type(checkpoint).__name__
        raise ValueError(f"{where} holds a {kind}, expected a dict with 'state_dict'; {save}")
    name = next((key for key in _WRAPPERS if key in checkpoint), None)
    weights, place, inner = checkpoint, "", name
    while inner is not None:  # some wrap twice
        weights, place = weights[inner], f"{place}[{inner!r}]"
        nested = _WRAPPERS if isinstance(weights, dict) else ()
        inner = next((key for key in nested if isinstance(weights.get(key), dict)), None)
    if not isinstance(weights, dict):
        kind = type(weights).__name__
        raise ValueError(f"{where}{place} has the type {kind}, expected tensors by name; {save}")
    if not weights:
        raise ValueError(f"{where} holds no weights; give the file that the training wrote")
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for key, value in weights.items():
        if not isinstance(key, str):
            raise ValueError(f"{where}{place} has the key {shown(key)}, expected names; {save}")
        key = _PREFIXES.sub("", key)
        if key in state:
            raise ValueError(
                f"{where}{place} holds {shown(key)} with and without 'module.'; {save}"
            )
        state[key] = _tensor(value, f"{where}{place}[{shown(key, 100)}]")
    if found := first_not_finite(state):
        raise ValueError(
            f"{where} holds weights that are NaN or infinite: {shown(found[0])}, {found[1]} "
            f"of {len(state)} tensors in all; give a checkpoint from before the training diverged"
        )
    meta = checkpoint.get("meta")
    trained = meta.get("negas") if isinstance(meta, dict) else None
    state._metadata = {"": {FILE: str(path), TRAINED: trained}}
    rest = {} if name is None else {key: item for key, item in checkpoint.items() if key != name}
    if isinstance(meta, dict) and "meta" in rest:
        # Python code as text: MMEngine would run it to resume
        rest["meta"] = {key: item for key, item in meta.items() if key not in ("config", "cfg")}
    return rest | {"state_dict": state}


def _tensor(value: Any, where: str) -> torch.Tensor:
    if isinstance(value, np.ndarray | np.generic):
        try:
            return torch.from_numpy(np.array(value))
        except TypeError as error:
            raise ValueError(f"{where} is an array of {value.dtype}, expected numbers") from error
    kind = type(value).__name__
    if isinstance(value, torch.Tensor):
        kind = f"{value.layout}, {value.dtype} on {value.device}"
        plain = value.layout == torch.strided and value.device.type != "meta"
        if plain and not value.is_quantized and not value.is_complex():
            return value
    remedy = "give a file with the weights of a detector"
    if isinstance(value, dict):
        remedy += ", or save what you want of it as {'state_dict': ...}"
    raise ValueError(f"{where} has the type {kind}, expected a dense tensor of numbers; {remedy}")


def _refuse_other_formats(path: Path, start: bytes) -> None:
    """Name what is taken for a checkpoint, in place of what the unpickler would trip over."""
    other, remedy = None, "give the file with the weights"
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
        if "constants.pkl" in names:
            other, remedy = "a TorchScript archive", "save the `state_dict()` of what it holds"
        elif "data.pkl" not in names:
            other = "a zip archive without weights"
        elif path.suffix.lower() == ".safetensors":
            other, remedy = "a file of torch.save by its content", "rename it to .pth"
    elif not start.strip(b"\0"):
        other, remedy = "a file of zeros", "copy or download it again"
    elif tarfile.is_tarfile(path):
        other, remedy = "a tar archive", "unpack it, or save the weights again with torch.save"
    elif all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        other = f"a text file that begins with {start.decode()!r}"
    if other:
        raise ValueError(f"checkpoint {str(path)!r} is {other}; {remedy}")


def install() -> None:
    """Make this the loader of MMEngine for local files and for http(s) addresses."""
    from mmengine.runner.checkpoint import CheckpointLoader

    CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)
    CheckpointLoader.register_scheme(
        prefixes=("http://", "https://"), loader=_from_http, force=True
    )


def load_from_local(filename: str, map_location: Any = None) -> dict:
    """Read a local file; MMEngine logs the part of this name after ``load_from_``."""
    return load_checkpoint(filename, map_location)


def _from_http(
    filename: str, map_location: Any = None, model_dir: str | None = None, progress: bool = True
) -> dict:
    """Download once into torch hub's folder, then read as a local file."""
    from mmengine.dist import barrier, get_rank

    folder = Path(model_dir or Path(torch.hub.get_dir()) / "checkpoints")
    target = folder / Path(urlparse(filename).path).name
    if get_rank() == 0 and not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(filename, str(target), progress=progress)
    barrier()
    return load_checkpoint(target, map_location)


def _load_safetensors(path: Path, map_location: Any) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    # A callable or dict location has no meaning for safetensors: read to CPU, the model copies.
    simple = isinstance(map_location, str | torch.device)
    try:
        return load_file(path, device=str(map_location) if simple else "cpu")
    except SafetensorError as error:
        raise ValueError(
            f"checkpoint {str(path)!r} is truncated or no safetensors file ({error}); copy or "
            "download it again"
        ) from error


def _load_pickle(path: Path, map_location: Any) -> Any:
    trust = os.environ.get(TRUST_VARIABLE, "").lower() in ("1", "true", "yes")
    try:
        if trust:
            return torch.load(path, map_location=map_location, weights_only=False)
        if hasattr(torch.serialization, "safe_globals"):  # torch >= 2.5
            with torch.serialization.safe_globals(
                [(value, name) for name, value in allowed_globals().items()]
            ):
                return torch.load(path, map_location=map_location, weights_only=True)
        return torch.load(
            path, map_location=map_location, pickle_module=restricted_pickle(), weights_only=False
        )
    except Exception as error:
        # torch reports damage as RuntimeError, EOFError, OSError, KeyError or UnpicklingError, and
        # the latter also stands for refused objects: look at the file itself to tell them apart.
        foreign = _foreign_global(str(error))
        if foreign and not trust:
            raise ValueError(
                f"checkpoint {str(path)!r} is refused: besides tensors it holds {foreign}, which "
                f"could run code while being read; if you trust where it comes from, set "
                f"{TRUST_VARIABLE}=1 and run again"
            ) from error
        if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
            raise
        if zipfile.is_zipfile(path) and not isinstance(error, pickle.UnpicklingError | EOFError):
            # a sound archive: a device that is not there, say, in torch's own words
            reason = shown_text(" ".join(str(error).split()), 400)
            raise RuntimeError(f"checkpoint {str(path)!r} cannot be read: {reason}") from error
        # torch wraps its reason into a page of advice that ends in "load with weights_only=False".
        reason = str(error).rpartition("WeightsUnpickler error: ")[2].strip()
        reason = (reason or type(error).__name__).splitlines()[0][:120]
        raise ValueError(
            f"checkpoint {str(path)!r} is truncated or not a checkpoint ({reason}); expected a "
            "file written by torch.save, copy or download it again"
        ) from error


def _foreign_global(message: str) -> str | None:
    """What the unpickler refused, from its message; None if the trouble is another."""
    named = re.search(r"(?:nsupported (?:global: )?GLOBAL|Unsupported class) (\S+)", message)
    if named:
        return repr(named[1].rstrip(".,"))
    # The other refusals are about what allowed objects would do, not about damage.
    for mark in ("unrecognized function", "Can only build", "Can only create new object"):
        if mark in message:
            return "Python objects beyond the allowed ones"
    return None


def history_method(owner: type, name: str) -> Any:
    """The one use of ``getattr`` in MMEngine's files: a statistics method of HistoryBuffer."""
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in ("min", "max", "current", "mean"):
        raise pickle.UnpicklingError(f"Unsupported class getattr({owner!r}, {name!r})")
    return getattr(owner, name)


def allowed_globals() -> dict[str, Any]:
    """Full name in the file -> object, beyond torch's own list.

    What a Runner with optimizer, schedulers, message hub and EMA hook stores; NumPy's functions
    under the module names of NumPy 1 and 2.
    """
    from mmengine.logging import HistoryBuffer

    # Private in NumPy 2, under another name in NumPy 1: take them from what pickling uses.
    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    allowed: dict[str, Any] = {
        "mmengine.logging.history_buffer.HistoryBuffer": HistoryBuffer,
        "builtins.getattr": history_method,
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
    }
    for core in ("numpy.core", "numpy._core"):
        allowed[f"{core}.multiarray._reconstruct"] = reconstruct
        allowed[f"{core}.multiarray.scalar"] = scalar
    for code in _DTYPES:
        # The unpickler checks the type of the object whose state it sets: np.dtype's subclasses.
        dtype = type(np.dtype(code))
        allowed[f"{dtype.__module__}.{dtype.__qualname__}"] = dtype
    return allowed


def restricted_pickle() -> SimpleNamespace:
    """A ``pickle_module`` for torch < 2.5, whose ``weights_only`` cannot be extended."""
    allowed = allowed_globals() | {
        "collections.OrderedDict": OrderedDict,
        "_codecs.encode": codecs.encode,
        "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
        "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,
        "torch.Size": torch.Size,
        "torch.device": torch.device,
    }

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            module = "builtins" if module == "__builtin__" else module
            full = f"{module}.{name}"
            found = allowed.get(full)
            if (
                found is None
                and module == "torch"
                and isinstance(getattr(torch, name, None), torch.dtype)
            ):
                found = getattr(torch, name)
            if found is None:
                raise pickle.UnpicklingError(f"Unsupported class {full}")
            return found

    return SimpleNamespace(
        Unpickler=Unpickler,
        load=lambda file, **options: Unpickler(file, **options).load(),
        __name__="negas.compat.checkpoint",
    )
