"""Downloading a file: resumed where it was cut off, checked, in place as a whole or not at all.

The standard library does it: huggingface_hub resumes files of its own hub only, torch.hub resumes
nothing, and the releases lie on several servers.
"""

from __future__ import annotations

import errno
import os
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLError
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse

from tqdm import tqdm

from negas.files import cannot_write, file_sha256, parse_json, whole_file, write_json
from negas.files.locks import locked
from negas.text import shown, shown_text

_SECONDS = 30.0  # without a byte
_BLOCK = 1 << 20


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http, or away from the two."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, new: str):
        """The request for a new address."""
        before, after = urlparse(req.full_url).scheme, urlparse(new).scheme
        if before != after:
            raise ValueError(
                f"{req.full_url} sends on to {shown(new)}, from {before} to "
                f"{shown_text(after or 'nothing', 20)}, which is refused; take the file from its "
                "release page with a browser"
            )
        return super().redirect_request(req, fp, code, msg, headers, new)


@dataclass
class _Part:
    """What is there of a file.

    Attributes:
        address: where it is from.
        validator: the server's mark of the file's content, for ``If-Range``; empty: none, then it
            cannot be resumed.
        total: bytes of the whole file; ``None``: the server does not say.
    """

    address: str
    validator: str = ""
    total: int | None = None

    @classmethod
    def load(cls, path: Path, address: str) -> _Part:
        """What an earlier download left; of another address nothing."""
        try:
            found = parse_json(path.read_bytes(), str(path))
            part = cls(found["address"], str(found["validator"]), found["total"])
        except (OSError, ValueError, KeyError, TypeError):
            return cls(address)
        sound = part.total is None or type(part.total) is int
        return part if sound and part.address == address else cls(address)


def download(
    address: str,
    path: str | os.PathLike,
    sha256: str = "",
    check: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Fetch a file, unless it is there.

    Until it is whole and checked it lies beside its place under ``<name>.part``; a later call goes
    on from there if the server can and still has the same file.

    Args:
        address: http or https.
        path: where to put it.
        sha256: first hex digits of its SHA-256; empty: unknown.
        check: refuse a file with another; ``False``: say so and take it.
        say: takes the lines that tell a person what happens.

    Raises:
        ValueError: the address is none, its SHA-256 is another, or the server sends on to another
            scheme or in a circle.
        FileNotFoundError: the server has no such file.
        ConnectionError: no connection, it was cut, or the server answers with an error.
        OSError: the disk is full, or the folder cannot be written.
    """
    if urlparse(address).scheme not in ("http", "https"):
        raise ValueError(f"{shown(address)}: expected an address that starts with https://")
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder, where a file is to be put; move it")
    if target.is_file():
        _check_sha256(target, sha256, check, say, "move it away, or keep it with --no-check")
        say(f"{path} is there")
        return Path(path)
    with locked(target.parent / ".download.lock", f"a download writes to {str(target.parent)!r}"):
        part = target.with_name(f"{target.name}.part")
        about = target.with_name(f"{target.name}.part.json")
        known = _Part.load(about, address)
        if not (known.total is not None and _size(part) == known.total):
            _fetch(known, part, about, say)
        _check_sha256(
            part, sha256, check, say, "delete it to download it anew, or take it with --no-check"
        )
        with whole_file(target) as place:
            os.replace(part, place)
        about.unlink(missing_ok=True)
    say(f"written to {path}")
    return Path(path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _check_sha256(
    path: Path, wanted: str, check: bool, say: Callable[[str], None], remedy: str
) -> None:
    if not wanted:
        return
    found = file_sha256(path)[: len(wanted)]
    if found == wanted:
        return
    fault = (
        f"{path}: its SHA-256 begins with {found}, its release says {wanted}: it is damaged, or "
        "not the released file"
    )
    if check:
        raise ValueError(f"{fault}; {remedy}")
    say(f"warning: {fault}; taken all the same")


@contextmanager
def _said_of(address: str, part: Path) -> Iterator[None]:
    """A block whose errors of the network become sentences."""
    try:
        yield
    except HTTPError as error:
        if error.code in (404, 410):
            raise FileNotFoundError(
                f"{address}: the server has no such file ({error.code}); data/README.md names the "
                "release pages"
            ) from error
        if error.code < 400:  # a redirect that urllib does not follow
            raise ValueError(
                f"{address}: refused ({shown_text(error.reason)}); take the file from its release "
                "page with a browser"
            ) from error
        raise ConnectionError(
            f"{address}: the server answers {error.code} ({shown_text(error.reason)}); try again "
            "later"
        ) from error
    except (URLError, HTTPException, SSLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        rest = f"check the network, or get the file elsewhere and copy it to {part.with_suffix('')}"
        if size := _size(part):
            rest = f"{_megabytes(size)} are kept; run it again to go on"
        name = shown_text(reason) or type(reason).__name__
        raise ConnectionError(f"{address}: the connection failed ({name}); {rest}") from error


def _fetch(known: _Part, part: Path, about: Path, say: Callable[[str], None]) -> None:
    """Bring what is missing of a file."""
    with _said_of(known.address, part):
        answer = _ask(known, _size(part) if known.validator else 0)
        with answer:
            start = _start(answer, known, _size(part))
            if start is None:  # not the bytes that were asked for
                answer.close()
                known.validator, start = "", 0
                answer = _ask(known, 0)
            if start == 0:
                if _size(part):
                    say("starting anew: the server has another file by now, or cannot resume")
                    part.unlink()
                known.validator, known.total = _validator(answer), _length(answer)
            _receive(answer, known, part, about, start, say)
    size = _size(part)
    if known.total is not None and size != known.total:
        if size > known.total:
            part.unlink()
            raise ConnectionError(f"{known.address}: more came than the server said; run it again")
        raise ConnectionError(
            f"{known.address}: the connection ended after {_megabytes(size)} of "
            f"{_megabytes(known.total)}; run it again to go on"
        )


def _ask(known: _Part, start: int) -> HTTPResponse:
    headers = {"User-Agent": "negas", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": known.validator}
    opener = urllib.request.build_opener(_SameScheme)
    request = urllib.request.Request(known.address, headers=headers)
    try:
        return opener.open(request, timeout=_SECONDS)
    except HTTPError as error:
        if error.code == 416 and start:  # the file is shorter than what is there
            error.close()
            return _ask(known, 0)
        raise


def _start(answer: HTTPResponse, known: _Part, size: int) -> int | None:
    """Where in the file the answer begins; ``None``: it does not fit what is there."""
    if answer.status != 206:
        return 0
    wanted = f"bytes {size}-"
    given = answer.headers.get("Content-Range", "")
    total = given.rpartition("/")[2]
    same = known.total is None or total in ("*", str(known.total))
    return size if given.startswith(wanted) and same else None


def _validator(answer: HTTPResponse) -> str:
    """A strong ETag, or the date: what ``If-Range`` may name."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")


def _length(answer: HTTPResponse) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _receive(
    answer: HTTPResponse,
    known: _Part,
    part: Path,
    about: Path,
    start: int,
    say: Callable[[str], None],
) -> None:
    size = "of unknown size" if known.total is None else _megabytes(known.total)
    again = f", going on at {_megabytes(start)}" if start else ""
    say(f"downloading {known.address} ({size}{again})")
    free = shutil.disk_usage(part.parent).free
    if known.total is not None and known.total - start > free:
        raise cannot_write(part, OSError(errno.ENOSPC, f"{_megabytes(free)} are free on the disk"))
    if not start:
        write_json(about, asdict(known))
    bar = tqdm(
        total=known.total,
        initial=start,
        desc=part.stem,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=None,  # where standard error is no terminal
    )
    with bar, _open(part, "ab" if start else "wb") as file:
        while block := answer.read(_BLOCK):
            try:
                file.write(block)
            except OSError as error:
                raise cannot_write(part, error) from error
            bar.update(len(block))


def _open(path: Path, mode: str) -> Any:
    try:
        return open(path, mode, buffering=0)
    except OSError as error:
        raise cannot_write(path, error) from error


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
