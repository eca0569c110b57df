"""A folder to run the demo and tables in: the repository's data, few scenes, random weights."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from negas.experiments import demo

from .detector import build_detector
from .yolo_world import ROOT

# One epoch of small batches, in one process.
SHORT = {
    "train_cfg.max_epochs": 1,
    "train_cfg.val_interval": 1,
    "train_dataloader.batch_size": 4,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "test_evaluator.rotations": 1,
    "test_evaluator.cut": 0.05,
}


def make_workplace(root: Path, num: int = 8) -> Path:
    """Fill a folder; returns it.

    Args:
        root: an empty folder.
        num: scenes of each split.
    """
    data = root / "data" / "emoji_world"
    data.mkdir(parents=True)
    for source in (ROOT / "data" / "emoji_world").iterdir():
        if source.name not in ("scenes", "yolo_world_tiny.safetensors"):
            (data / source.name).symlink_to(source)
    (root / "data" / "labels").symlink_to(ROOT / "data" / "labels")
    model = build_detector(prompt=None, use_nega=False)
    weights = {
        key: value.contiguous()
        for key, value in model.state_dict().items()
        if not key.startswith("backbone.text_model.")
    }
    weights = {key.replace("neck.neck.", "neck."): value for key, value in weights.items()}
    save_file(weights, data / "yolo_world_tiny.safetensors")
    demo.make_scenes(data, num=num)
    return root
