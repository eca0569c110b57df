"""Pictures to start from: the config's own data, or scenes of EmojiWorld drawn on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config

from negas.apis.fit import use_images, validation_loader
from negas.datasets.emoji_world.splits import SPLITS, SplitWriter
from negas.datasets.emoji_world.store import ensure_split
from negas.shipped import find

EXAMPLES = {"id_test": 2, "near_ood": 3, "far_ood": 3}  # scenes of a split
_DATA = "data/emoji_world"


def is_emoji_world(cfg: Config) -> bool:
    """Whether a config's ID validation set is EmojiWorld's."""
    try:
        return validation_loader(cfg)["dataset"].get("type") == "EmojiWorldDataset"
    except ValueError:
        return False


def draw_validation(cfg: Config, folder: Path, num: int, done: Callable[[int], object]) -> None:
    """Give a config of EmojiWorld ID validation scenes of its own where it has none.

    Args:
        cfg: changed in place.
        folder: where they are drawn, if they are not there.
        num: of scenes.
        done: told of each.
    """
    dataset = validation_loader(cfg)["dataset"]
    if Path(dataset.get("data_root") or "", dataset["ann_file"]).is_file():
        return
    ensure_split(SplitWriter(SPLITS["id_val"], Path(find(_DATA)), num), folder, done)
    use_images(cfg, str(folder / "annotations/id_val.json"), str(folder / "id_val"))


def example_scenes(folder: Path) -> list[Path]:
    """Some scenes of each kind, drawn into a folder if they are not there."""
    found = []
    for name, num in EXAMPLES.items():
        writer = SplitWriter(SPLITS[name], Path(find(_DATA)), num)
        ensure_split(writer, folder)
        found += [folder / name / writer.file_name(i + 1) for i in range(num)]
    return found
