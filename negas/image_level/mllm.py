"""Multimodal language models: chat models that also read images.

A server that speaks OpenAI's protocol needs nothing new: :class:`negas.labels.generate.OpenAIChat`
sends :func:`image_message` as it is. Models on this machine go through :class:`LocalVisionChat`.
"""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

from PIL import Image

from negas.embeddings.preprocess import to_rgb
from negas.labels.generate.chat import ChatError, Message
from negas.labels.generate.local_chat import LocalChat
from negas.text import shown_text

MAX_SIDE = 448  # pixels: two tiles of what these models look at, and small to send
_PREFIX = "data:image/png;base64,"


def image_message(image: Image.Image, text: str, max_side: int = MAX_SIDE) -> Message:
    """A question about an image, as OpenAI-style servers take it.

    The image is written anew as PNG: nothing of the file but its pixels leaves the machine.

    Args:
        image: any mode.
        text: the question.
        max_side: larger images are scaled down to this length of the longer side, in pixels.
    """
    image = to_rgb(image)
    if max(image.size) > max_side:
        image = image.copy()
        image.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    url = _PREFIX + base64.b64encode(buffer.getvalue()).decode("ascii")
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
    return {"role": "user", "content": parts}


class LocalVisionChat(LocalChat):
    """Chat about images with an image-text-to-text model of transformers.

    Documented: LLaVA-1.5 (``llava-hf/llava-1.5-7b-hf``), Qwen2-VL and Qwen3-VL
    (``Qwen/Qwen2-VL-2B-Instruct``, ``Qwen/Qwen3-VL-2B-Instruct``), SmolVLM
    (``HuggingFaceTB/SmolVLM-256M-Instruct``, which needs the package num2words). Other models with
    a processor and a chat template should work. torchvision is not needed: images are prepared
    with Pillow, and the part for videos is left out where it asks for torchvision.

    Arguments and errors are those of :class:`~negas.labels.generate.local_chat.LocalChat`; an
    answer is short and the likeliest one, and captions have a bar of their own.
    """

    def __init__(
        self,
        model: str,
        *,
        temperature: float = 0.0,
        max_new_tokens: int = 64,
        progress: bool = False,
        **options: Any,
    ) -> None:
        given = {"temperature": temperature, "max_new_tokens": max_new_tokens, "progress": progress}
        super().__init__(model, **given, **options)

    def _load(self, model: str, dtype: str) -> Any:
        from transformers import AutoModelForImageTextToText

        from negas.embeddings.hub import load_whole

        try:
            self._processor = _load_processor(model)
        except (ImportError, TypeError, AttributeError) as error:
            raise ValueError(f"its image processor: {error}") from error
        self._tokenizer = self._processor.tokenizer
        # the template may be kept with either
        template = getattr(self._processor, "chat_template", None)
        self._tokenizer.chat_template = template or self._tokenizer.chat_template
        return load_whole(
            AutoModelForImageTextToText, model, torch_dtype=dtype, use_safetensors=True
        )

    def _inputs(self, messages: list[Message]) -> Any:
        turns, images = [], []
        for message in messages:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            turns.append({"role": message["role"], "content": [_part(p, images) for p in parts]})
        text = self._tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, enable_thinking=self.thinking, tokenize=False
        )
        # templates that write the first token themselves would have it twice
        start = self._tokenizer.bos_token
        doubled = bool(start) and text.startswith(start)
        options = {"images": images} if images else {}
        try:
            inputs = self._processor(
                text=[text], **options, return_tensors="pt", add_special_tokens=not doubled
            )
        except (ValueError, RuntimeError) as error:  # such as an image without its place in text
            reason = shown_text(" ".join(str(error).split()), 200)
            raise ChatError(f"the model cannot take this image or question ({reason})") from error
        inputs = inputs.to(self._network.device)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self._network.dtype)
        return inputs


def _part(part: dict[str, Any], images: list[Image.Image]) -> dict[str, str]:
    """One part for the chat template; an image goes to the list and leaves its place."""
    if part.get("type") == "text":
        return {"type": "text", "text": part["text"]}
    url = part.get("image_url", {}).get("url", "") if part.get("type") == "image_url" else ""
    if not url.startswith("data:image/") or ";base64," not in url:
        raise ChatError("a part of the question is neither text nor an image in base64")
    try:
        data = base64.b64decode(url.partition(";base64,")[2], validate=True)
        images.append(Image.open(io.BytesIO(data)).convert("RGB"))
    except (binascii.Error, OSError) as error:
        raise ChatError(f"an image of the question cannot be decoded ({error})") from error
    return {"type": "image"}


def _load_processor(model: str) -> Any:
    """The model's processor; without its part for videos if that asks for torchvision."""
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(model)
    except (ImportError, ValueError) as error:  # which one depends on the model
        if "torchvision" not in str(error).lower():
            raise
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    kind = PROCESSOR_MAPPING[type(AutoConfig.from_pretrained(model))]

    class ImagesOnly(kind):
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument_name == "video_processor":
                return None
            return super().check_argument_for_proper_class(argument_name, argument)

    parts = {
        "image_processor": AutoImageProcessor.from_pretrained(model),
        "tokenizer": AutoTokenizer.from_pretrained(model),
        "video_processor": None,
    }
    settings, _ = kind.get_processor_dict(model)
    return ImagesOnly.from_args_and_dict(
        [parts[name] for name in kind.get_attributes()], dict(settings)
    )
