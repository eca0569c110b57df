"""Arrays in npz files."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from negas.text import shown_text

from . import protect, whole_file

_FREE, _RATIO = 2**28, 100  # an npz may unpack to 256 MiB, or to 100 times its own size


def write_npz(path: str | os.PathLike, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name as an npz file, whole or not at all."""
    import numpy as np

    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def read_npz(path: str | os.PathLike) -> dict[str, Any]:
    """Arrays of an npz file by name; no code runs, and a small file cannot fill the memory.

    A file may unpack to 256 MiB or to 100 times its size, whichever is more; recorded floats shrink
    to half or a quarter.

    Raises:
        ValueError: it is no npz file, it is damaged, it holds Python objects, or it would unpack to
            more; half a sentence that says why.
        OSError: it cannot be read.
    """
    import numpy as np

    protect(path)
    try:
        with zipfile.ZipFile(path) as archive:  # np.load takes other files too, and guesses
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > max(_FREE, _RATIO * os.path.getsize(path)):
                raise ValueError(f"it would unpack to {unpacked / 1e9:.1f} GB")
            for entry in archive.infolist():
                _check_entry(archive, entry)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(shown_text(str(error) or type(error).__name__, 200)) from error


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """An array is as large as its header says: numpy makes room for that before it reads."""
    from numpy.lib import format as npy

    with archive.open(entry) as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        size = entry.file_size - file.tell()
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{entry.filename} is not as large as it says")
