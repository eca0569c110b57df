"""Tiny random vision-language models of real architectures: byte tokenizer, chat template."""

from __future__ import annotations

import json
from pathlib import Path

import torch

_TEXT = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
_LLAVA = (
    "{% for m in messages %}{{ m['role'] | upper }}: {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }}{% endif %}{% endfor %} "
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
_QWEN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny_llava(directory: Path, context: int = 400) -> str:
    """LLaVA-1.5's architecture in transformers' format; returns the directory as text."""
    import transformers as hf

    tokenizer = _tokenizer(["<image>"], _LLAVA)
    image = tokenizer.convert_tokens_to_ids("<image>")
    vision = _TEXT | dict(model_type="clip_vision_model", image_size=32, patch_size=8)
    text = _TEXT | dict(
        model_type="llama",
        vocab_size=len(tokenizer),
        max_position_embeddings=context,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = hf.LlavaConfig(vision_config=vision, text_config=text, image_token_index=image)
    _save(directory, hf.LlavaForConditionalGeneration, config, tokenizer)
    settings = dict(
        image_processor_type="CLIPImageProcessor",
        processor_class="LlavaProcessor",
        size={"shortest_edge": 32},
        crop_size={"height": 32, "width": 32},
    )
    (directory / "preprocessor_config.json").write_text(json.dumps(settings))
    about = dict(
        processor_class="LlavaProcessor",
        patch_size=8,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
    )
    (directory / "processor_config.json").write_text(json.dumps(about))
    return str(directory)


def write_tiny_qwen2_vl(directory: Path) -> str:
    """Qwen2-VL's architecture, whose processor has a part for videos."""
    import transformers as hf

    special = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer = _tokenizer([*special, "<|im_start|>", "<|im_end|>"], _QWEN)
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    rope = {"type": "mrope", "rope_type": "default", "mrope_section": [2, 3, 3]}
    text = _TEXT | dict(
        vocab_size=len(tokenizer),
        num_key_value_heads=1,
        max_position_embeddings=512,
        rope_parameters=rope | {"rope_theta": 10000.0},
        bos_token_id=0,
        eos_token_id=tokenizer.eos_token_id,
    )
    vision = dict(
        depth=1, embed_dim=32, hidden_size=32, num_heads=2, mlp_ratio=2, patch_size=14,
        spatial_merge_size=2, temporal_patch_size=2,
    )  # fmt: skip
    config = hf.Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        **{n: tokenizer.convert_tokens_to_ids(t) for n, t in zip(names, special, strict=True)},
    )
    _save(directory, hf.Qwen2VLForConditionalGeneration, config, tokenizer)
    settings = dict(
        image_processor_type="Qwen2VLImageProcessor",
        processor_class="Qwen2VLProcessor",
        min_pixels=56 * 56,
        max_pixels=28 * 28 * 64,
        patch_size=14,
        temporal_patch_size=2,
        merge_size=2,
    )
    (directory / "preprocessor_config.json").write_text(json.dumps(settings))
    return str(directory)


def _tokenizer(special: list[str], template: str):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=special,
    )
    tokenizer.chat_template = template
    return tokenizer


def _save(directory: Path, kind: type, config, tokenizer) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kind(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
