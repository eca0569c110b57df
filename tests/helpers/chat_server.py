"""A real HTTP server on localhost that speaks /v1/chat/completions, and fails on demand."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import patch

Reply = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class ChatServer:
    """What the server was asked, and what it will do.

    Attributes:
        url: for ``base_url``.
        replies: one per request, in order; the last one is repeated. Texts are answers of the
            model, functions write the response themselves.
        requests: the JSON bodies that came, in order.
        keys: the Authorization headers that came.
    """

    url: str
    replies: list[str | Reply]
    requests: list[dict] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


@contextlib.contextmanager
def chat_server(*replies: str | Reply) -> Iterator[ChatServer]:
    """A running server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == "/v1/chat/completions"
            state.requests.append(body)
            state.keys.append(self.headers.get("Authorization"))
            reply = state.replies[min(len(state.requests), len(state.replies)) - 1]
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                (answer(reply) if isinstance(reply, str) else reply)(self)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = ChatServer(f"http://127.0.0.1:{server.server_address[1]}/v1", list(replies))
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


def answer(text: str | None, finish: str = "stop") -> Reply:
    """The model says this."""
    message = {"role": "assistant", "content": text}
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
    }
    return raw(json.dumps(body))


def raw(body: str, status: int = 200, kind: str = "application/json", **headers: str) -> Reply:
    """Any response; header names with underscores for hyphens."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        data = body.encode()
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return write


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    """An error as OpenAI's server words it."""
    body = json.dumps({"error": {"message": message, "type": "x", "code": code}})
    return raw(body, status, **headers)


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    """Promise a long body and close after half a sentence."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"id": "1", "choices": [{"mess')
    handler.close_connection = True


def late(seconds: float) -> Reply:
    """Say nothing until the client has lost patience."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return write


def names_reply(*names: str) -> str:
    """An answer that is a JSON list."""
    return json.dumps(list(names))
