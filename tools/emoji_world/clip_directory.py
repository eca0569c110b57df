"""One directory for both towers of a tiny CLIP, as transformers reads and writes it."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

WEIGHTS = "model.safetensors"
IMAGE_SIZE = 64
VISION = {
    "image_size": IMAGE_SIZE,
    "patch_size": 8,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "hidden_act": "quick_gelu",
}
IMAGE_MEAN, IMAGE_STD = [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]


def write_text_tower(model: nn.Module, directory: Path) -> None:
    """Write a `CLIPTextModelWithProjection` as fp16 with the configuration of a whole CLIP.

    The configuration already names the vision tower. A vision tower written before is dropped,
    because it was trained on other text directions.
    """
    from transformers import CLIPConfig

    text = model.config.to_dict()
    vision = {**VISION, "projection_dim": model.config.projection_dim}
    config = CLIPConfig(
        text_config=text, vision_config=vision, projection_dim=model.config.projection_dim
    ).to_dict()
    config = essential(config) | {"architectures": ["CLIPModel"], "dtype": "float16"}
    write_model(directory, model.state_dict(), config)


def write_vision_tower(model: nn.Module, logit_scale: Tensor, directory: Path) -> None:
    """Add a `CLIPVisionModelWithProjection` and the logit scale (natural log) to the weights."""
    from safetensors.torch import load_file

    tensors = {k: v for k, v in load_file(directory / WEIGHTS).items() if k.startswith("text_")}
    tensors |= model.state_dict() | {"logit_scale": logit_scale.detach()}
    write_model(directory, tensors, json.loads((directory / "config.json").read_text()))
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": IMAGE_SIZE},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": IMAGE_MEAN,
        "image_std": IMAGE_STD,
    }
    _write_json(directory / "preprocessor_config.json", processor)


def essential(config: dict) -> dict:
    """Drop what every transformers configuration carries and a text encoder does not use."""
    generic = {"id2label", "label2id", "return_dict", "is_encoder_decoder", "_name_or_path"}
    generic |= {"chunk_size_feed_forward", "output_attentions", "output_hidden_states"}
    return {
        key: essential(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in generic and value is not None
    }


def write_model(directory: Path, tensors: dict[str, Tensor], config: dict) -> None:
    """Write weights as fp16 and the configuration; the weights file is replaced in one step."""
    from safetensors.torch import save_file

    from negas.files import whole_file

    halves = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in tensors.items()
        if not name.endswith("position_ids")
    }
    with whole_file(directory / WEIGHTS) as partial:
        save_file(halves, partial, metadata={"format": "pt"})
    _write_json(directory / "config.json", config)


def _write_json(path: Path, value: dict) -> None:
    from negas.files import write_text

    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")
