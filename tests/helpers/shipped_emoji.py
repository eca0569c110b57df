"""The shipped EmojiWorld detector with a few scenes drawn on the spot."""

from __future__ import annotations

import shutil
from pathlib import Path

from negas.datasets.emoji_world.splits import SPLITS, SplitWriter
from negas.datasets.emoji_world.store import ensure_split

from .yolo_world import ROOT

CONFIG = "configs/negas/stock_yolo-world-tiny_emoji-world.py"
WEIGHTS = ROOT / "data/emoji_world/yolo_world_tiny.safetensors"


def draw_scenes(folder: Path, images: int = 24, split: str = "id_val") -> Path:
    """Scenes of a split below a folder: ``id_val/*.png`` and ``annotations/id_val.json``."""
    ensure_split(SplitWriter(SPLITS[split], ROOT / "data/emoji_world", images), folder)
    return folder


def copy_weights(folder: Path) -> Path:
    """A checkpoint of one's own, so that a calibration can lie beside it."""
    return Path(shutil.copy(WEIGHTS, folder / "weights.safetensors"))
