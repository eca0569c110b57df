"""Models by name: from a folder, the hub's cache or the hub, without waiting for it in vain."""

from __future__ import annotations

import functools
import os
import threading
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

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
