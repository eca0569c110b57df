"""OpenAIChat against a real server: answers, failures, retries, and a key that never shows."""

import contextlib
import io
import logging
import traceback

import pytest

from negas.labels.generate import ChatError, OpenAIChat
from negas.labels.generate.openai_chat import public_url
from tests.helpers.chat_server import answer, chat_server, cut_off, error, late, raw

KEY = "sk-test-0123456789abcdef"
ASK = [{"role": "user", "content": "list things"}]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "NEGAS_LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)


def chat_to(server, waits=None, **options):
    waits = [] if waits is None else waits
    options = {"max_retries": 2, "timeout": 5, "api_key": KEY} | options
    return OpenAIChat("tiny", server.url, sleep=waits.append, **options)


def test_an_answer_and_what_was_sent():
    with chat_server("<think>hm</think>a list") as server:
        model = chat_to(server, temperature=0.5)
        assert model.chat(ASK, seed=7) == "a list"
    assert server.keys == [f"Bearer {KEY}"]
    assert server.requests == [
        {"model": "tiny", "messages": ASK, "temperature": 0.5, "seed": 7},
    ]
    assert model.settings == {"model": "tiny", "server": server.url, "temperature": 0.5}
    assert KEY not in repr(model) + str(model.settings)


def test_options_come_from_the_environment(monkeypatch):
    with chat_server("yes") as server:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("NEGAS_LLM_MODEL", "other")
        assert OpenAIChat().chat(ASK, 0) == "yes"
    assert server.requests[0]["model"] == "other" and server.keys == [f"Bearer {KEY}"]


def test_a_local_server_needs_no_key():
    with chat_server("yes") as server:
        assert OpenAIChat("tiny", server.url).chat(ASK, 0) == "yes"
    assert KEY not in str(server.keys)


@pytest.mark.parametrize(
    ("failure", "wait"),
    [
        (error(429, Retry_After="7"), 7.0),
        (error(429, Retry_After="0"), 0.0),
        (error(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), 0.0),
        (error(429), 1.0),
        (error(500), 1.0),
        (error(503), 1.0),
        (error(408), 1.0),
        (cut_off, 1.0),
        (raw("{ this is no json"), 1.0),
        (raw("<html>proxy</html>", kind="text/html"), 1.0),
        (raw("[]"), 1.0),
        (raw('{"choices": []}'), 1.0),
        (raw('{"choices": {"1": 2}}'), 1.0),
        (raw('{"choices": ' + "[" * 100_000), 1.0),
        (answer([{"type": "text", "text": "a list"}]), 1.0),
    ],
    ids="after now date 429 500 503 408 half garbage html list empty table deep parts".split(),
)
def test_passing_failures_are_tried_again(failure, wait):
    waits, lines = [], []
    with chat_server(failure, "fine") as server:
        assert chat_to(server, waits, notify=lines.append).chat(ASK, 0) == "fine"
    assert waits == [wait] and len(server.requests) == 2
    assert len(lines) == 1 and "trying again" in lines[0]


def test_back_off_grows_and_ends():
    waits = []
    with chat_server(error(500, "overloaded")) as server:
        with pytest.raises(ChatError, match=r"answered 500 \(.*overloaded.*, after 4 tries"):
            chat_to(server, waits, max_retries=3).chat(ASK, 0)
    assert waits == [1.0, 2.0, 4.0] and len(server.requests) == 4


def test_a_slow_server_is_a_time_out():
    with chat_server(late(1.0)) as server:
        with pytest.raises(ChatError, match="no whole answer .*, after 1 tries"):
            chat_to(server, timeout=0.2, max_retries=0).chat(ASK, 0)


def test_nobody_listens():
    with chat_server("x") as server:
        pass
    with pytest.raises(ChatError, match="the connection failed"):
        chat_to(server, max_retries=1).chat(ASK, 0)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (error(401, "bad key"), "answered 401 .*check the API key"),
        (error(404, "no such model"), "answered 404 .*check --model and --base-url"),
        (error(400, "temperature?"), "answered 400 .*check the options"),
        (error(429, "empty purse", code="insufficient_quota"), "429 .*check the plan"),
        (error(429, Retry_After="3600"), "asks to wait 3600 s; run the command again later"),
    ],
)
def test_lasting_failures_are_not(failure, message):
    waits = []
    with chat_server(failure) as server:
        with pytest.raises(ChatError, match=message):
            chat_to(server, waits).chat(ASK, 0)
    assert len(server.requests) == 1 and waits == []


def test_a_server_without_seeds():
    with chat_server(error(422, "unknown field: seed"), "fine") as server:
        model = chat_to(server)
        assert [model.chat(ASK, 3), model.chat(ASK, 4)] == ["fine", "fine"]
    assert ["seed" in body for body in server.requests] == [True, False, False]


def test_requests_per_minute_spaces_them_out():
    waits = []
    with chat_server("a") as server:
        model = chat_to(server, waits, requests_per_minute=2)
        for _ in range(3):
            model.chat(ASK, 0)
    # the clock does not move while a fake sleep "waits", so each wait reaches further
    assert len(waits) == 2 and 25 < waits[0] <= 30 and 55 < waits[1] <= 60


def test_the_key_never_shows(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    leaky = f"Incorrect key {KEY} in header Bearer {KEY}"
    out = io.StringIO()
    with chat_server(error(500, leaky), answer(f"your key is {KEY}"), error(401, leaky)) as server:
        model = chat_to(server, notify=lambda line: print(line, file=out))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            print(model.chat(ASK, 0))
            try:
                model.chat(ASK, 0)
            except ChatError:
                traceback.print_exc()
    text = out.getvalue() + caplog.text + repr(model)
    assert "your key is [key]" in text and "answered 500" in text and "answered 401" in text
    assert KEY not in text and KEY[3:] not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": None}, "no model is named; give --model"),
        ({"base_url": None, "api_key": None}, "no API key is known; set OPENAI_API_KEY"),
        ({"base_url": "ftp://u:secret@x/v1?k=1"}, "must start with http.*'ftp://x/v1'"),
        ({"base_url": "https://u:secret@x/v1"}, "must not hold a user or password"),
        ({"timeout": 0}, "timeout must be > 0"),
        ({"requests_per_minute": 0}, "requests_per_minute must be > 0"),
        ({"api_key": "sk-with space"}, "the API key holds spaces"),
    ],
)
def test_bad_options(options, message):
    given = {"model": "tiny", "base_url": "http://localhost/v1", "api_key": KEY} | options
    with pytest.raises(ValueError, match=message) as caught:
        OpenAIChat(**given)
    assert "secret" not in str(caught.value) and "space" not in str(caught.value).split("spaces")[0]


def test_public_url_drops_secrets():
    assert public_url("https://u:p@host:8000/v1/?token=x#y") == "https://host:8000/v1"
