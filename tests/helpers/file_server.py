"""A real HTTP server on localhost that serves one file, with or without ranges, whole or cut."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import patch


@dataclass
class FileServer:
    """What the server holds and does, and what it was asked.

    Attributes:
        address: of the file.
        data: its content.
        etag: its mark; empty: none is sent.
        ranges: whether parts can be asked for.
        cut: bytes of an answer after which the connection is closed.
        length: whether it says how long an answer is.
        status: of all answers, in place of 200 and 206.
        location: where it sends on to.
        asked: headers of all requests.
    """

    address: str
    data: bytes
    etag: str = '"one"'
    ranges: bool = True
    cut: int | None = None
    length: bool = True
    status: int | None = None
    location: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    def reply(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request as RFC 9110 says."""
        self.asked.append(dict(handler.headers))
        body, status, headers = self.data, 200, {}
        given = handler.headers.get("Range")
        if given and self.ranges and handler.headers.get("If-Range") == self.etag:
            start = int(given.removeprefix("bytes=").removesuffix("-"))
            status, body = (206, body[start:]) if start < len(body) else (416, b"")
            headers["Content-Range"] = f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"
        if self.location:
            status, body, headers["Location"] = 302, b"", self.location
        handler.send_response(self.status or status)
        if self.etag:
            headers["ETag"] = self.etag
        if self.length:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[: self.cut])
        handler.close_connection = True


@contextlib.contextmanager
def file_server(data: bytes) -> Iterator[FileServer]:
    """A running server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.reply(self)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = FileServer(f"http://127.0.0.1:{server.server_address[1]}/file.pth", data)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    direct = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    try:
        with patch.dict(os.environ, direct):
            yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
