"""Datasets, samplers and transforms.

The registered classes load the mm* packages when they are first asked for, so that the scene
renderer below this package stays light.
"""

from importlib import import_module

_WHERE = {
    "CocoByNameDataset": ".coco_by_name",
    "EmojiWorldDataset": ".emoji_world.dataset",
    "EmojiWorldScenes": ".emoji_world.stream",
    "EpochWindowSampler": ".samplers",
    "RandomTexts": ".transforms.random_texts",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name], __name__), name)
