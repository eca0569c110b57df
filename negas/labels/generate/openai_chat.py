"""Any OpenAI-compatible server (OpenAI, vLLM, Ollama, llama.cpp, ...) as a chat model."""

from __future__ import annotations

import asyncio
import email.utils
import functools
import math
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from negas.text import read_text, shown_text

from .chat import ChatError, Message
from .parse import strip_thinking

_LONGEST_WAIT = 120.0  # seconds; a server that asks for more is better asked another day
_LONGEST_BODY = 16 << 20  # bytes
_DETAIL = 200  # characters of a server's own words in an error


def read_key(file: str | os.PathLike) -> str:
    """The key of a server, from a file.

    Raises:
        ValueError: the file is not text.
        FileNotFoundError: it cannot be read.
    """
    where = f"the key file {str(file)!r}"
    try:
        return read_text(file, where).strip()
    except OSError as error:
        raise FileNotFoundError(
            f"{where} cannot be read ({error.strerror}); check --api-key-file"
        ) from None


class OpenAIChat:
    """Chat through the official ``openai`` client, with retries and a rate limit.

    Time-outs, lost connections, malformed bodies and the statuses 408, 409, 429 and 5xx are tried
    again after 1, 2, 4, ... seconds (60 at most), or after what ``Retry-After`` asks for. The key
    is held by the client alone: it is cut out of errors and answers and is in no setting.

    Args:
        model: name of the model; default: environment ``NEGAS_LLM_MODEL``.
        base_url: ``http(s)://host/v1``; default: ``OPENAI_BASE_URL``, then OpenAI's own server.
        api_key: default: ``OPENAI_API_KEY``; servers given by a URL may need none.
        temperature: None leaves it to the server.
        top_p: None leaves it to the server.
        timeout: seconds one request may take, from the first byte to the last.
        max_retries: further tries after the first.
        requests_per_minute: at most so many requests start in a minute, retries counted.
        sleep: how to wait (for tests).
        notify: told each wait in one line.

    Raises:
        ValueError: no model, no key, or an option out of range.
        ModuleNotFoundError: the extra ``llm`` is not installed.
    """

    def __init__(
        self,
        model: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        temperature: float | None = None,
        top_p: float | None = None,
        timeout: float = 120.0,
        max_retries: int = 5,
        requests_per_minute: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        notify: Callable[[str], None] = lambda line: None,
    ) -> None:
        import openai

        model = model or os.environ.get("NEGAS_LLM_MODEL")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        key = (api_key or os.environ.get("OPENAI_API_KEY") or "").strip()
        if not model:
            raise ValueError("no model is named; give --model or set NEGAS_LLM_MODEL")
        shown = public_url(base_url or "")
        if base_url is not None and not shown.startswith(("http://", "https://")):
            raise ValueError(f"the base URL must start with http:// or https://, got {shown!r}")
        if base_url is not None and "@" in urlsplit(base_url).netloc:
            raise ValueError(
                "the base URL must not hold a user or password (they would replace the key); give "
                "the key in OPENAI_API_KEY or --api-key-file"
            )
        if not key and base_url is None:
            raise ValueError(
                "no API key is known; set OPENAI_API_KEY, give --api-key-file, or name a server "
                "that needs none with --base-url"
            )
        if not key.isascii() or any(not c.isprintable() or c.isspace() for c in key):
            raise ValueError("the API key holds spaces or unprintable characters; check its source")
        if not 0 < timeout < math.inf or max_retries < 0:
            raise ValueError(
                f"timeout must be > 0 and max_retries >= 0, got {timeout} and {max_retries}"
            )
        if requests_per_minute is not None and not 0 < requests_per_minute < math.inf:
            raise ValueError(f"requests_per_minute must be > 0, got {requests_per_minute}")
        self._connect = functools.partial(
            openai.AsyncOpenAI, api_key=key or "none", base_url=base_url, max_retries=0
        )
        self._timeout = timeout
        self._key = key
        self._sampling = {"temperature": temperature, "top_p": top_p}
        self._sampling = {name: v for name, v in self._sampling.items() if v is not None}
        self._with_seed = True
        self.model, self.max_retries = model, max_retries
        self.server = public_url(str(self._connect().base_url))
        self.settings: dict[str, Any] = {"model": model, "server": self.server, **self._sampling}
        self._interval = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next_start = 0.0
        self._sleep, self._notify = sleep, notify

    def __repr__(self) -> str:
        """Model and server, nothing secret."""
        return f"OpenAIChat(model={self.model!r}, server={self.server!r})"

    def chat(self, messages: list[Message], seed: int) -> str:
        """The answer of the server (see :class:`~negas.labels.generate.chat.ChatModel`).

        Raises:
            ChatError: refused, or still failing after all retries.
        """
        for attempt in range(self.max_retries + 1):
            self._pace()
            try:
                return self._redact(strip_thinking(self._ask(messages, seed)))
            except _Again as again:
                problem, wait = again.problem, again.wait
            if attempt == self.max_retries:
                break
            wait = min(2.0**attempt, 60.0) if wait is None else wait
            if wait > _LONGEST_WAIT:
                raise ChatError(
                    f"{self.server}: {problem}, and asks to wait {wait:.0f} s; run the command "
                    f"again later"
                )
            self._notify(f"{problem}; trying again in {wait:.0f} s")
            self._sleep(wait)
        raise ChatError(
            f"{self.server}: {problem}, after {self.max_retries + 1} tries; check the server or "
            f"run the command again later"
        )

    def _pace(self) -> None:
        now = time.monotonic()
        if now < self._next_start:
            self._sleep(self._next_start - now)
        self._next_start = max(now, self._next_start) + self._interval

    def _ask(self, messages: list[Message], seed: int) -> str:
        """One request. No exception of the client leaves it: its text could hold the key."""
        import openai

        options = {"seed": seed} if self._with_seed else {}
        try:
            answer = _run(self._request(messages, options))
        except (asyncio.TimeoutError, openai.APITimeoutError):
            raise _Again(f"no whole answer within {self._timeout:g} s") from None
        except _TooLong:
            raise self._too_long() from None
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, _TooLong):
                raise self._too_long() from None
            cause = type(error.__cause__ or error).__name__
            raise _Again(f"the connection failed ({cause})") from None
        except openai.APIStatusError as error:
            if options and error.status_code in (400, 422) and "seed" in str(error):
                self._with_seed = False  # some servers refuse fields they do not know
                raise _Again("the server takes no seed", wait=0.0) from None
            problem, wait = self._status_problem(error)
            if _is_final(error):
                raise ChatError(f"{self.server}: {problem}; {_advice(error.status_code)}") from None
            raise _Again(problem, wait) from None
        except (openai.OpenAIError, RecursionError, ValueError, TypeError, AttributeError):
            raise _Again("the body of the answer is malformed") from None
        try:
            text = answer.choices[0].message.content
        except (AttributeError, LookupError, TypeError):
            raise _Again("the answer is no chat completion") from None
        if not isinstance(text, str | None):
            raise _Again("the answer is no chat completion")
        return text or ""  # a refusal comes without content

    async def _request(self, messages: list[Message], options: dict[str, Any]) -> Any:
        """One request, in bounded time and memory: the client's own time-outs are per read."""
        import openai

        # images and words go to the server that was named, and to no other that it points to
        web = openai.DefaultAsyncHttpxClient(
            event_hooks={"response": [_bound]}, follow_redirects=False
        )
        async with self._connect(timeout=self._timeout, http_client=web) as client:
            asked = client.chat.completions.create(
                model=self.model, messages=messages, **self._sampling, **options
            )
            return await asyncio.wait_for(asked, self._timeout)

    def _too_long(self) -> ChatError:
        limit = f"{_LONGEST_BODY >> 20} MB"
        return ChatError(f"{self.server}: an answer is longer than {limit}; check --base-url")

    def _status_problem(self, error: Any) -> tuple[str, float | None]:
        said = re.sub(r"^Error code: \d+ - ", "", str(error.message))
        detail = shown_text(" ".join(self._redact(said).split()), _DETAIL)
        wait = _retry_after(error.response.headers.get("retry-after"))
        return f"the server answered {error.status_code} ({detail})", wait

    def _redact(self, text: str) -> str:
        if self._key:
            text = text.replace(self._key, "[key]")
        return re.sub(r"\b(sk-|Bearer\s+)[\w*.-]{8,}", "[key]", text)


class _Again(Exception):
    """Try once more, after ``wait`` seconds (None: the usual back-off)."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.problem, self.wait = problem, wait


class _TooLong(Exception):
    """A body over the limit."""


async def _bound(response: Any) -> None:
    """Stop reading a body that is too long, whatever its status."""
    read = response.aiter_bytes

    async def bounded(*args: Any) -> AsyncIterator[bytes]:
        size = 0
        async for part in read(*args):
            size += len(part)
            if size > _LONGEST_BODY:
                raise _TooLong
            yield part

    response.aiter_bytes = bounded


def _run(request: Any) -> Any:
    """The result of a coroutine, also where a loop is running, as in notebooks."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(request)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, request).result()


def public_url(url: str) -> str:
    """A URL without user, password, query and fragment: those may be secrets."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError("the base URL is malformed; expected http(s)://host/v1") from error
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def _is_final(error: Any) -> bool:
    """Whether trying again is pointless."""
    if getattr(error, "code", None) == "insufficient_quota":
        return True
    return error.status_code not in (408, 409, 429) and error.status_code < 500


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return "nothing is sent to where it points; check --base-url"
    if status in (401, 403):
        return "check the API key (OPENAI_API_KEY or --api-key-file)"
    if status == 404:
        return "check --model and --base-url (most servers want a URL that ends in /v1)"
    if status == 429:
        return "check the plan and billing of the account"
    return "check the options of the model"


def _retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date), None if it says nothing."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())
