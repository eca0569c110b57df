"""A server cannot keep a run waiting, or fill its memory, however it answers."""

import asyncio
import time

import pytest

from negas.labels.generate import ChatError
from negas.labels.generate.openai_chat import OpenAIChat
from tests.helpers.chat_server import chat_server

pytest.importorskip("openai")
ASK = [{"role": "user", "content": "names"}]


def slowly(head, part, pause):
    """Writes ``head``, and ``part`` again and again, for ten seconds or until nobody listens."""

    def reply(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + head)
        for _ in range(int(10 / pause)):
            handler.wfile.write(part)
            handler.wfile.flush()
            time.sleep(pause)

    return reply


def endless(status):
    """A body of up to 64 MB."""

    def reply(handler):
        handler.wfile.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n\r\n" % status)
        for _ in range(64):
            handler.wfile.write(b" " * (1 << 20))
        handler.server.sent_all = True

    return reply


@pytest.mark.parametrize("head", [b"\r\n", b"X-Drip: "], ids=["body", "header"])
def test_the_time_of_a_whole_request_is_bounded(head):
    with chat_server(slowly(head, b" ", 0.05)) as server:
        chat = OpenAIChat("m", server.url, "k", timeout=0.4, max_retries=0)
        start = time.monotonic()
        with pytest.raises(ChatError, match=r"no whole answer within 0\.4 s"):
            chat.chat(ASK, 0)
        assert time.monotonic() - start < 3


@pytest.mark.parametrize("status", [200, 500])
def test_the_length_of_an_answer_is_bounded(status):
    with chat_server(endless(status)) as server:
        chat = OpenAIChat("m", server.url, "k", timeout=30, max_retries=3)
        with pytest.raises(ChatError, match="longer than 16 MB"):
            chat.chat(ASK, 0)
        assert len(server.requests) == 1  # nothing better would come of another try


def test_a_chat_works_where_a_loop_is_running():
    async def notebook(chat):
        return chat.chat(ASK, 0)

    with chat_server("dog") as server:
        assert asyncio.run(notebook(OpenAIChat("m", server.url, "k"))) == "dog"


@pytest.mark.parametrize("timeout", [float("nan"), float("inf"), 0, -1])
def test_a_time_that_cannot_be_is_refused(timeout):
    with pytest.raises(ValueError, match="timeout must be > 0"):
        OpenAIChat("m", "http://localhost/v1", "k", timeout=timeout)


def test_escapes_in_a_refusal_are_not_passed_on():
    def refuse(handler):
        body = b'{"error": {"message": "bad \\u001b[31mRED"}}'
        handler.send_response(401)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with chat_server(refuse) as server:
        with pytest.raises(ChatError, match=r"bad \\x1b\[31mRED"):
            OpenAIChat("m", server.url, "k").chat(ASK, 0)
