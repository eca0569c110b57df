"""Models by name: from a folder, the hub's cache or the hub, without waiting for it in vain."""

from __future__ import annotations

import functools
import os
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import HTTPError

from torch import nn

from negas.compat.checkpoint import first_not_finite
from negas.text import shown_text

_SECONDS = 8.0


def without_waiting(name: str) -> str:
    """The name, before ``from_pretrained(name)``; switches the hub off if it does not answer.

    Its client would try each file of a model again and again, for minutes. What is in its cache is
    found all the same.
    """
    from huggingface_hub import constants

    if Path(name).is_dir() or constants.HF_HUB_OFFLINE:
        return name
    if not _answers(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
        from transformers.utils import hub

        if hasattr(hub, "_is_offline_mode"):  # transformers 4 has read it at its import
            hub._is_offline_mode = True
    return name


@functools.cache
def _answers(address: str) -> bool:
    """Whether a server answers within some seconds, whatever it says."""
    found = []

    def ask() -> None:
        request = urllib.request.Request(address, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):
                found.append(True)
        except HTTPError:
            found.append(True)
        except (OSError, ValueError):
            pass

    # Of its own: looking up a name has no timeout.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_SECONDS)
    return bool(found)


def how_to_get(name: str) -> str:
    """What to do about a model that cannot be loaded, half a sentence."""
    return (
        "give a local folder in transformers' format (config.json, tokenizer files, "
        "model.safetensors), or a hub name that can be reached or is cached; "
        f"`hf download {os.fspath(name)} --local-dir FOLDER` makes such a folder on a machine with "
        "a network"
    )


@contextmanager
def loading(what: str, advice: str) -> Iterator[None]:
    """A block in which transformers loads a model: without its tables, and with one sentence.

    Args:
        what: cannot be done if it fails, the start of the error.
        advice: what to do then, half a sentence.

    Raises:
        ValueError: whatever is wrong with the model's files.
    """
    from safetensors import SafetensorError

    faults = (OSError, ValueError, RuntimeError, ImportError, SafetensorError, UnpicklingError)
    try:
        with quiet_transformers():
            yield
    except faults as error:
        raise ValueError(f"{what} ({why(error)}); {advice}") from error


def load_whole(kind: Any, name: str, unused: tuple[str, ...] = (), **options: Any) -> nn.Module:
    """A model that is what its files say: transformers draws at random what they lack.

    Args:
        kind: class with ``from_pretrained``.
        name: folder or hub name.
        unused: parts of the names of weights that the files may lack.
        options: of ``from_pretrained``.

    Raises:
        ValueError: weights are missing, NaN or infinite; half a sentence.
    """
    model, report = kind.from_pretrained(name, output_loading_info=True, **options)
    spare = ("position_ids", *unused)
    missing = [key for key in report["missing_keys"] if not any(part in key for part in spare)]
    if missing:
        raise ValueError(f"it lacks {len(missing)} of the model's weights, such as {min(missing)}")
    if found := first_not_finite(model.state_dict()):
        raise ValueError(f"{found[1]} of its weights are NaN or infinite, such as {found[0]}")
    return model


def why(error: Exception) -> str:
    """The reason of a model that cannot be loaded, in one line."""
    text = str(error).strip()
    if "ignore_mismatched_sizes" in text:
        return "the weights have other shapes than config.json asks for"
    if isinstance(error, UnpicklingError) or "weights_only" in text:
        return "pytorch_model.bin is damaged or holds more than tensors"
    return shown_text((text or type(error).__name__).splitlines()[0].rstrip("."), 200)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No tables of unused weights, no bars of weights being read; downloads show theirs.

    Errors are still raised.
    """
    from huggingface_hub.utils import enable_progress_bars
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if bars:
        logging.disable_progress_bar()
        enable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
