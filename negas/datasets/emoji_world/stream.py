"""Registered dataset of scenes that are drawn on the fly, for pre-training."""

from collections.abc import Sequence

import negas.compat.mm  # noqa: F401 - mmdet can be imported after it

# isort: split
import numpy as np
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import DATASETS, TRANSFORMS
from torch.utils.data import Dataset

from .atlas import Atlas
from .glyphs import PHOTOMETRIES
from .scenes import Scene, SceneComposer, scene_generator
from .vocabulary import SEEN_STYLES, group_names, load_classes, vocabulary


@DATASETS.register_module()
class EmojiWorldScenes(Dataset):
    """Scenes that are never stored: item i is a function of (seed, i) and the settings only.

    Workers, order of access and resumption do not change an item. Let `length` be the whole run
    (say 400,000 images) and train by iterations, so that no image comes twice.

    Args:
        atlas_dir: folder with atlas.json, its images, and classes.json.
        length: number of items.
        styles: glyph styles to draw in.
        vocabulary: `standard` or `strict` (see `vocabulary.vocabulary`), or a list of names.
        dense_prob: share of dense scenes.
        id_oversample: how much likelier an ID class is than any other.
        photometry: how far colours and shapes move (``plain``, ``strong``, ``wide`` or ``drawn``);
            more makes a new style less of a shock.
        size: image side in pixels.
        seed: of the whole dataset.
        pipeline: transforms, as in MMDetection, applied to the sample.

    Raises:
        FileNotFoundError, KeyError, ValueError: missing data, unknown style or bad setting.
    """

    def __init__(
        self,
        atlas_dir: str = "data/emoji_world",
        length: int = 400_000,
        styles: Sequence[str] = SEEN_STYLES,
        vocabulary: str | Sequence[str] = "standard",
        dense_prob: float = 0.65,
        id_oversample: float = 3.0,
        photometry: str = "strong",
        size: int = 160,
        seed: int = 0,
        pipeline: Sequence[dict] = (),
    ) -> None:
        if length < 1:
            raise ValueError(f"length must be 1 or more, but got {length}.")
        if id_oversample <= 0:
            raise ValueError(f"id_oversample must be above 0, but got {id_oversample}.")
        if photometry not in PHOTOMETRIES:
            raise ValueError(
                f"photometry must be one of {', '.join(PHOTOMETRIES)}, but got {photometry!r}."
            )
        classes = load_classes(atlas_dir)
        self.length, self.seed = length, seed
        self.names = _names(classes, vocabulary)
        self.composer = SceneComposer(
            Atlas(atlas_dir, styles),
            classes,
            size=size,
            photometry=PHOTOMETRIES[photometry],
            dense_prob=dense_prob,
        )
        missing = sorted(set(self.names) - set(self.composer.drawable(self.names)))
        if missing:
            raise ValueError(
                f"The styles {', '.join(styles)} have no glyph for: {', '.join(missing)}; add a "
                "style (noto and twemoji have all)."
            )
        identity = set(group_names(classes, "id"))
        weights = np.array([id_oversample if name in identity else 1.0 for name in self.names])
        self.weights = weights / weights.sum()
        self._label = {name: i for i, name in enumerate(self.names)}
        self.metainfo = {"classes": tuple(self.names), "dataset_type": "EmojiWorldScenes"}
        self.pipeline = [TRANSFORMS.build(step) for step in pipeline]

    def __len__(self) -> int:
        """Return the number of items."""
        return self.length

    def scene(self, index: int) -> Scene:
        """Draw scene `index`."""
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} is out of range for {self.length} scenes.")
        return self.composer.compose(scene_generator(self.seed, index), self.names, self.weights)

    def sample(self, index: int) -> dict:
        """Return item `index` before the pipeline: what LoadImage and LoadAnnotations give."""
        scene = self.scene(index)
        shape = scene.image.shape[:2]
        labels = np.array([self._label[name] for name in scene.names], dtype=np.int64)
        return {
            "img": scene.image,
            "img_id": index,
            "img_path": "",
            "img_shape": shape,
            "ori_shape": shape,
            "scale_factor": (1.0, 1.0),
            "flip": False,
            "flip_direction": None,
            "gt_bboxes": HorizontalBoxes(scene.boxes),
            "gt_bboxes_labels": labels,
            "gt_ignore_flags": np.zeros(len(labels), dtype=bool),
            "class_names": self.metainfo["classes"],
        }

    def __getitem__(self, index: int) -> dict:
        """Return item `index` after the pipeline."""
        results = self.sample(index)
        for transform in self.pipeline:
            results = transform(results)
        return results


def _names(classes, choice: str | Sequence[str]) -> list[str]:
    """Resolve the `vocabulary` argument to names that exist."""
    if isinstance(choice, str):
        return vocabulary(classes, choice)
    known = {entry.name for entry in classes}
    unknown = [name for name in choice if name not in known]
    if unknown or not choice:
        raise ValueError(
            f"vocabulary has names that classes.json lacks: {', '.join(map(str, unknown))}."
            if unknown
            else "vocabulary is empty: give 'standard', 'strict' or a list of names."
        )
    return list(choice)
