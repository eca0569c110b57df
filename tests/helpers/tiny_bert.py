"""A BERT of random weights in a folder, as AutoTokenizer and BertModel read it."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "-"]
WORDS = ["a", "photo", "of", "cat", "dog", "traffic", "light", "red", "panda", "tiger", "st"]


def write_tiny_bert(folder: Path, hidden_size: int = 32, layers: int = 2) -> Path:
    """Write vocabulary, tokenizer, config and seeded random weights; returns the folder."""
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    letters = list(string.ascii_lowercase)
    vocab = list(dict.fromkeys([*SPECIAL, *WORDS, *letters, *(f"##{c}" for c in letters)]))
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n")
    settings = dict(tokenizer_class="BertTokenizer", do_lower_case=True, model_max_length=512)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * hidden_size,
        max_position_embeddings=512,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder
