"""Grounding DINO's VOC and BDD100K configs on tiny data: few layers and queries, small images."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

import negas.register  # noqa: F401

from .tiny_coco import SMALL, write_data
from .yolo_world import ROOT

TINY_BERT = str(ROOT / "data/emoji_world/tiny_bert")
# Four levels as in the real detector, all else as small as it goes.
SHRUNK = {
    "model.language_model.name": TINY_BERT,
    "model.num_queries": 20,
    "model.backbone.embed_dims": 24,
    "model.backbone.depths": [1, 1, 1, 1],
    "model.backbone.num_heads": [3, 6, 12, 24],
    "model.backbone.window_size": 4,
    "model.neck.in_channels": [48, 96, 192],
    "model.encoder.num_layers": 1,
    "model.encoder.fusion_layer_cfg.embed_dim": 256,
    "model.decoder.num_layers": 1,
    "model.dn_cfg.group_cfg.num_dn_queries": 10,
}


def config_path(method: str, model: str, data: str) -> Path:
    """A shipped config, say of ``negas``, ``grounding-dino-swin-t`` and ``voc``."""
    recipe = "" if method == "stock" else "_8xb2-20e"
    return ROOT / f"configs/negas/{method}_{model}{recipe}_{data}.py"


def tiny_project(folder: Path, method: str, model: str, data: str, size: int = 64) -> Path:
    """Data and base weights below ``folder``, and a user's config that inherits a shipped one."""
    base = config_path(method, model, data)
    cfg = Config.fromfile(base)
    settings = dict(SHRUNK)
    keys = [f"{split}_dataloader" for split in ("train", "val", "test")]
    keys += [f"test_cfg.ood_dataloaders.{name}" for name in cfg.test_cfg.ood_dataloaders]
    loaders = [cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]
    loaders += cfg.test_cfg.ood_dataloaders.values()
    for key, loader in zip(keys, loaders, strict=True):
        if loader is None:
            continue
        pipeline = [dict(step) for step in loader.dataset.pipeline]
        for step in pipeline:
            step.update(dict(scale=(size, size)) if "scale" in step else {})
            step.update(dict(scales=[(size, size)]) if "scales" in step else {})
        settings |= {f"{key}.{name}": value for name, value in SMALL.items()}
        settings[f"{key}.dataset.data_root"] = f"{folder}/{loader.dataset.data_root}"
        settings[f"{key}.dataset.pipeline"] = pipeline
    settings |= {
        "val_evaluator.ann_file": f"{folder}/{cfg.val_evaluator.ann_file}",
        "test_evaluator.cut": 0.05,
        "test_evaluator.min_score": 0.01,
        "model.base_checkpoint": f"{folder}/base.pth",
        "default_hooks.logger.interval": 1,
    }
    if method != "stock":
        settings |= {"train_cfg.max_epochs": 1, "train_cfg.val_interval": 1}
    merged = Config({})
    merged.merge_from_dict(settings)
    lines = [f"{key} = {value!r}" for key, value in merged.to_dict().items()]
    path = folder / f"{method}.py"
    path.write_text("\n".join([f"_base_ = {str(base)!r}", "", *lines]) + "\n")
    write_data(cfg, folder, count=2)
    if not (folder / "base.pth").exists():
        write_base(Config.fromfile(path).model, folder / "base.pth")
    return path


def write_base(model_config: dict, path: Path) -> None:
    """Full random weights as a release would give them, the fusion strong enough to matter."""
    config = Config(dict(model=model_config)).copy().model
    config.update(base_checkpoint=None, prompt=None)
    torch.manual_seed(0)
    model = MODELS.build(config)
    bert = {key: value.clone() for key, value in model.language_model.state_dict().items()}
    model.init_weights()
    model.language_model.load_state_dict(bert)
    with torch.no_grad():
        for layer in model.encoder.fusion_layers:
            layer.gamma_v.fill_(0.5)
            layer.gamma_l.fill_(0.5)
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
