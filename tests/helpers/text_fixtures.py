"""A random tiny CLIP text encoder with a real CLIP-format tokenizer, made on the spot."""

import pytest
import torch
from distill import build_text_model
from tiny_tokenizer import load_tokenizer, train_tokenizer

NAMES = ["cat", "dog", "potted plant", "washing machine", "zebra", "traffic light", "tv"]


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(NAMES, ["a photo of {}", "a {}"], 640, directory)
    return directory


@pytest.fixture(scope="session")
def tokenizer(tokenizer_dir):
    return load_tokenizer(tokenizer_dir)


@pytest.fixture(scope="session")
def text_model(tokenizer):
    torch.set_num_threads(1)
    model = build_text_model(len(tokenizer), 32, dim=24, width=16, layers=2, mlp=24, seed=3)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():  # larger than CLIP's init, so that order and padding would show
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.2 * noise)
    return model.requires_grad_(False).eval()
