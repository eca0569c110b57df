"""The captioner of ANTS in an image-level OOD run: a server, a local model, or a list of words."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from negas.embeddings.hub import without_waiting
from negas.image_level.captions import ImageCaptions, NearestNames, SimilarLabels
from negas.image_level.mllm import LocalVisionChat
from negas.labels.candidates import read_candidates
from negas.labels.generate import ChatModel, LazyChat, OpenAIChat
from negas.labels.generate.openai_chat import read_key
from negas.text import shown_text

from .data import Features, SetFeatures
from .options import Captioner

Caption = Callable[[list[int]], list[str]]


class RunCaptions:
    """Captions of a run's images and look-alikes of its classes.

    Args:
        captioner: who describes and names.
        features: of the run.
        cache: folder for answers.
        device: for a local model.

    Raises:
        FileNotFoundError: the list of words or the key file does not exist.
        ValueError: an option that does not fit the others.
    """

    def __init__(
        self, captioner: Captioner, features: Features, cache: str, device: str = "cpu"
    ) -> None:
        self._names: NearestNames | None = None
        if captioner.type == "names":
            words = read_candidates(captioner.words)
            template = captioner.template or "clip"
            self._names = NearestNames(
                words,
                lambda texts: features.encoder.text(texts, template, truncate=True),
                captioner.sentence or "a photo of {}",
            )
            self.similar = self._names.similar
            self.settings = {"type": "names", **captioner.given(), "num_words": len(words)}
            return
        asking = captioner.asking()
        chat = _build_chat(captioner, device)
        folder = Path(cache) / "captions"
        self._images = ImageCaptions(chat, folder, **asking)
        asking.pop("prompt", None)
        asking.pop("max_side", None)
        self._similar = SimilarLabels(chat, folder, **asking)
        self.similar = self._similar
        self.settings = {"type": captioner.type, **self._images.settings}

    @property
    def counts(self) -> dict[str, int]:
        """Calls of a model so far, its answers (those of the cache, too), and those of no use."""
        if self._names:
            return {"asked": 0}
        heard = [*self._images.heard.values(), *self._similar.heard.values()]
        asked = self._images.asked + self._similar.asked
        return {"asked": asked, "answers": len(heard), "useless": heard.count(False)}

    def of_stream(self, sets: Sequence[SetFeatures]) -> Caption:
        """A callable from rows of the joined sets to captions."""
        if self._names is not None:
            feats = torch.cat([one.feats for one in sets])
            return lambda rows: self._names.captions(feats[rows])
        items = [item for one in sets for item in one.items]
        return lambda rows: self._images([items[row] for row in rows])


def check_captioner(captioner: Captioner) -> None:
    """See that there is what the captioner works with, without loading a model.

    Raises:
        FileNotFoundError: the list of words or the key file does not exist.
        ValueError: a local model that is not there, or a server that cannot be asked.
    """
    if captioner.type == "names":
        read_candidates(captioner.words)
    elif captioner.type == "local":
        _check_local(captioner.model)
    else:
        _build_chat(captioner, "cpu")


def _check_local(model: str) -> None:
    """Whether there is such a model, without loading it."""
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(without_waiting(model))
    except (OSError, ValueError, KeyError) as error:
        reason = shown_text(" ".join(str(error).split()), 200)
        raise ValueError(
            f"the captioner {model!r} cannot be read ({reason}); give a directory in transformers' "
            f"format or a name on the model hub."
        ) from error


def _build_chat(captioner: Captioner, device: str) -> ChatModel:
    given = captioner.chat()
    if captioner.type == "local":
        return LazyChat(given, lambda: LocalVisionChat(**given, device=device))
    file = given.pop("api_key_file", None)
    return OpenAIChat(
        **{"temperature": 0.0, **given},
        api_key=read_key(file) if file else os.environ.get("OPENAI_API_KEY"),
        notify=lambda line: tqdm.write(f"note: {line}"),
    )
