"""Bad input becomes one sentence in the page, and the rest of it stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from negas.cli import sentence_of

from ..html import problem

_EXPECTED = (ValueError, OSError)


def told(outputs: int) -> Callable[[Callable], Callable]:
    """A handler whose last output takes the sentence.

    Args:
        outputs: how many it has.
    """

    def decorate(handler: Callable) -> Callable:
        @wraps(handler)
        def handled(*args: Any) -> Any:
            try:
                return handler(*args)
            except _EXPECTED as error:
                left = [gr.skip()] * (outputs - 1)
                said = problem(sentence_of(error))
                return [*left, said] if left else said

        return handled

    return decorate
