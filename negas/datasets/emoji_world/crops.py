"""Crops of single glyphs, to train an image encoder on."""

import cv2
import numpy as np

from . import atlas, glyphs, scenes, vocabulary


class GlyphCrops:
    """Square crops of the labelled glyphs of random scenes (pre-training classes and styles)."""

    def __init__(self, data_dir: str, seed: int) -> None:
        """Load the atlas; the seen styles are for training, the held-out style for measuring."""
        classes = vocabulary.load_classes(data_dir)
        self.seed, self._generator = seed, scenes.scene_generator
        self._composers = [
            scenes.SceneComposer(
                atlas.Atlas(data_dir, styles), classes, photometry=looks, dense_prob=0.5
            )
            for styles, looks in (
                (vocabulary.SHARED_SEEN_STYLES, glyphs.STRONG),
                (vocabulary.SHARED_HELD_OUT_STYLES, glyphs.PLAIN),
            )
        ]
        self.names = self._composers[0].drawable(vocabulary.vocabulary(classes))
        self.num_id = len(vocabulary.group_names(classes, "id"))
        self._drawable = [set(composer.drawable(self.names)) for composer in self._composers]

    def draw(self, batch: int, step: int, held_out: bool = False) -> tuple:
        """See `make_vision_tower.CropSource`; ID classes come three times as often."""
        path = (1, -step) if step < 0 else (0, step)  # negative steps measure, they never train
        rng = self._generator(self.seed, 77, *path, int(held_out))
        weights = np.array([3.0 if i < self.num_id else 1.0 for i in range(len(self.names))])
        weights *= [name in self._drawable[held_out] for name in self.names]
        index = {name: i for i, name in enumerate(self.names)}
        images, labels = [], []
        while len(images) < batch:
            scene = self._composers[held_out].compose(rng, self.names, weights / weights.sum())
            for box, name in zip(scene.boxes, scene.names, strict=True):
                images.append(square_crop(scene.image, box, rng))
                labels.append(index[name])
        return np.stack(images[:batch]), np.array(labels[:batch])


def square_crop(image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut a square around an xyxy box of a BGR image, loosely; RGB uint8 [64, 64, 3]."""
    extent = box[2:] - box[:2]
    side = float(extent.max()) * rng.uniform(1.0, 1.35)
    centre = (box[:2] + box[2:]) / 2 + extent * rng.uniform(-0.08, 0.08, size=2)
    scale = 64 / side
    shift = 31.5 - scale * (centre - 0.5)
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    crop = cv2.warpAffine(image, matrix, (64, 64), borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(crop[..., ::-1])
