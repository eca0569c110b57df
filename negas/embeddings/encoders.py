"""CLIP-style encoders of transformers behind one interface, and checks of features.

Names on the hub: ``openai/clip-vit-base-patch32``, ``openai/clip-vit-base-patch16``,
``openai/clip-vit-large-patch14``, ``kakaobrain/align-base``, ``BAAI/AltCLIP``,
``nvidia/groupvit-gcc-yfcc``, ``google/siglip-base-patch16-224``. The tokenizers of SigLIP and
AltCLIP may ask for the packages ``sentencepiece`` and ``protobuf``.
Shapes: N images or rows, T texts, D channels of the joint space.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from negas.shipped import find
from negas.text import shown

from .cache import fingerprint
from .hub import load_whole, loading, why, without_waiting
from .images import ImageSource, load_image
from .preprocess import Preprocess
from .templates import resolve_templates

# model_type -> class of transformers, family of its image preprocessing
FAMILIES = {
    "clip": ("CLIPModel", "clip"),
    "align": ("AlignModel", "efficientnet"),
    "altclip": ("AltCLIPModel", "clip"),
    "groupvit": ("GroupViTModel", "clip"),
    "siglip": ("SiglipModel", "siglip"),
}


def load_parts(name: str) -> tuple[nn.Module, Any, Preprocess]:
    """Network, tokenizer and preprocessing of a hub name or directory.

    Raises:
        ValueError: it is no supported model, cannot be loaded, or lacks weights.
    """
    import transformers
    from transformers import AutoConfig, AutoTokenizer

    name = find(name)
    place = "directory" if Path(name).exists() else "hub name or directory"
    try:
        config = AutoConfig.from_pretrained(without_waiting(name))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"encoder {name!r}: cannot read a model from this {place} ({why(error)}); give a "
            f"local directory in transformers' format, or a hub name that can be reached or is "
            f"cached."
        ) from error
    if config.model_type not in FAMILIES:
        raise ValueError(
            f"encoder {name!r} is of the type {config.model_type!r}; supported are "
            f"{', '.join(FAMILIES)} (with text and image tower)."
        )
    class_name, kind = FAMILIES[config.model_type]
    advice = "use a complete one with text and image tower"
    with loading(f"encoder {name!r}: weights or tokenizer cannot be loaded", advice):
        model = load_whole(getattr(transformers, class_name), name)
        tokenizer = AutoTokenizer.from_pretrained(name)
    try:
        preprocess = Preprocess.from_settings(_image_settings(name), kind)
    except ValueError as error:
        raise ValueError(f"encoder {name!r}: preprocessor_config.json: {error}.") from error
    return model.float(), tokenizer, preprocess


def _image_settings(name: str) -> dict[str, Any]:
    """The model's image settings; empty where it has none (the family's defaults apply)."""
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except OSError:
        return {}
    return settings


DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


class Encoder:
    """Texts and images to L2-normalised float32 features on the CPU.

    Build one with :func:`build_encoder`.

    Attributes:
        name: hub name or directory.
        model: the network, frozen, in eval mode.
        tokenizer: its tokenizer.
        preprocess: from an image to pixels; replace it to follow another code's resize.
        device: where the network runs.
        dtype: its precision; features are float32 whatever it is.
        batch_size: images or texts per forward pass.
        workers: threads that decode and resize images.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        tokenizer: Any,
        preprocess: Preprocess,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        batch_size: int = 64,
        workers: int = 4,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        self.name = name
        self.device, self.dtype = torch.device(device), dtype
        self.model = model.to(device=self.device, dtype=dtype).eval().requires_grad_(False)
        self.tokenizer, self.preprocess = tokenizer, preprocess
        self.batch_size, self.workers = batch_size, workers

    @property
    def family(self) -> str:
        """``clip``, ``align``, ``altclip``, ``groupvit`` or ``siglip``."""
        return self.model.config.model_type

    @cached_property
    def logit_scale(self) -> float:
        """What the model was trained to multiply cosines by; about 100 for CLIP."""
        if self.family == "align":  # ALIGN stores a temperature instead
            return float(1 / self.model.temperature.float())
        return float(self.model.logit_scale.float().exp())

    @property
    def logit_bias(self) -> float:
        """Added to the scaled cosine by SigLIP; 0 for the others."""
        bias = getattr(self.model, "logit_bias", None)
        return 0.0 if bias is None else float(bias.float())

    @cached_property
    def fingerprint(self) -> str:
        """Digest of weights, precision and tokenizer: what features depend on, for caches."""
        weights = [part for item in self.model.state_dict().items() for part in item]
        vocabulary = sorted(self.tokenizer.get_vocab().items())
        return fingerprint(self.family, str(self.dtype), *weights, vocabulary)

    @property
    def image_key(self) -> str:
        """What image features depend on: :attr:`fingerprint` and the preprocessing."""
        return fingerprint(self.fingerprint, self.preprocess.key())

    @property
    def context_length(self) -> int:
        """Most tokens of a text, begin and end included."""
        config = self.model.config.text_config
        limit = config.max_position_embeddings
        if "roberta" in str(getattr(config, "model_type", "")) or self.family == "altclip":
            limit -= config.pad_token_id + 1  # RoBERTa counts positions from there
        return min(limit, self.tokenizer.model_max_length)

    @torch.inference_mode()
    def text(
        self,
        texts: Sequence[str],
        template: None | str | Sequence[str] = None,
        truncate: bool = False,
        normalize_each: bool = True,
        progress: bool = True,
    ) -> Tensor:
        """Features ``[T, D]`` of texts.

        Args:
            texts: labels or whole sentences.
            template: see :func:`~negas.embeddings.templates.resolve_templates`; of several
                sentences the mean is taken and normalised again.
            truncate: cut texts that are too long, in place of refusing them.
            normalize_each: normalise before the mean over templates (CLIP); ``False`` is CSP's.
            progress: show a bar if it takes over two seconds.

        Raises:
            ValueError: no text, an empty one, one that does not fit, a bad template.
        """
        if isinstance(texts, str) or not len(texts):
            raise ValueError(f"expected a list of at least one text, got {texts!r}.")
        for index, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(
                    f"text {index} is {text!r}; every text must be a non-empty string."
                )
        sentences, total = resolve_templates(template), None
        count, hidden = len(texts) * len(sentences), None if progress else True
        with tqdm(total=count, desc="texts", delay=2, leave=False, disable=hidden) as bar:
            for sentence in sentences:
                filled = [sentence.replace("{}", text.strip()) for text in texts]
                parts = []
                for start in range(0, len(filled), self.batch_size):
                    some = filled[start : start + self.batch_size]
                    parts.append(self._encode_texts(some, truncate))
                    bar.update(len(some))
                feats = torch.cat(parts)
                feats = _unit(feats) if normalize_each else feats
                total = feats if total is None else total + feats
        return self._checked(_unit(total), "texts")

    def images(self, images: Iterable[ImageSource], progress: bool = True) -> Tensor:
        """Features ``[N, D]`` of images: Pillow images or paths, any number of them.

        Raises:
            FileNotFoundError: a path leads nowhere.
            ValueError: no image, or one that cannot be read (the message starts with its path). For
                folders use :func:`negas.embeddings.store.encode_images`, which goes on.
        """
        parts = list(self.image_batches(images, progress=progress))
        if not parts:
            raise ValueError("there is no image to encode; check the folder or the list.")
        return torch.cat(parts)

    def image_batches(
        self,
        images: Iterable[ImageSource],
        on_error: Callable[[int, Exception], None] | None = None,
        progress: bool = True,
    ) -> Iterable[Tensor]:
        """Features batch by batch, for whom all at once are too many.

        Args:
            images: as for :meth:`images`; read one batch ahead.
            on_error: called with the place of an image that cannot be read and the reason; the
                image then has no row. By default the error is raised.
            progress: show a bar if it takes over two seconds.

        Yields:
            ``[n, D]`` per batch, n at most ``batch_size``.
        """
        from concurrent.futures import ThreadPoolExecutor

        known = len(images) if hasattr(images, "__len__") else None
        source = iter(images)
        bar = tqdm(
            total=known, desc="images", delay=2, leave=False, disable=None if progress else True
        )
        with ThreadPoolExecutor(max(1, self.workers)) as pool, bar:

            def submit() -> list:
                return [pool.submit(self._pixels, one) for one in islice(source, self.batch_size)]

            done, ahead = 0, submit()
            while ahead:
                # the next batch is decoded while this one is encoded
                batch, ahead = ahead, submit()
                pixels = []
                for future in batch:
                    try:
                        pixels.append(future.result())
                    except (OSError, ValueError) as error:
                        if on_error is None:
                            for waiting in (*batch, *ahead):
                                waiting.cancel()
                            raise
                        on_error(done, error)
                    done += 1
                    bar.update()
                if pixels:
                    yield self._encode_pixels(torch.stack(pixels))

    def _pixels(self, image: ImageSource) -> Tensor:
        return torch.from_numpy(self.preprocess(load_image(image)))

    @torch.inference_mode()
    def _encode_pixels(self, pixels: Tensor) -> Tensor:
        pixels = pixels.to(device=self.device, dtype=self.dtype)
        feats = _pooled(self.model.get_image_features(pixel_values=pixels))
        return self._checked(_unit(feats.float().cpu()), "images")

    def _encode_texts(self, sentences: list[str], truncate: bool) -> Tensor:
        limit = self.context_length
        rows = self.tokenizer(
            sentences, truncation=truncate, max_length=limit if truncate else None
        )
        for sentence, ids in zip(sentences, rows["input_ids"], strict=True):
            if len(ids) > limit:
                raise ValueError(
                    f"the text {shown(sentence)} needs {len(ids)} tokens, the text encoder of "
                    f"{self.name} takes {limit}; shorten it, or pass truncate=True."
                )
        # SigLIP was trained on texts padded to full length, without a mask
        fixed = self.family == "siglip"
        padded = self.tokenizer.pad(
            {"input_ids": rows["input_ids"]},
            padding="max_length" if fixed else True,
            max_length=limit if fixed else None,
            return_tensors="pt",
        ).to(self.device)
        inputs = {"input_ids": padded["input_ids"]}
        if not fixed:
            inputs["attention_mask"] = padded["attention_mask"]
        return _pooled(self.model.get_text_features(**inputs)).float().cpu()

    def _checked(self, feats: Tensor, what: str) -> Tensor:
        if not bool(torch.isfinite(feats).all()):
            raise ValueError(
                f"{self.name} gave NaN for some {what}; "
                + ("check its weights." if self.dtype == torch.float32 else "encode in float32.")
            )
        return feats


def build_encoder(
    name_or_dir: str | os.PathLike,
    device: str = "cpu",
    dtype: str | torch.dtype | None = None,
    batch_size: int = 64,
    workers: int = 4,
) -> Encoder:
    """Load CLIP, ALIGN, AltCLIP, GroupViT or SigLIP.

    Args:
        name_or_dir: hub name (see :mod:`negas.embeddings.encoders`) or a directory with
            config.json, tokenizer, weights and preprocessor_config.json.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...
        dtype: ``float16`` or ``bfloat16`` for the network only; float32 by default.
        batch_size: images or texts per forward pass.
        workers: threads that decode images.

    Raises:
        ValueError: not such a model, it cannot be loaded, weights are missing from it, or an
            unknown dtype.
    """
    if isinstance(dtype, str) and dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}.")
    precision = DTYPES.get(dtype, dtype) or torch.float32
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {str(device)!r}: no CUDA device is available; use 'cpu'.")
    name = str(name_or_dir)
    model, tokenizer, preprocess = load_parts(name)
    return Encoder(name, model, tokenizer, preprocess, device, precision, batch_size, workers)


def _pooled(output: object) -> Tensor:
    """Transformers 4 returns the features, 5 an object that holds them."""
    return output if isinstance(output, Tensor) else output.pooler_output


def _unit(feats: Tensor) -> Tensor:
    return torch.nn.functional.normalize(feats, dim=-1)


Features = Tensor | np.ndarray


def unit_features(argument: str, feats: Features, width: int | None = None) -> Tensor:
    """Check features and scale every row to length 1.

    Args:
        argument: what they are called in an error.
        feats: [N, D] of any float type, of any length.
        width: D, when other features fix it.

    Returns:
        [N, D] float32 on the device of `feats`.

    Raises:
        ValueError: no row, another number of axes or channels, NaN, infinite or all-zero rows.
    """
    if isinstance(feats, np.ndarray):
        feats = torch.from_numpy(np.ascontiguousarray(feats))
    if not isinstance(feats, Tensor) or feats.ndim != 2:
        shape = list(feats.shape) if isinstance(feats, Tensor) else type(feats).__name__
        raise ValueError(f"{argument} must be a tensor or array [N, D], got {shape}.")
    if feats.shape[0] == 0:
        raise ValueError(f"{argument} is empty; give the features of at least one image or label.")
    if width is not None and feats.shape[1] != width:
        raise ValueError(
            f"{argument} has {feats.shape[1]} channels where the labels have {width}; encode "
            f"images and labels with the same model (and delete features cached with another)."
        )
    feats = feats.to(torch.float32)
    length = feats.norm(dim=1, keepdim=True)
    # NaN and infinity show in the lengths: one pass over the features instead of three
    bad = length[:, 0].isfinite().logical_not_()
    if bool(bad.any()):
        bad = ~torch.isfinite(feats).all(dim=1)
    if bool(bad.any()):
        raise ValueError(
            f"{argument} holds NaN or infinite values in {int(bad.sum())} of {len(feats)} rows "
            f"(the first is row {int(bad.nonzero()[0])}); encode these again."
        )
    if not bool((length > 0).all()):
        row = int((length[:, 0] == 0).nonzero()[0])
        raise ValueError(f"{argument} is all zero in row {row}: it has no direction to compare.")
    return feats / length
