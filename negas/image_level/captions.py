"""What a multimodal language model says of images and classes, each asked for once (ANTS).

:class:`NearestNames` is the small offline stand-in. Shape letters: B images, V words, D channels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from negas.embeddings import fingerprint
from negas.embeddings.encoders import Features, unit_features
from negas.embeddings.images import ImageItem, ImageSource, load_image
from negas.embeddings.preprocess import to_rgb
from negas.labels.candidates import clean_name
from negas.labels.generate import ChatModel, PromptStyle, parse_names
from negas.labels.generate.answers import AnswerFile
from negas.labels.generate.parse import MAX_ANSWER, strip_thinking
from negas.labels.names import name_forms

from .mllm import MAX_SIDE, image_message

CAPTION_PROMPT = "Say in at most eight words what this image shows. Answer with these words only."
SIMILAR_PROMPT = PromptStyle(
    "similar",
    'List {num} classes that share visual features with the class under "focus" (shape, colour, '
    "texture, parts) and are not that class, nor a kind or part of it.",
    per_class=True,
    per_turn=5,
)
_MAX_CAPTION = 200  # characters; captions of eight words have some fifty


class ImageCaptions:
    """A callable ``images -> captions`` for :class:`negas.image_level.ants.ANTS`.

    Args:
        chat: a model that reads images.
        cache_dir: where answers are kept, one file per model, prompt and size; ``None``: nowhere.
        prompt: the question about each image.
        max_side: longer side in pixels of what the model sees.
        seed: of the sampling, the same for each image.

    Attributes:
        asked: calls of the model so far; answers from the cache are none.
        heard: by image, whether its answer held words.
    """

    def __init__(
        self,
        chat: ChatModel,
        cache_dir: str | os.PathLike | None = None,
        prompt: str = CAPTION_PROMPT,
        max_side: int = MAX_SIDE,
        seed: int = 0,
    ) -> None:
        if max_side < 1 or not prompt.strip():
            raise ValueError(f"captions need a prompt and max_side >= 1, got {max_side}.")
        self.prompt, self.max_side, self.seed, self.asked = prompt, max_side, seed, 0
        self._chat = chat
        self.settings = {**chat.settings, "prompt": prompt, "max_side": max_side, "seed": seed}
        self._answers = _answers(cache_dir, "captions", self.settings)
        self.heard: dict[str, bool] = {}

    def __call__(self, images: Sequence[ImageSource | ImageItem]) -> list[str]:
        """One caption per image; empty where the model gave none.

        Raises:
            ChatError: the model could not be asked. What came before is kept.
            FileNotFoundError: a path leads nowhere.
            ValueError: an image cannot be read.
        """
        captions = []
        for image in tqdm(images, desc="captions", delay=2, leave=False, disable=None):
            opened = to_rgb(image.load() if isinstance(image, ImageItem) else load_image(image))
            key = image_hash(opened)
            if key not in self._answers:
                self.asked += 1
                question = image_message(opened, self.prompt, self.max_side)
                answer = self._chat.chat([question], self.seed)
                self._answers.put(key, clean_caption(answer))
            captions.append(self._answers[key])
            self.heard[key] = bool(captions[-1])
        return captions


class SimilarLabels:
    """A callable ``class names -> lists of labels that look alike``, asked and kept as captions.

    Args:
        chat: any chat model.
        cache_dir: where answers are kept; ``None``: nowhere.
        num: labels asked for per class.
        seed: of the sampling.

    Attributes:
        asked: as that of :class:`ImageCaptions`.
        heard: by class name, whether its answer held labels.
    """

    def __init__(
        self,
        chat: ChatModel,
        cache_dir: str | os.PathLike | None = None,
        num: int = 5,
        seed: int = 0,
    ) -> None:
        if num < 1:
            raise ValueError(f"similar labels: num must be at least 1, got {num}.")
        self.num, self.seed, self.asked = num, seed, 0
        self._chat = chat
        self.settings = {**chat.settings, "task": SIMILAR_PROMPT.task, "num": num, "seed": seed}
        self._answers = _answers(cache_dir, "similar", self.settings)
        self.heard: dict[str, bool] = {}

    def __call__(self, class_names: Sequence[str]) -> list[list[str]]:
        """Labels for each class, at most ``num``; none where the answer is no list.

        Raises:
            ChatError: the model could not be asked.
        """
        found = []
        for name in tqdm(class_names, desc="similar labels", delay=2, leave=False, disable=None):
            if name not in self._answers:
                self.asked += 1
                messages = SIMILAR_PROMPT.messages([name], (), self.num, focus=name)
                self._answers.put(name, self._chat.chat(messages, self.seed)[:MAX_ANSWER])
            names = [clean_name(raw) for raw in parse_names(self._answers[name])]
            found.append([label for label in dict.fromkeys(names) if label][: self.num])
            self.heard[name] = bool(found[-1])
        return found


def clean_caption(answer: str) -> str:
    """The first line of an answer in plain text: no thinking, control characters or quotes.

    At most 200 characters; what is untrusted must not fill a file or a text encoder.
    """
    lines = [line.strip() for line in strip_thinking(answer).splitlines()]
    line = next((line for line in lines if line), "")
    plain = "".join(c if c.isprintable() else " " for c in line[: 2 * _MAX_CAPTION])
    return " ".join(plain.split()).strip("\"'`*“”‘’ ")[:_MAX_CAPTION].rstrip()


def image_hash(image: Image.Image) -> str:
    """Digest of an RGB image's size and pixels, whatever its file."""
    digest = hashlib.sha256(repr((image.mode, image.size)).encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def _answers(
    cache_dir: str | os.PathLike | None, what: str, settings: dict[str, Any]
) -> AnswerFile:
    key = fingerprint(json.dumps(settings, sort_keys=True))
    path = None if cache_dir is None else Path(cache_dir) / f"{what}-{key[:16]}.jsonl"
    return AnswerFile(path, settings)


class NearestNames:
    """Captions and similar labels out of a list of words: it cannot describe, it names.

    An image gets the word whose text embedding is nearest to it, a class the words nearest to its
    name. Results made with it say so, and with which list.

    Args:
        names: V words.
        encode: ``texts -> [n, D]``, the encoder's text side with the sentence of its labels.
        sentence: of a caption, with one ``{}``.
        num: similar labels per class.
    """

    def __init__(
        self,
        names: Sequence[str],
        encode: Callable[[list[str]], Features],
        sentence: str = "a photo of {}",
        num: int = 5,
    ) -> None:
        self.names = list(dict.fromkeys(names))
        if not self.names or sentence.count("{}") != 1:
            raise ValueError("nearest names need at least one word and a sentence with one '{}'.")
        self.sentence, self.num, self._encode = sentence, num, encode
        self._feats = unit_features("features of the words", encode(self.names))

    def captions(self, image_feats: Features) -> list[str]:
        """One sentence per image feature [B, D]."""
        feats = unit_features("image_feats", image_feats, self._feats.shape[1])
        nearest = (feats @ self._feats.T).argmax(dim=1).tolist()
        return [self.sentence.replace("{}", self.names[i]) for i in nearest]

    def similar(self, class_names: Sequence[str]) -> list[list[str]]:
        """The words nearest to each class name, other than the name itself."""
        feats = unit_features("class_names", self._encode(list(class_names)))
        orders = (feats @ self._feats.T).argsort(dim=1, descending=True, stable=True).tolist()
        found = []
        for name, order in zip(class_names, orders, strict=True):
            forms = name_forms(name)
            others = (self.names[i] for i in order if not forms & name_forms(self.names[i]))
            found.append([word for _, word in zip(range(self.num), others, strict=False)])
        return found
