"""The one interface to language models, whatever they run on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

Message = dict[str, Any]


class ChatError(RuntimeError):
    """A model could not be asked; the message is one sentence for the user, without any key."""


@runtime_checkable
class ChatModel(Protocol):
    """Answers a conversation.

    Attributes:
        settings: what the answers depend on (model name, server, sampling), for provenance and for
            telling whether stored answers still count. JSON values; never a key.
    """

    settings: dict[str, Any]

    def chat(self, messages: list[Message], seed: int) -> str:
        """The answer to a conversation, as plain text without a thinking block.

        Args:
            messages: ``{"role": "system" | "user" | "assistant", "content": ...}``, in order. The
                content is a text, or a list of parts as OpenAI-style servers take them where a
                model reads images.
            seed: of the sampling; the same seed gives the same answer where the model allows it.

        Raises:
            ChatError: no answer could be had.
        """
        ...


class LazyChat:
    """A model that is built when it is first asked: stored answers need none.

    Args:
        settings: of the model.
        build: makes it.
    """

    def __init__(self, settings: dict[str, Any], build: Callable[[], ChatModel]) -> None:
        self.settings, self._build = settings, build
        self._model: ChatModel | None = None

    def chat(self, messages: list[Message], seed: int) -> str:
        """Ask it, see :class:`ChatModel`."""
        if self._model is None:
            self._model = self._build()
        return self._model.chat(messages, seed)
