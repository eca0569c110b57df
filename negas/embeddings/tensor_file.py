"""Tensors and what describes them in one safetensors file that says whether it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from negas.files import whole_file

from .cache import fingerprint


def write_tensors(
    path: str | os.PathLike, tensors: Mapping[str, Tensor], about: Mapping[str, Any]
) -> None:
    """Write tensors and what JSON can hold of them to a safetensors file, whole or not at all."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(about)
    with whole_file(path) as partial:
        save_file(plain, partial, metadata={"about": text, "digest": _digest(plain, text)})


def _digest(tensors: Mapping[str, Tensor], about: str) -> str:
    return fingerprint(about, *(part for name in sorted(tensors) for part in (name, tensors[name])))


def read_tensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`write_tensors` wrote.

    Raises:
        ValueError: the file is damaged, or another one wrote it; half a sentence that says why.
        OSError: it cannot be read.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            about, digest = metadata["about"], metadata["digest"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            if _digest(tensors, about) != digest:
                raise ValueError("its content is not what was written")
            return tensors, json.loads(about)
    except KeyError:
        raise ValueError("it does not say what it holds") from None
    except (SafetensorError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())) from error
