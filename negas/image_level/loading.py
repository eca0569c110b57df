"""Load the parts of an encoder, and say in one sentence what is wrong when that fails.

Names on the hub: ``openai/clip-vit-base-patch32``, ``openai/clip-vit-base-patch16``,
``openai/clip-vit-large-patch14``, ``kakaobrain/align-base``, ``BAAI/AltCLIP``,
``nvidia/groupvit-gcc-yfcc``, ``google/siglip-base-patch16-224``. The tokenizers of SigLIP and
AltCLIP may ask for the packages ``sentencepiece`` and ``protobuf``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from negas.image_level.preprocess import Preprocess

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
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoTokenizer

    place = "directory" if Path(name).exists() else "hub name or directory"
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"encoder {name!r}: cannot read a model from this {place} ({_reason(error)}); give a "
            f"local directory in transformers' format, or a hub name that can be reached or is "
            f"cached."
        ) from error
    if config.model_type not in FAMILIES:
        raise ValueError(
            f"encoder {name!r} is of the type {config.model_type!r}; supported are "
            f"{', '.join(FAMILIES)} (with text and image tower)."
        )
    class_name, kind = FAMILIES[config.model_type]
    try:
        with (
            quiet_transformers()
        ):  # the report below says in one sentence what transformers logs as a table
            model, report = getattr(transformers, class_name).from_pretrained(
                name, output_loading_info=True
            )
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise ValueError(
            f"encoder {name!r}: weights or tokenizer cannot be loaded ({_reason(error)})."
        ) from error
    # transformers fills what a checkpoint lacks with random numbers
    missing = sorted(key for key in report["missing_keys"] if "position_ids" not in key)
    if missing:
        raise ValueError(
            f"encoder {name!r}: the checkpoint lacks {len(missing)} of the model's weights "
            f"(such as {missing[0]}); use a complete one with text and image tower."
        )
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


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No tables of unused weights and the like; errors are still raised."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
