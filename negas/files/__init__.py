"""Reading and writing files: JSON with one kind of sentence, files whole or not at all.

No output lands on an input: what a command reads is told to :func:`protect`, and every way of
writing here refuses such a file (:func:`refuse_input`).
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import math
import os
import re
import shutil
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from negas.text import escaped, shown

try:
    import fcntl
except ImportError:  # not on Windows, where temporary files of killed runs stay
    fcntl = None

INT64 = 2**63 - 1
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_WRITE_FAULTS = _FULL | {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENAMETOOLONG}
_FULL_BELOW = 1 << 16  # bytes that are left on a disk on which nothing can be written
_LONGEST_NAME = 100  # characters of a name that becomes a file or a folder
_LEFTOVER = re.compile(r"\..*\.[0-9a-f]{16}\.tmp(\.\w+)?", re.DOTALL)
_tidied: set[Path] = set()
# Of the command that runs in this thread, by device and inode; threads of a program share none.
_inputs: ContextVar[dict[tuple[int, int], str] | None] = ContextVar("inputs", default=None)


# --- inputs are no outputs ------------------------------------------------------------------------
@contextmanager
def own_inputs() -> Iterator[None]:
    """A block, such as a command, whose inputs are protected until it ends."""
    token = _inputs.set(dict(_inputs.get() or {}))
    try:
        yield
    finally:
        _inputs.reset(token)


def protect(*paths: str | os.PathLike) -> None:
    """Never write to these files while the command runs; what is no file is passed over."""
    if (inputs := _inputs.get()) is None:
        return
    for path in paths:
        with suppress(OSError, ValueError):  # ValueError: a text with a null character
            if os.path.isfile(path):
                found = os.stat(path)
                inputs[found.st_dev, found.st_ino] = os.fspath(path)


def refuse_input(path: str | os.PathLike, option: str = "", also: Iterable[Any] = ()) -> None:
    """Refuse an output that is one of the command's inputs, also through links.

    Args:
        path: the output.
        option: of the command line that names it, for the error.
        also: further inputs.

    Raises:
        FileExistsError: it is one.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(found.st_mode):
        return
    given = (_inputs.get() or {}).get((found.st_dev, found.st_ino))
    # a number is used again after its file is gone, so the file is looked at once more
    for one in (*([given] if given else ()), *also):
        if os.path.exists(one) and os.path.samefile(one, path):
            same = "" if str(one) == str(path) else f" (the same file as {str(one)!r})"
            fault = f"{str(path)!r} is an input of this command{same} and would be lost"
            raise FileExistsError(f"{option}: {fault}; name another place" if option else fault)


# --- names ----------------------------------------------------------------------------------------
def check_name(name: object, what: str, taken: Collection[str] = ()) -> str:
    """A name that becomes a file or a folder.

    Args:
        name: of a set, a bank, ...
        what: it is, for the error: ``the OOD set``.
        taken: other names; letter case does not tell names apart.

    Raises:
        ValueError: it cannot be one, or is taken.
    """
    reason = ""
    if not isinstance(name, str) or not name.strip():
        reason = "is empty or no text"
    elif set(name) & set("/\\") or name.startswith("."):
        reason = "has a slash or starts with a dot"
    elif not name.isprintable() or name != name.strip():
        reason = "has control characters or spaces around it"
    elif len(os.fsencode(name)) > _LONGEST_NAME:
        reason = f"is longer than {_LONGEST_NAME} bytes"
    elif name.casefold() in {one.casefold() for one in taken}:
        reason = "is taken (upper and lower case count as the same)"
    if reason:
        raise ValueError(
            f"{what} {shown(name)}: the name {reason}; it names files, so give another one"
        )
    return name


def check_names(names: Iterable[object], what: str, taken: Iterable[str] = ()) -> None:
    """Names that become files of one folder, see :func:`check_name`.

    Raises:
        ValueError: one cannot be, or two are the same.
    """
    before = list(taken)
    for name in names:
        before.append(check_name(name, what, before))


def cut_name(name: str) -> str:
    """A file name of at most 200 bytes, its ending kept: most systems take 255."""
    path = Path(name)
    stem = os.fsencode(path.stem)[: max(1, 200 - len(os.fsencode(path.suffix)))]
    return name if len(os.fsencode(name)) <= 200 else os.fsdecode(stem) + path.suffix


# --- finding ------------------------------------------------------------------------------------
# What OpenCV and Pillow both decode; a picture that is named by itself may have any other ending.
IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".ppm", ".pgm", ".pbm",
    ".pnm", ".tif", ".tiff", ".gif", ".jp2", ".avif",
)  # fmt: skip
_OUTPUT_ENDINGS = (
    ".json", ".jsonl", ".md", ".csv", ".html", ".txt", ".png", ".npz", ".pth", ".safetensors",
)  # fmt: skip
VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


def find_files(
    folder: str | os.PathLike, endings: Collection[str], below: bool = False
) -> tuple[list[Path], str]:
    """Files of a folder by path; hidden ones do not count.

    Args:
        folder: exists.
        endings: of names, in lower case.
        below: search its sub-folders, too.

    Returns:
        The files, and what else there is: ``3 .txt, 1 dead link``; empty if nothing.
    """
    found, others, seen = [], Counter(), set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [n for n in folders if not n.startswith(".")]
        if real in seen:  # a link to a folder above
            continue
        seen.add(real)
        for name in (name for name in names if not name.startswith(".")):
            path = Path(place, name)
            if not path.exists():
                others["dead link"] += 1
            elif path.suffix.lower() not in endings or not path.is_file():
                others[escaped(path.suffix.lower()) or "without ending"] += 1
            else:
                found.append(path)
        if not below:
            others["sub-folder"] += len(folders)
            break
    return sorted(found), ", ".join(f"{n} {what}" for what, n in sorted(others.items()) if n)


# --- reading --------------------------------------------------------------------------------------
def read_json(path: str | os.PathLike, advice: str = "", name: str = "", own: bool = False) -> Any:
    """Content of a JSON file, UTF-8 with or without a byte order mark.

    Args:
        path: the file.
        advice: what to do if it cannot be read, half a sentence.
        name: what to call it in errors, where that is not its path.
        own: whether the command itself keeps this file and writes it again; others are protected.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: see :func:`parse_json`.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(_sentence(f"{name or path}: there is no such file", advice))
    if not own:
        protect(path)
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
    if -INT64 <= number <= INT64:
        return number
    raise ValueError(f"it holds the number {digits[:20]}..., which needs more than 64 bits")


def _finite_number(text: str) -> float:
    number = float(text)  # 1e999 is infinite
    if math.isfinite(number):
        return number
    raise ValueError(f"it holds the number {text[:20]}, which is too large")


def _sentence(fault: str, advice: str) -> str:
    return f"{fault}; {advice}" if advice else fault


# --- writing --------------------------------------------------------------------------------------
@contextmanager
def whole_file(path: str | os.PathLike, ending: str = "") -> Iterator[Path]:
    """A place to write to that becomes ``path`` when the block ends without an error.

    A kill or an error leaves the old file, never a part of the new one; what kills left of earlier
    tries is removed. The folder is made. A link is followed: its target is replaced. If the block
    deletes the place, the old file stays.

    Args:
        path: the file.
        ending: of the place's name, for writers that read a format from it.

    Raises:
        FileExistsError: it is an input of the command.
        OSError: it cannot be written, say because the disk is full.
    """
    target = Path(os.path.realpath(path))
    refuse_input(target)
    lock = None
    if target.exists() and not target.is_file():  # /dev/null, a pipe
        partial = target
    else:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial, lock = _new_partial(target, ending)
        except OSError as error:
            raise cannot_write(path, error) from error
    try:
        yield partial
        if lock is not None and partial.exists():
            os.replace(partial, target)
    except OSError as error:
        about_it = str(error.filename) in ("None", str(partial))
        if error.errno in _WRITE_FAULTS and about_it:
            raise cannot_write(path, error) from error
        raise
    except Exception as error:  # safetensors and torch say it in their own way
        if shutil.disk_usage(target.parent).free < _FULL_BELOW:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise cannot_write(path, full) from error
        raise
    finally:
        if lock is not None:
            partial.unlink(missing_ok=True)
            os.close(lock)


def _new_partial(target: Path, ending: str) -> tuple[Path, int]:
    """A new empty file beside the target, and what locks it as long as it is written."""
    _remove_leftovers(target.parent)
    while True:
        partial = target.with_name(f".{target.name[:50]}.{os.urandom(8).hex()}.tmp{ending}")
        # O_EXCL: nothing that lies there already, a link say, is written to
        lock = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if fcntl:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
        if partial.exists():
            return partial, lock
        os.close(lock)  # another process took it for a leftover before it was locked


def _remove_leftovers(folder: Path) -> None:
    """Once per process: remove the temporary files of processes that were killed."""
    if folder in _tidied or not fcntl:
        return
    _tidied.add(folder)
    for name in os.listdir(folder):
        if _LEFTOVER.fullmatch(name):
            _remove_unlocked(folder / name)


def _remove_unlocked(partial: Path) -> None:
    """Remove a temporary file that no living process holds."""
    try:
        held = os.open(partial, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        with suppress(OSError):  # BlockingIOError: it is being written
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial.unlink(missing_ok=True)
    finally:
        os.close(held)


def cannot_write(path: str | os.PathLike, error: OSError, option: str = "") -> OSError:
    """The error of a file that the system does not let us write, with what to do."""
    advice = "free some space or choose" if error.errno in _FULL else "choose"
    where = f"{option}: {str(path)!r}" if option else repr(str(path))
    reason = error.strerror or error
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        above = next((str(one) for one in Path(path).parents if one.exists()), ".")
        if not os.path.isdir(above):
            reason = f"{above!r} is a file, not a folder"
    text = f"{where} cannot be written ({reason}); {advice} another place"
    return type(error)(text)


def make_folder(path: str | os.PathLike) -> Path:
    """Make a folder, and those above it, unless it is there.

    Raises:
        NotADirectoryError: it is a file.
        OSError: it cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        if folder.exists():
            fault = f"{str(folder)!r} is a file, where a folder is to be made; move it away"
            raise NotADirectoryError(fault) from error
        raise cannot_write(folder, error) from error
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def write_text(path: str | os.PathLike, text: str) -> None:
    r"""Write a text file, whole or not at all.

    Bytes of a file name that are no UTF-8 are written as ``\\udcff``, which JSON reads back.
    """
    with whole_file(path) as partial:
        partial.write_bytes(text.encode("utf-8", "backslashreplace"))


def append_lines(path: str | os.PathLike, values: Iterable[Any]) -> None:
    """Append JSON Lines, see :func:`plain`; they are with the system before this returns.

    Raises:
        FileExistsError: the file is an input of the command.
        OSError: it cannot be written.
    """
    lines = [json.dumps(plain(value), ensure_ascii=False, allow_nan=False) for value in values]
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    refuse_input(path)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                data = data if file.read(1) == b"\n" else b"\n" + data  # a kill left half a line
            file.write(data)
    except OSError as error:
        raise cannot_write(path, error) from error


def read_lines(path: str | os.PathLike) -> tuple[list[Any], int]:
    """Values of a file of :func:`append_lines`, and how many lines cannot be read.

    A kill leaves its last line half-written.
    """
    values, damaged = [], 0
    for line in Path(path).read_bytes().split(b"\n"):
        if line.strip():
            try:
                values.append(parse_json(line, str(path)))
            except ValueError:
                damaged += 1
    return values, damaged


def write_json(path: str | os.PathLike, value: Any, indent: int | None = 1) -> None:
    """Write a JSON file that people can read, whole or not at all; see :func:`plain`."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_csv(
    path: str | os.PathLike, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None
) -> None:
    """Write a table with a line of headings, whole or not at all.

    Args:
        path: the file.
        rows: cells by heading; what is ``None`` or missing is empty.
        columns: the headings, other keys are left out; ``None``: all keys, as they come up.
    """
    text = io.StringIO()
    names = list(dict.fromkeys(key for row in rows for key in row)) if columns is None else columns
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


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


def refuse_nameless(path: str | os.PathLike, option: str) -> None:
    """Refuse an output of which an unset variable of a shell has left nothing, or an ending.

    Args:
        path: of a file or a folder.
        option: of the command line that names it, for the error.

    Raises:
        ValueError: it is empty, or an ending alone (``.json``).
    """
    text = os.fspath(path)
    if not text.strip():
        raise ValueError(f"{option} is empty; name what to write, or leave it out")
    if os.path.basename(text).lower() in _OUTPUT_ENDINGS:
        raise ValueError(f"{option}: {text!r} is an ending without a name; name what to write")


def check_folder(path: str | os.PathLike, option: str) -> Path:
    """Before long work: make a folder that is to be written to, and see that it can be.

    Args:
        path: the folder.
        option: of the command line that names it, for the error.

    Raises:
        ValueError: it has no name.
        NotADirectoryError: it is a file.
        OSError: files cannot be written there.
    """
    refuse_nameless(path, option)
    folder = Path(path)
    if os.path.exists(folder) and not folder.is_dir():
        raise NotADirectoryError(f"{option}: {str(folder)!r} is a file; name a folder")
    return _probe(folder, folder, option)


def check_file(
    path: str | os.PathLike, option: str, marks: Iterable[str] = (), overwrite: bool = False
) -> Path:
    """Before long work: make the folder of a file that is to be written, and see that it can be.

    Args:
        path: the file.
        option: of the command line that names it, for the error.
        marks: what stands in every file that the command writes there; one that exists and lacks
            them is somebody else's.
        overwrite: replace that, too.

    Raises:
        FileExistsError: it is an input of the command, or somebody else's.
        IsADirectoryError: it is a folder.
        OSError: it cannot be written.
        ValueError: it has no name.
    """
    refuse_nameless(path, option)
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{option}: {str(target)!r} is a folder; name a file")
    refuse_input(target, option)
    if os.path.exists(target) and not target.is_file():  # /dev/null: nothing is put beside it
        if os.access(target, os.W_OK):
            return target
        raise cannot_write(target, PermissionError(errno.EACCES, os.strerror(errno.EACCES)), option)
    if marks and not overwrite and target.is_file() and target.stat().st_size:
        with target.open("rb") as file:
            content = file.read(1 << 20)
        if not all(mark.encode() in content for mark in marks):
            raise FileExistsError(
                f"{option}: {str(target)!r} exists and is no earlier result of this command; name "
                "another file, or replace it with --overwrite"
            )
    return _probe(target.parent, target, option)


def _probe(folder: Path, target: Path, option: str) -> Path:
    try:
        with whole_file(folder / "write_probe") as probe:
            probe.unlink()
    except OSError as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        raise cannot_write(target, cause, option) from error
    return target


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
