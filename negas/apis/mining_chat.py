"""The language model of a mining run: its settings, and itself when it is first asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from negas.apis.mining_options import MiningOptions
from negas.labels.generate import ChatModel, LocalChat, OpenAIChat
from negas.labels.generate.openai_chat import public_url

Notify = Callable[[str], None]


def chat_settings(options: MiningOptions) -> dict[str, Any]:
    """What a model's answers depend on, known without loading or asking it. No key in it."""
    given = {key: value for key, value in options.chat.items() if value is not None}
    if options.source == "llm":
        server = given.get("base_url") or os.environ.get("OPENAI_BASE_URL")
        given["model"] = given.get("model") or os.environ.get("NEGAS_LLM_MODEL")
        given["server"] = public_url(server) if server else "https://api.openai.com/v1"
    wanted = ("model", "server", "temperature", "top_p", "max_new_tokens", "thinking")
    return {key: given[key] for key in wanted if given.get(key) is not None}


def model_key(options: MiningOptions) -> dict[str, Any]:
    """The same without the server: a port, say, changes more often than what a model answers."""
    return {key: value for key, value in chat_settings(options).items() if key != "server"}


def build_chat(options: MiningOptions, notify: Notify) -> ChatModel:
    """The model that answers, connected or loaded.

    Raises:
        ValueError: it cannot be built from these options.
    """
    given = {key: value for key, value in options.chat.items() if value is not None}
    if options.source == "local":
        return LocalChat(**given)
    return OpenAIChat(**given, api_key=options.api_key, notify=notify)


class LazyChat:
    """A model that is built when it is first asked: stored answers need none."""

    def __init__(self, options: MiningOptions, notify: Notify) -> None:
        self.settings = chat_settings(options)
        self._build = lambda: build_chat(options, notify)
        self._model: ChatModel | None = None

    def chat(self, messages: list[dict[str, Any]], seed: int) -> str:
        """Ask it (see :class:`~negas.labels.generate.chat.ChatModel`)."""
        if self._model is None:
            self._model = self._build()
        return self._model.chat(messages, seed)
