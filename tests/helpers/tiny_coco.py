"""Tiny data in the real formats and layouts, base weights, and a user's config that uses them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from PIL import Image

import negas.register  # noqa: F401
from negas.labels.names import read_names

from .detector import fill_with_signal
from .grounding_dino import fill_grounding_dino
from .yolo_world import ROOT

TINY_CLIP = str(ROOT / "data/emoji_world/tiny_clip")
TINY_BERT = str(ROOT / "data/emoji_world/tiny_bert")
EMOJI_GROUNDING_DINO = ROOT / "configs/negas/negas_grounding-dino-tiny_1xb8-4e_emoji-world.py"
EMOJI = ROOT / "configs/negas/negas_yolo-world-tiny_1xb16-8e_emoji-world.py"
NEGATIVES = ["deer", "goat", "tractor"]
OOD_NAMES = ["zebra", "toaster", "kite"]
SMALL = dict(batch_size=2, num_workers=0, persistent_workers=False)


def write_set(
    ann_file: Path,
    image_dir: Path,
    names: Sequence[str],
    count: int = 4,
    size: tuple[int, int] = (96, 72),
    seed: int = 0,
    suffix: str = ".jpg",
    string_ids: bool = False,
    annotate: bool = True,
) -> None:
    """Noise images with coloured rectangles as objects, and their COCO json.

    The last image shows nothing; without ``annotate`` the json has no annotations at all.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    image_dir.mkdir(parents=True, exist_ok=True)
    ann_file.parent.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i in range(count):
        stem = f"{seed + 1}{i + 1:05d}"
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        image_id = stem if string_ids else int(stem)
        for _ in range(2 if i < count - 1 else 0):
            k = int(rng.integers(len(names)))
            x, y = int(rng.integers(width // 2)), int(rng.integers(height // 2))
            w, h = int(rng.integers(16, width // 2)), int(rng.integers(16, height // 2))
            pixels[y : y + h, x : x + w] = (37 * k % 256, 91 * k % 256, 200)
            box = dict(bbox=[x, y, w, h], area=w * h, iscrowd=0)
            annotations.append(
                dict(id=len(annotations) + 1, image_id=image_id, category_id=k + 1, **box)
            )
        Image.fromarray(pixels).save(image_dir / f"{stem}{suffix}")
        images.append(dict(id=image_id, file_name=f"{stem}{suffix}", width=width, height=height))
    categories = [dict(id=k + 1, name=name) for k, name in enumerate(names)]
    content = dict(images=images, annotations=annotations if annotate else [])
    ann_file.write_text(json.dumps(content | dict(categories=categories)))


def _loaders(cfg: Config) -> Iterator[tuple[str, dict]]:
    """Dotted key and config of every dataloader that a config names, the test loop's included."""
    for split in ("train", "val", "test"):
        if cfg.get(f"{split}_dataloader"):
            yield f"{split}_dataloader", cfg[f"{split}_dataloader"]
    test = cfg.get("test_cfg") or {}
    for name in ("id_val_dataloader", "id_val_clean_dataloader"):
        if test.get(name):
            yield f"test_cfg.{name}", test[name]
    for name, loader in (test.get("ood_dataloaders") or {}).items():
        yield f"test_cfg.ood_dataloaders.{name}", loader


def write_data(cfg: Config, folder: Path, count: int = 4) -> None:
    """All data sets of a config below ``folder``, each where the config looks for it.

    VOC's image ids are strings, as in the published jsons; OpenImages-OOD has no annotations.
    """
    for seed, (key, loader) in enumerate(_loaders(cfg)):
        dataset = loader["dataset"]
        root = folder / dataset["data_root"]
        ann_file = root / dataset["ann_file"]
        if not ann_file.exists():
            write_set(
                ann_file,
                root / dataset["data_prefix"]["img"],
                OOD_NAMES if "ood" in key else read_names(cfg.model.class_names),
                count,
                seed=seed,
                suffix=".png" if "emoji" in str(root) else ".jpg",
                string_ids="VOC" in str(root),
                annotate="openimages" not in str(root),
            )


def write_base(model_config: dict, path: Path, seed: int = 0) -> None:
    """Full weights of a model, as a release would give them: random, but with signal throughout."""
    config = Config(dict(model=model_config)).copy().model
    config.update(base_checkpoint=None)
    if "prompt" in config:
        config.prompt = None
    torch.manual_seed(seed)
    model = MODELS.build(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    if "GroundingDINO" in config.type:
        fill_grounding_dino(model, seed)
        torch.save(dict(state_dict=model.state_dict(), meta={}), path)
        return
    fill_with_signal(model, seed, logit_scale=3.0)
    with torch.no_grad():
        for branch in model.bbox_head.head_module.reg_preds:  # boxes of some 5 cells' size
            reg_max = model.bbox_head.head_module.reg_max
            branch[-1].weight.mul_(0.1)
            branch[-1].bias.copy_(-(torch.arange(reg_max) - 2.5).abs().repeat(4))
    released = {k: v for k, v in model.state_dict().items() if not k.startswith("siren.")}
    torch.save(dict(state_dict=released, meta={}), path)


def user_config(
    base: Path, folder: Path, name: str = "mine.py", size: int = 96, **options: object
) -> Path:
    """A user's config outside the repository: ours, inherited by its absolute path.

    Small images and batches, data and weights below ``folder``. ``options`` are further settings
    with ``__`` for dots, e.g. ``train_cfg__max_epochs=3``.
    """
    cfg = Config.fromfile(base)
    settings = Config(dict())
    for key, loader in _loaders(cfg):
        dataset = loader["dataset"]
        pipeline = [
            dict(step) | (dict(scale=(size, size)) if "scale" in step else {})
            for step in dataset["pipeline"]
        ]
        root = f"{folder}/{dataset['data_root']}"
        settings.merge_from_dict(
            {key: SMALL | dict(dataset=dict(data_root=root, pipeline=pipeline))}
        )
    if cfg.get("val_evaluator"):
        ann_file = f"{folder}/{cfg.val_evaluator.ann_file}"
        settings.merge_from_dict({"val_evaluator.ann_file": ann_file})
    settings.merge_from_dict(
        {
            "model.base_checkpoint": f"{folder}/base.pth",
            "test_evaluator": dict(_delete_=True, type="OODMetric", cut=0.05, min_score=0.01),
            "default_hooks.logger.interval": 1,
            "work_dir": f"{folder}/work",
        }
    )
    if "GroundingDINO" in cfg.model.type:
        settings.merge_from_dict({"model.language_model.name": TINY_BERT})
    else:
        settings.merge_from_dict({"model.backbone.text_model.model_name": TINY_CLIP})
    settings.merge_from_dict({key.replace("__", "."): v for key, v in options.items()})
    lines = [f"_base_ = {str(base)!r}", ""]
    lines += [f"{key} = {value!r}" for key, value in settings.to_dict().items()]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def emoji_project(folder: Path, count: int = 4, base: Path = EMOJI, **options: object) -> Path:
    """Data, base weights and config of a three-epoch NegAS run on EmojiWorld's format."""
    options = dict(model__neg_labels=NEGATIVES, train_cfg__max_epochs=3) | options
    options = dict(train_cfg__val_interval=3) | options
    path = user_config(base, folder, **options)
    write_data(Config.fromfile(base), folder, count)
    write_base(Config.fromfile(path).model, folder / "base.pth")
    return path
