"""Reading and writing files: JSON with one kind of sentence, files whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from negas.text import shown_text

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

_INT64 = 2**63 - 1


def read_json(path: str | os.PathLike, advice: str = "", name: str = "") -> Any:
    """Content of a JSON file, UTF-8 with or without a byte order mark.

    Args:
        path: the file.
        advice: what to do if it cannot be read, half a sentence.
        name: what to call it in errors, where that is not its path.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: see :func:`parse_json`.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(_sentence(f"{name or path}: there is no such file", advice))
    return parse_json(Path(path).read_bytes(), name or str(path), advice)


def parse_json(text: str | bytes, name: str, advice: str = "") -> Any:
    """A JSON value; :func:`read_json` for text that is read already.

    Raises:
        ValueError: it is no JSON in UTF-8, nested too deeply, or holds NaN, infinity or a whole
            number that needs more than 64 bits.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return json.loads(
            text.removeprefix("\ufeff"),
            parse_constant=_refuse,
            parse_int=_whole_number,
            parse_float=_finite_number,
        )
    except _Constant as error:
        place = re.search(rf"[^\n]{{0,40}}(?<=[\s:,[]){error}", text)
        reason = f"it holds {error}, near {place[0].strip()!r}" if place else f"it holds {error}"
        raise not_json(name, reason, advice) from error
    except (ValueError, RecursionError) as error:
        raise not_json(name, error, advice) from error


def not_json(name: str | os.PathLike, reason: object, advice: str = "") -> ValueError:
    """The error of a file that is no JSON, for readers that do not read it whole."""
    return ValueError(_sentence(f"{name}: not valid JSON ({reason})", advice))


class _Constant(ValueError):
    """NaN or infinity, which Python would read."""


def _refuse(constant: str) -> None:
    raise _Constant(constant)


def _whole_number(digits: str) -> int:
    number = int(digits)
    if -_INT64 <= number <= _INT64:
        return number
    raise ValueError(f"it holds the number {digits[:20]}..., which needs more than 64 bits")


def _finite_number(text: str) -> float:
    number = float(text)  # 1e999 is infinite
    if math.isfinite(number):
        return number
    raise ValueError(f"it holds the number {text[:20]}, which is too large")


def _sentence(fault: str, advice: str) -> str:
    return f"{fault}; {advice}" if advice else fault


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """A place to write to that becomes ``path`` when the block ends without an error.

    A kill or an error leaves the old file, never a part of the new one. The folder is made.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any, indent: int | None = 1) -> None:
    """Write a JSON file that people can read, whole or not at all; see :func:`plain`."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_npz(path: str | os.PathLike, arrays: Mapping[str, Any], compress: bool = False) -> None:
    """Write arrays by name as an npz file, whole or not at all."""
    import numpy as np

    with whole_file(path) as partial, partial.open("wb") as file:
        (np.savez_compressed if compress else np.savez)(file, **arrays)


_FREE, _RATIO = 2**28, 100  # an npz may unpack to 256 MiB, or to 100 times its own size


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


_locks: dict[Path, int] = {}


def lock_file(path: str | os.PathLike, doing: str) -> None:
    """Hold a file until :func:`unlock_file` or the end of this process, however that comes.

    A lock belongs to the process: within it, a second call does nothing. Where the file system has
    no locks, neither.

    Args:
        path: the file; its folder is made.
        doing: what the holder does, for the other's error: ``"a test writes to out"``.

    Raises:
        BlockingIOError: another process holds it.
    """
    place = _lock_place(path)
    if fcntl is None or place in _locks:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        # not flock, which worker processes would inherit and keep when this one is killed
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(file, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(file)
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return
        raise BlockingIOError(
            f"{doing} already (process {holder}); wait for it or name another folder"
        ) from error
    os.ftruncate(file, 0)
    os.write(file, str(os.getpid()).encode())
    _locks[place] = file


def unlock_file(path: str | os.PathLike) -> None:
    """Let go of a file of :func:`lock_file`."""
    file = _locks.pop(_lock_place(path), None)
    if file is not None:
        os.close(file)


def _lock_place(path: str | os.PathLike) -> Path:
    """The file itself, not what a link in its place leads to."""
    return Path(path).parent.resolve() / Path(path).name


def plain(value: Any) -> Any:
    """The value in types of JSON: arrays as lists, paths as texts.

    A number that does not exist (NaN or infinity, say an empty set's AUROC) becomes ``None``.
    """
    if hasattr(value, "tolist"):  # of numpy or torch
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_folder(path: str | os.PathLike, option: str) -> Path:
    """Before long work: make a folder that is to be written to, and see that it can be.

    Args:
        path: the folder.
        option: of the command line that names it, for the error.

    Raises:
        NotADirectoryError: it is a file.
        OSError: files cannot be written there.
    """
    folder = Path(path)
    if folder.is_file():
        raise NotADirectoryError(f"{option}: {str(folder)!r} is a file; name a folder")
    return _probe(folder, folder, option)


def check_file(path: str | os.PathLike, option: str) -> Path:
    """Before long work: make the folder of a file that is to be written, and see that it can be.

    Args:
        path: the file.
        option: of the command line that names it, for the error.

    Raises:
        IsADirectoryError: it is a folder.
        OSError: it cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{option}: {str(target)!r} is a folder; name a file")
    return _probe(target.parent, target, option)


def _probe(folder: Path, target: Path, option: str) -> Path:
    probe = folder / f".write_probe_{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(
            f"{option}: {str(target)!r} cannot be written ({error.strerror}); choose another place"
        ) from error
    return target


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
