"""What of a run reaches the terminal: its numbers and its warnings. The log file holds everything.

MMEngine logs the environment, the whole config and tables of hooks, hundreds of lines, and
libraries print beside its log.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.runner import Runner

# Starts of messages that go to the log file alone. At the level DEBUG the terminal has them, too.
_FILE_ONLY = re.compile(
    r"\s*(?:-{60}\s+System environment:|Config:\n|Hooks will be executed in|"
    r"Distributed training is not used, all SyncBatchNorm|paramwise_options -- |"
    # of validations; the last line, of all numbers, follows
    r"Evaluating bbox|bbox_mAP_copypaste|Exp name: |"
    # said again when the weights are in place
    r"Loads checkpoint by|Not in the checkpoint, as it should be|"
    # MMEngine about its own checkpoint hook
    r'"FileClient" will be deprecated|"HardDiskBackend" is the alias)'
)
_LONGEST = 1000  # characters of the line of all numbers of a test; tables follow
# What pycocotools and MMEngine print, not log.
_PRINTED = re.compile(
    r"loading annotations into memory|Done \(t=|creating index\.\.\.|index created!|"
    r"Loading and preparing results|DONE \(t=|Running per image evaluation|"
    r"Evaluate annotation type|Accumulating evaluation results| Average (?:Precision|Recall)  |"
    r"Loads checkpoint by "
)


class _Console(logging.Filter):
    """Whether a message is for the terminal."""

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "printed"):
            return False
        message = record.getMessage()
        of_all_numbers = message.startswith("Epoch(test)") and len(message) > _LONGEST
        return record.levelno >= logging.ERROR or not (of_all_numbers or _FILE_ONLY.match(message))


class _Printed:
    """A text stream that sends what libraries print to the log; all else is the stream's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._taken = False

    def write(self, text: str) -> int:
        # print() writes the end of the line apart
        ends, self._taken = self._taken and text == "\n", bool(_PRINTED.match(text))
        if self._taken:
            MMLogger.get_current_instance().info(text, extra=dict(printed=True))
        return len(text) if ends or self._taken else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class QuietRunner(Runner):
    """MMEngine's runner, whose log on the terminal is short unless ``log_level`` is DEBUG."""

    def build_logger(self, log_level: int | str = "INFO", *args: Any, **options: Any) -> MMLogger:
        """As in MMEngine; the file is as it was."""
        logger = super().build_logger(log_level, *args, **options)
        for handler in logger.handlers:
            to_file = isinstance(handler, logging.FileHandler)
            if not to_file and handler.level > logging.DEBUG:
                handler.addFilter(_Console())
        return logger


@contextlib.contextmanager
def short_console() -> Iterator[None]:
    """A block in which libraries print to the log, and one process warns for all."""
    show = warnings.showwarning

    @functools.wraps(show)
    def show_once(*args: Any, **options: Any) -> None:
        if is_main_process():
            show(*args, **options)

    with warnings.catch_warnings(), contextlib.redirect_stdout(_Printed(sys.stdout)):
        warnings.showwarning = show_once
        yield
