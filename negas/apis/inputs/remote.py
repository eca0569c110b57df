"""Pictures from web servers, and frames of cameras and of network streams."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import cv2
import numpy as np

WEB, STREAMS = ("http", "https"), ("rtsp", "rtsps")
MAX_BYTES = 64 * 2**20
_TIMEOUT = 30  # seconds without a byte


def scheme_of(text: str) -> str:
    """``http`` of an address, in lower case; empty if it is none."""
    head, separator, _ = text.partition("://")
    return head.lower() if separator and head.isalnum() else ""


class _WebRedirects(urllib.request.HTTPRedirectHandler):
    """Python's own would follow a server to ftp as well."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # noqa: D102
        if scheme_of(newurl) not in WEB:
            raise ValueError(f"it leads to {newurl[:80]!r}, which is no http or https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Knows no other scheme: neither files nor ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _WebRedirects(),
    ):
        opener.add_handler(handler)
    return opener


def download(url: str, limit: int = MAX_BYTES) -> bytes:
    """What lies at an address.

    Args:
        url: http or https.
        limit: most bytes.

    Raises:
        OSError: the server cannot be reached, or says no.
        ValueError: it is larger, the address is none, or leads to another scheme.
    """
    if scheme_of(url) not in WEB or not urlsplit(url).hostname:
        raise ValueError("it is no http or https address")
    request = urllib.request.Request(url, headers={"User-Agent": "negas"})
    try:
        with _opener().open(request, timeout=_TIMEOUT) as answer:
            told = answer.headers.get("Content-Length", "")
            too_long = told.isdigit() and int(told) > limit
            data = b"" if too_long else answer.read(limit + 1)
            if told.isdigit() and not too_long and len(data) < min(int(told), limit + 1):
                raise ValueError("the server sent less than it announced")
    except urllib.error.HTTPError as error:
        raise OSError(f"the server answers {error.code} ({error.reason})") from error
    except (urllib.error.URLError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise OSError(f"it cannot be fetched ({reason})") from error
    if too_long or len(data) > limit:
        raise ValueError(f"it is larger than {limit / 2**20:g} MiB; download it first")
    return data


def live_frames(source: int | str) -> Iterator[tuple[np.ndarray, float]]:
    """Frames [H, W, 3] (BGR) as they come, with frames per second, until the source ends.

    Args:
        source: number of a camera, or the address of an RTSP stream.

    Raises:
        ValueError: it gives no frame.
    """
    video = cv2.VideoCapture(source)
    try:
        fps, count = video.get(cv2.CAP_PROP_FPS) or 25.0, 0
        while True:
            read, pixels = video.read()
            if not read:
                break
            count += 1
            yield pixels, fps
        if not count:
            raise ValueError("no frame comes; is it there, and does no other program use it?")
    finally:
        video.release()
