"""The captioner of ANTS in an image-level OOD run: a server, a local model, or a list of words."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from negas.image_level.captions import CAPTION_PROMPT, ImageCaptions, NearestNames, SimilarLabels
from negas.image_level.mllm import MAX_SIDE, LocalVisionChat
from negas.labels.candidates import FileCandidates
from negas.labels.generate import ChatModel, OpenAIChat
from negas.labels.mining.run import read_key

from .data import Features, SetFeatures

_KEYS = {
    "names": {"words", "sentence", "template"},
    "server": {"model", "base_url", "api_key_file", "temperature", "top_p", "timeout"}
    | {"max_retries", "requests_per_minute"},
    "local": {"model", "temperature", "top_p", "max_new_tokens", "dtype"},
}
_ASKING = {"prompt", "max_side", "seed"}  # of those that are asked, not looked up
Caption = Callable[[list[int]], list[str]]


class LazyVisionChat:
    """A local model that is loaded when it is first asked: cached answers need none."""

    def __init__(self, model: str, **options: Any) -> None:
        self.settings = {"model": model, **{k: v for k, v in options.items() if k != "device"}}
        self._build = lambda: LocalVisionChat(model, **options)
        self._model: ChatModel | None = None

    def chat(self, messages: list[dict[str, Any]], seed: int) -> str:
        """Ask it (see :class:`~negas.labels.generate.chat.ChatModel`)."""
        if self._model is None:
            self._model = self._build()
        return self._model.chat(messages, seed)


class RunCaptions:
    """Captions of a run's images and look-alikes of its classes.

    Args:
        settings: ``type`` and its options, as in a preset.
        features: of the run.
        cache: folder for answers.
        device: for a local model.

    Raises:
        FileNotFoundError: the list of words or the key file does not exist.
        ValueError: an option that is unknown or missing.
    """

    def __init__(
        self, settings: dict[str, Any], features: Features, cache: str, device: str = "cpu"
    ) -> None:
        self._features = features
        given = {k: v for k, v in settings.items() if k != "type" and v is not None}
        self._names: NearestNames | None = None
        if settings["type"] == "names":
            words = FileCandidates(given["words"]).raw_names
            template = given.get("template", "clip")
            self._names = NearestNames(
                words,
                lambda texts: features.encoder.text(texts, template, truncate=True),
                given.get("sentence", "a photo of {}"),
            )
            self.similar = self._names.similar
            self.settings = {"type": "names", **given, "num_words": len(words)}
            return
        asking = {k: given.pop(k) for k in list(given) if k in _ASKING}
        chat = _build_chat(settings["type"], given, device)
        folder = Path(cache) / "captions"
        self._images = ImageCaptions(chat, folder, **asking)
        asking.pop("prompt", None)
        asking.pop("max_side", None)
        self._similar = SimilarLabels(chat, folder, **asking)
        self.similar = self._similar
        self.settings = {"type": settings["type"], **self._images.settings}

    @property
    def asked(self) -> int:
        """Calls of a model so far; 0 for a list of words."""
        return 0 if self._names else self._images.asked + self._similar.asked

    def of_stream(self, sets: Sequence[SetFeatures]) -> Caption:
        """A callable from rows of the joined sets to captions."""
        if self._names is not None:
            feats = torch.cat([one.feats for one in sets])
            return lambda rows: self._names.captions(feats[rows])
        items = [item for one in sets for item in one.items]
        return lambda rows: self._images([items[row] for row in rows])


def check_captioner(settings: dict[str, Any]) -> None:
    """Refuse options that cannot work, before long work.

    Raises:
        FileNotFoundError: the list of words does not exist.
        ValueError: an option that is unknown or missing, or a server that cannot be asked.
    """
    kind = settings["type"]
    given = {k: v for k, v in settings.items() if k != "type" and v is not None}
    known = _KEYS[kind] | (_ASKING if kind != "names" else set())
    strange = sorted(set(given) - known)
    if strange:
        raise ValueError(
            f"the captioner of type {kind!r} has no option {strange[0]!r}; it has "
            f"{', '.join(sorted(known))}."
        )
    if kind == "names":
        if "words" not in given:
            raise ValueError("the captioner of type 'names' needs a list of words; give --words.")
        FileCandidates(given["words"])
        return
    if not given.get("prompt", CAPTION_PROMPT).strip() or given.get("max_side", MAX_SIDE) < 1:
        raise ValueError("the captioner needs a prompt that is not empty, and max_side >= 1.")
    if kind == "local" and "model" not in given:
        raise ValueError("the captioner of type 'local' needs a model; give --captioner-model.")
    if kind == "local":
        _check_local(given["model"])
    if kind == "server":
        _build_chat(kind, {k: v for k, v in given.items() if k not in _ASKING}, "cpu")


def _check_local(model: str) -> None:
    """Whether there is such a model, without loading it."""
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"the captioner {model!r} cannot be read ({reason}); give a directory in transformers' "
            f"format or a name on the model hub."
        ) from error


def _build_chat(kind: str, given: dict[str, Any], device: str) -> ChatModel:
    if kind == "local":
        return LazyVisionChat(**given, device=device)
    given = dict(given)
    file = given.pop("api_key_file", None)
    given.setdefault("temperature", 0.0)
    return OpenAIChat(
        **given,
        api_key=read_key(file) if file else os.environ.get("OPENAI_API_KEY"),
        notify=lambda line: tqdm.write(f"note: {line}"),
    )
