"""Released weights by name wherever a checkpoint is asked for; what is not here is fetched."""

from __future__ import annotations

import os
from pathlib import Path

from negas.shipped import BUILT_IN, find
from negas.text import shown

from .download import download
from .released import FOLDER, how_to_get, near_names, released


def local_weights(checkpoint: str | os.PathLike) -> str:
    """The path of a checkpoint; a released name becomes its file in ``checkpoints/``.

    What is not there yet is fetched, and that is said. The processes of a distributed run fetch
    nothing.

    Args:
        checkpoint: path or address, which stays as it is, or a name of :data:`RELEASED`.

    Raises:
        FileNotFoundError: it is not there, and this is one of several processes, or the server has
            no such file.
        ValueError, OSError: see :func:`~negas.weights.download.download`.
    """
    found = released(checkpoint)
    if found is None or os.path.isfile(checkpoint):
        return find(checkpoint)
    path = Path(FOLDER, found.file)
    if path.is_file():
        return str(path)
    if any(int(os.environ.get(key) or 1) > 1 for key in ("WORLD_SIZE", "SLURM_NTASKS")):
        raise FileNotFoundError(f"checkpoint {str(path)!r} does not exist; {how_to_get(path)}")
    return str(download(found.address, path, found.sha256))


def is_name(text: str) -> bool:
    """Whether this is what :func:`named_detector` knows."""
    return text in BUILT_IN or released(text) is not None


def named_detector(name: str | os.PathLike) -> tuple[str, str]:
    """Config and weights of the built-in or a released detector; these for :func:`local_weights`.

    Raises:
        ValueError: no detector has this name.
        FileNotFoundError: its config is not here.
    """
    name = os.fspath(name)
    if name in BUILT_IN:
        return BUILT_IN[name]
    if (found := released(name)) is None:
        raise ValueError(
            f"no detector is called {shown(name)} (a config takes a checkpoint beside it); "
            f"{near_names(name, BUILT_IN)}"
        )
    if not found.config.is_file():
        raise FileNotFoundError(
            f"{found.name}: its config {str(found.config)!r} is not here; give a config and "
            f"{found.name!r} as its weights"
        )
    return str(found.config), found.name


def find_detector(config: str, checkpoint: str | None) -> tuple[str, str]:
    """Both as a command line names them, or of the detector whose name stands alone.

    Raises:
        ValueError, FileNotFoundError: see :func:`named_detector`.
    """
    return named_detector(config) if checkpoint is None else (config, checkpoint)
