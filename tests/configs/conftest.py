"""Configs, each read once, and detectors of full size without weights."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

import negas.register  # noqa: F401
from tests.helpers.tiny_coco import TINY_CLIP
from tests.helpers.tiny_grounding_dino import SHRUNK, TINY_BERT
from tests.helpers.yolo_world import ROOT


@cache
def _read(path: Path) -> Config:
    return Config.fromfile(path)


@pytest.fixture
def read(monkeypatch):
    """Reads a config of configs/negas by its path; the result is shared, so not to be changed."""
    monkeypatch.chdir(ROOT)  # configs name data relative to the repository
    return _read


@pytest.fixture
def fresh(read):
    """As ``read``, to be changed."""
    return lambda path: deepcopy(read(path))


@pytest.fixture
def build(fresh):
    """Builds a config's YOLO-World on PyTorch's meta device: all modules, no numbers in them."""

    def build(path: Path, settings: dict | None = None):
        cfg = fresh(path)
        cfg.merge_from_dict(settings or {})
        cfg.model.backbone.text_model.update(model_name=TINY_CLIP, pretrained=False)
        cfg.model.base_checkpoint = None
        with torch.device("meta"):
            return MODELS.build(cfg.model)

    return build


@pytest.fixture
def build_dino(fresh):
    """Builds a config's Grounding DINO; with few layers and queries unless ``real``."""

    def build(path: Path, settings: dict | None = None, real: bool = False):
        cfg = fresh(path)
        cfg.merge_from_dict(settings or {})
        cfg.merge_from_dict({"model.language_model.name": TINY_BERT} if real else SHRUNK)
        cfg.model.base_checkpoint = None
        return MODELS.build(cfg.model)

    return build
