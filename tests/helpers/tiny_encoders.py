"""Randomly initialised models of the real CLIP-like architectures, saved as transformers does."""

from __future__ import annotations

import json
from pathlib import Path

import torch

WORDS = "a photo of the nice small cat dog potted plant washing machine zebra tv . deer".split()
TEXT = dict(
    hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
    max_position_embeddings=16,
)  # fmt: skip
VISION = dict(
    hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
    image_size=32, patch_size=8,
)  # fmt: skip
RESIZE = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
CLIP_LIKE = RESIZE | {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 32},
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "resample": 3,
    "do_convert_rgb": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
SIGLIP = RESIZE | {
    "image_processor_type": "SiglipImageProcessor",
    "size": {"height": 32, "width": 32},
    "resample": 3,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
ALIGN = {  # as the released checkpoint's file, but smaller
    "image_processor_type": "EfficientNetImageProcessor",
    "do_resize": True,
    "size": {"height": 40, "width": 40},
    "resample": 2,
    "do_center_crop": True,
    "crop_size": {"height": 36, "width": 36},
    "do_rescale": True,
    "rescale_factor": 1 / 127.5,
    "rescale_offset": True,
    "do_normalize": False,
    "include_top": False,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
SETTINGS = {
    "clip": CLIP_LIKE,
    "altclip": CLIP_LIKE,
    "groupvit": CLIP_LIKE,
    "siglip": SIGLIP,
    "align": ALIGN,
}


def make_encoder_dir(family: str, directory: Path, seed: int = 0) -> Path:
    """Write model, tokenizer and image settings of ``family`` (a model_type of transformers)."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(family)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _model(family, tokenizer)
        for parameter in model.parameters():  # wider than the usual start: differences show
            parameter.data.add_(0.1 * torch.randn(parameter.shape))
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    (directory / "preprocessor_config.json").write_text(json.dumps(SETTINGS[family]))
    return directory


def _tokenizer(family: str):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    # RoBERTa's numbers: begin 0, pad 1, end 2
    begin, pad, end, unknown = special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocab = {word: i for i, word in enumerate([*special, *dict.fromkeys(WORDS)])}
    core = Tokenizer(models.WordLevel(vocab, unk_token=unknown))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    pair = [] if family == "siglip" else [(begin, vocab[begin])]
    core.post_processor = processors.TemplateProcessing(
        single=" ".join([token for token, _ in pair] + ["$A", end]),
        special_tokens=[*pair, (end, vocab[end])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=begin, pad_token=pad, eos_token=end, unk_token=unknown,
        cls_token=begin, sep_token=end, model_max_length=16,
    )  # fmt: skip


def _model(family: str, tokenizer):
    import transformers as hf

    text = TEXT | dict(
        vocab_size=len(tokenizer), bos_token_id=0, pad_token_id=1, eos_token_id=2
    )  # fmt: skip
    if family == "clip":
        config = hf.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=12)
        return hf.CLIPModel(config)
    if family == "siglip":
        vision = VISION | dict(vision_use_head=True)
        return hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=vision))
    if family == "groupvit":
        vision = VISION | dict(
            depths=[1, 1, 1], num_hidden_layers=3, num_group_tokens=[4, 2, 0],
            num_output_groups=[4, 2, 2],
        )  # fmt: skip
        config = hf.GroupViTConfig(
            text_config=text, vision_config=vision, projection_dim=12,
            projection_intermediate_dim=20,
        )  # fmt: skip
        return hf.GroupViTModel(config)
    if family == "altclip":
        text = text | dict(max_position_embeddings=18, project_dim=12, type_vocab_size=1)
        config = hf.AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=12)
        return hf.AltCLIPModel(config)
    vision = dict(
        image_size=36, width_coefficient=1.0, depth_coefficient=0.1, hidden_dim=24,
        kernel_sizes=[3, 3], in_channels=[32, 16], out_channels=[16, 24], strides=[1, 2],
        num_block_repeats=[1, 1], expand_ratios=[1, 6], depthwise_padding=[],
    )  # fmt: skip
    config = hf.AlignConfig(text_config=text, vision_config=vision, projection_dim=24)
    return hf.AlignModel(config)
