"""The stored splits of EmojiWorld: what is in them, and their images and COCO annotations."""

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from negas.coco_json import UNLABELLED
from negas.shipped import find

from .atlas import INDEXES, Atlas, Tile
from .instances import FILE, SIDES, tiles_of
from .scenes import Scene, SceneComposer, scene_generator
from .vocabulary import (
    HELD_OUT_STYLES,
    SEEN_STYLES,
    SHARED_HELD_OUT_STYLES,
    SHARED_SEEN_STYLES,
    EmojiClass,
    group_names,
    load_classes,
)

PNG_LEVEL = 1  # zlib level: the grain hardly compresses, so more effort buys little
ID_CATEGORIES = "id"

Objects = tuple[np.ndarray, list[str]]  # xyxy boxes [N, 4] and N names


@dataclass(frozen=True)
class Split:
    """One stored split.

    `key` makes its scenes differ from the others' (1 or more: a stream of pre-training scenes has
    none); `labelled` is `id`, `near`, `far` or `near_strict`; `unlabelled` is the (least, most)
    number of distractors per scene, drawn from the "other" classes. `side` (`fit` or `test`) leaves
    the tiles of the other side out (see `instances`); None draws all tiles of the styles.
    """

    name: str
    key: int
    num: int
    labelled: str
    unlabelled: tuple[int, int] = (0, 0)
    styles: tuple[str, ...] = HELD_OUT_STYLES
    side: str | None = None

    @property
    def is_ood(self) -> bool:
        """Whether no ID class appears."""
        return self.labelled != ID_CATEGORIES


_FIT, _TEST = SIDES
SPLITS = {
    split.name: split
    for split in (
        Split("id_train", 1, 600, "id", (0, 3), side=_FIT),
        Split("id_val", 2, 200, "id", (0, 2), side=_FIT),
        Split("id_val_seen", 3, 200, "id", (0, 2), SEEN_STYLES),
        Split("id_test", 4, 500, "id", (0, 2), side=_TEST),
        Split("id_test_clean", 5, 500, "id", side=_TEST),
        Split("near_ood", 6, 500, "near", side=_TEST),
        Split("far_ood", 7, 500, "far", side=_TEST),
        Split("near_ood_strict", 8, 500, "near_strict", side=_TEST),
        Split("id_val_clean", 9, 200, "id", side=_FIT),
    )
}


def _shared(split: Split) -> Split:
    seen = split.styles == SEEN_STYLES
    return replace(split, side=None, styles=SHARED_SEEN_STYLES if seen else SHARED_HELD_OUT_STYLES)


def splits(shared_instances: bool = False) -> dict[str, Split]:
    """Splits by name, with the same classes and numbers of images in both worlds.

    Args:
        shared_instances: False gives `SPLITS`, in three held-out styles: no tile of an ID set to
            fit on, labelled or not, occurs in one to test on. True gives sets that all show the
            same glyphs, in one held-out style.
    """
    if not shared_instances:
        return SPLITS
    return {name: _shared(split) for name, split in SPLITS.items()}


def labelled_names(classes: tuple[EmojiClass, ...], labelled: str) -> list[str]:
    """Return the class names that a split of this kind annotates, in category order."""
    if labelled == "near_strict":
        return [entry.name for entry in classes if entry.group == "near" and not entry.seen_strict]
    return group_names(classes, labelled)


class SplitWriter:
    """Draws the images and annotations of one split.

    Args:
        split: which.
        data_dir: folder with the atlas and the class table.
        num: number of images; by default the split's own.
        seed: of the whole benchmark.
    """

    def __init__(self, split: Split, data_dir: Path, num: int | None = None, seed: int = 0) -> None:
        self.split, self.seed = split, seed
        self.data_dir = Path(find(Path(data_dir) / "classes.json")).parent
        self.num = split.num if num is None else min(num, split.num)
        self.classes = load_classes(data_dir)
        self.names = labelled_names(self.classes, split.labelled)

    @cached_property
    def composer(self) -> SceneComposer:
        """The composer; reads the atlas on first use only."""
        return SceneComposer(Atlas(self.data_dir, self.split.styles, self.left_out), self.classes)

    @cached_property
    def others(self) -> list[str]:
        """Classes of the distractors: a few have no tile on one of the sides."""
        return self.composer.drawable(group_names(self.classes, "other"))

    @property
    def left_out(self) -> frozenset[Tile]:
        """Tiles of the held-out styles that belong to the other side."""
        if self.split.side is None:
            return frozenset()
        (other,) = set(SIDES) - {self.split.side}
        return tiles_of(self.data_dir, other)

    def recipe(self) -> dict:
        """Everything that was chosen; a stored set with another recipe is out of date."""
        chosen = {"version": 3, "seed": self.seed, **asdict(self.split), "num": self.num}
        if self.split.side is None:
            del chosen["side"]
        return chosen

    def sources(self) -> list[Path]:
        """The files that the scenes are drawn from."""
        names = ["classes.json", INDEXES[0]]
        if set(self.split.styles) - set(SHARED_SEEN_STYLES + SHARED_HELD_OUT_STYLES):
            names.append(INDEXES[1])
        if self.split.side is not None:
            names.append(FILE)
        names += [f"atlas-{style}.webp" for style in self.split.styles]
        return [self.data_dir / name for name in names]

    def scene(self, image_id: int) -> Scene:
        """Draw one scene; `image_id` starts at 1."""
        rng = scene_generator(self.seed, self.split.key, image_id)
        return self.composer.compose(rng, self.names, None, self.others, self.split.unlabelled)

    def file_name(self, image_id: int) -> str:
        """Name of an image inside the split's folder."""
        return f"{image_id:06d}.png"

    def png(self, scene: Scene) -> bytes:
        """Encode a scene's image."""
        return cv2.imencode(".png", scene.image, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[
            1
        ].tobytes()

    def categories(self, names: list[str]) -> list[dict]:
        """COCO categories, ids from 1; ``seen``: in the vocabulary of standard pre-training."""
        about = {entry.name: entry for entry in self.classes}
        return [
            {
                "id": i,
                "name": name,
                "supercategory": about[name].hypernym,
                "seen": about[name].seen,
            }
            for i, name in enumerate(names, start=1)
        ]

    def annotations(
        self, boxes: dict[int, Objects], unlabelled: dict[int, Objects]
    ) -> dict[str, str]:
        """COCO JSON texts by file name: `<split>.json`, and `<split>_noann.json` for an OOD set.

        The twin without annotations lists the ID categories, as evaluators for ID classes expect.

        Args:
            boxes: by image id, the labelled objects.
            unlabelled: likewise, those that no reader of COCO sees: a list of its own,
                ``unlabelled``, of ``image_id``, ``bbox`` and ``name``, if the split has any.
        """
        side = self.composer.size
        images = [
            {"id": i, "file_name": self.file_name(i), "width": side, "height": side} for i in boxes
        ]
        category = {name: i for i, name in enumerate(self.names, start=1)}
        rows = []
        for image_id, (corners, names) in boxes.items():
            for (left, top, right, bottom), name in zip(corners.tolist(), names, strict=True):
                width, height = int(right - left), int(bottom - top)
                rows.append(
                    {
                        "id": len(rows) + 1,
                        "image_id": image_id,
                        "category_id": category[name],
                        "bbox": [int(left), int(top), width, height],
                        "area": width * height,
                        "iscrowd": 0,
                    }
                )
        info = {"description": f"EmojiWorld {self.split.name}, synthetic emoji scenes"}
        full = {"info": info, "images": images, "annotations": rows}
        texts = {self.split.name: full | {"categories": self.categories(self.names)}}
        if self.split.unlabelled[1]:
            texts[self.split.name][UNLABELLED] = [
                {
                    "image_id": image_id,
                    "bbox": [int(x) for x in (left, top, right - left, bottom - top)],
                    "name": name,
                }
                for image_id, (corners, names) in unlabelled.items()
                for (left, top, right, bottom), name in zip(corners.tolist(), names, strict=True)
            ]
        if self.split.is_ood:
            identity = self.categories(group_names(self.classes, "id"))
            texts[f"{self.split.name}_noann"] = full | {"annotations": [], "categories": identity}
        return {f"{name}.json": json.dumps(text) + "\n" for name, text in texts.items()}
