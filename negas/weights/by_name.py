"""Released weights by name wherever a checkpoint is asked for; what is not here is fetched."""

from __future__ import annotations

import os
from pathlib import Path

from negas.shipped import BUILT_IN, find

from .download import download
from .released import FOLDER, Released, find_released, how_to_get, released


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


def named_detector(name: str | os.PathLike) -> tuple[str, str]:
    """Config and weights of the built-in or a released detector, see :func:`local_weights`.

    Raises:
        ValueError: no weights have this name.
        FileNotFoundError: its config is not here.
    """
    if name in BUILT_IN:
        config, weights = BUILT_IN[os.fspath(name)]
        return find(config), find(weights)
    found: Released = find_released(os.fspath(name))
    if not found.config.is_file():
        raise FileNotFoundError(
            f"{found.name}: its config {str(found.config)!r} is not here; give a config and "
            f"{found.name!r} as its weights"
        )
    return str(found.config), local_weights(found.name)
