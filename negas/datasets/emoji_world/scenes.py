"""Compose scenes: glyphs on a background, with a box around each labelled one.

Pure numpy, OpenCV and Pillow. A scene is a function of the generator and of the composer's
settings only. Boxes are xyxy in pixels of the image, right and bottom edges exclusive.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from .atlas import Atlas
from .backgrounds import background
from .glyphs import PLAIN, VISIBLE_ALPHA, Photometry, draw_glyph
from .vocabulary import EmojiClass

MAX_OVERLAP = 0.35  # of the smaller box, for every pair
MIN_VISIBLE = 0.5  # share of an object's pixels that later objects must leave uncovered
PLACES_TRIED = 24


@dataclass
class Scene:
    """An image with its labelled and unlabelled objects.

    `image` uint8 BGR [S, S, 3]; `boxes` float32 [N, 4]; `names` N class names;
    `unlabelled_names` and `unlabelled_boxes` [U, 4]: objects that are there but not annotated.
    """

    image: np.ndarray
    boxes: np.ndarray
    names: list[str]
    unlabelled_names: list[str] = field(default_factory=list)
    unlabelled_boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def scene_generator(seed: int, *path: int) -> np.random.Generator:
    """Return the generator of one scene; independent for every (seed, path)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *path])))


class SceneComposer:
    """Draws scenes from a class table in given styles.

    Args:
        atlas: tiles of the styles to draw in.
        classes: the whole class table.
        size: image side in pixels.
        photometry: colour changes per object.
        dense_prob: probability of a dense scene (5-10 objects of 22-62 px) instead of a sparse
            one (1-6 objects of 26-92 px).

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        atlas: Atlas,
        classes: Sequence[EmojiClass],
        size: int = 160,
        photometry: Photometry = PLAIN,
        dense_prob: float = 0.0,
    ) -> None:
        if size < 128:
            raise ValueError(f"size must be 128 pixels or more (objects reach 120), got {size}.")
        if not 0.0 <= dense_prob <= 1.0:
            raise ValueError(f"dense_prob must lie in [0, 1], but got {dense_prob}.")
        self.atlas, self.size = atlas, size
        self.photometry, self.dense_prob = photometry, dense_prob
        self._looks = {
            entry.name: [
                (style, [glyph for glyph in entry.glyphs if style in atlas.styles_of(glyph)])
                for style in atlas.styles
                if any(style in atlas.styles_of(glyph) for glyph in entry.glyphs)
            ]
            for entry in classes
        }
        # Only "other" classes: a blurred piece of an ID or OOD thing would leak it.
        self._fragments = [
            atlas.tile(style, glyph)
            for entry in classes
            if entry.group == "other"
            for style, glyphs in self._looks[entry.name]
            for glyph in glyphs
        ]

    def drawable(self, names: Sequence[str]) -> list[str]:
        """Return the names that at least one of the atlas's styles can draw."""
        return [name for name in names if self._looks[name]]

    def compose(
        self,
        rng: np.random.Generator,
        names: Sequence[str],
        weights: np.ndarray | None = None,
        unlabelled: Sequence[str] = (),
        num_unlabelled: tuple[int, int] = (0, 0),
    ) -> Scene:
        """Draw a scene with at least one labelled object.

        `names` are the labelled classes, drawn with probabilities `weights` [len(names)] (uniform
        by default); `num_unlabelled` (least, most) objects of the classes `unlabelled` are added.
        """
        while True:
            scene = self._compose_once(rng, names, weights, unlabelled, num_unlabelled)
            if scene.names:
                return scene

    def _compose_once(self, rng, names, weights, unlabelled, num_unlabelled) -> Scene:
        dense = rng.random() < self.dense_prob
        low, high, smallest, largest = (5, 10, 22.0, 62.0) if dense else (1, 6, 26.0, 92.0)
        labelled = rng.choice(len(names), size=int(rng.integers(low, high + 1)), p=weights)
        wanted = [(names[int(i)], True) for i in labelled]
        extra = int(rng.integers(num_unlabelled[0], num_unlabelled[1] + 1))
        wanted += [(unlabelled[int(rng.integers(len(unlabelled)))], False) for _ in range(extra)]
        sizes = np.exp(rng.uniform(np.log(smallest), np.log(largest), size=len(wanted)))
        canvas = _Canvas(background(rng, self.size, self._fragments))
        # Large objects first: otherwise they rarely find a free place.
        for i in np.argsort(-sizes, kind="stable"):
            name, is_labelled = wanted[int(i)]
            styles = self._looks[name]
            style, glyphs = styles[int(rng.integers(len(styles)))]
            glyph = glyphs[int(rng.integers(len(glyphs)))]
            patch = draw_glyph(self.atlas, style, glyph, float(sizes[i]), rng, self.photometry)
            canvas.place(patch, rng, (name, is_labelled))
        boxes = canvas.visible_boxes()
        keep = np.array([is_labelled for _, is_labelled in canvas.tags], dtype=bool)
        return Scene(
            image=finish(canvas.image, rng),
            boxes=boxes[keep],
            names=[name for name, is_labelled in canvas.tags if is_labelled],
            unlabelled_names=[name for name, is_labelled in canvas.tags if not is_labelled],
            unlabelled_boxes=boxes[~keep],
        )


class _Canvas:
    """An image under construction; remembers which object each pixel shows."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.owner = np.full(image.shape[:2], -1, np.int16)
        self.boxes = np.zeros((0, 4), np.int64)
        self.area: list[int] = []
        self.hidden: list[int] = []
        self.tags: list[tuple[str, bool]] = []

    def place(self, patch: np.ndarray, rng: np.random.Generator, tag: tuple[str, bool]) -> None:
        """Paste a premultiplied patch at a free place; leave it out if there is none."""
        height, width = patch.shape[:2]
        side = self.image.shape[0]
        opacity = rng.uniform(0.85, 1.0)
        if min(height, width) == 0 or max(height, width) > side:
            return
        solid = patch[..., 3] >= VISIBLE_ALPHA
        tops = rng.integers(0, side - height + 1, size=PLACES_TRIED)
        lefts = rng.integers(0, side - width + 1, size=PLACES_TRIED)
        boxes = np.stack([lefts, tops, lefts + width, tops + height], axis=1)
        free = overlap_of_smaller(boxes, self.boxes).max(axis=1, initial=0.0) <= MAX_OVERLAP
        for left, top, right, bottom in boxes[free]:
            covered = self.owner[top:bottom, left:right][solid]
            hits = np.bincount(covered + 1, minlength=len(self.tags) + 1)[1:]
            if all(
                hidden + hit <= (1 - MIN_VISIBLE) * area
                for hidden, hit, area in zip(self.hidden, hits, self.area, strict=True)
            ):
                break
        else:
            return
        self.hidden = [hidden + int(hit) for hidden, hit in zip(self.hidden, hits, strict=True)]
        region = self.image[top:bottom, left:right]
        cover = patch[..., 3:].astype(np.float32) * (opacity / 255)
        region[:] = np.round(region * (1 - cover) + patch[..., :3] * np.float32(opacity))
        self.owner[top:bottom, left:right][solid] = len(self.tags)
        self.boxes = np.concatenate([self.boxes, [[left, top, right, bottom]]])
        self.area.append(int(solid.sum()))
        self.hidden.append(0)
        self.tags.append(tag)

    def visible_boxes(self) -> np.ndarray:
        """Tight bounds [N, 4] of the pixels that still show each object."""
        tight = np.zeros((len(self.tags), 4), np.float32)
        for i, (left, top, right, bottom) in enumerate(self.boxes):
            mine = (self.owner[top:bottom, left:right] == i).astype(np.uint8)
            x, y, width, height = cv2.boundingRect(mine)
            tight[i] = (left + x, top + y, left + x + width, top + y + height)
        return tight


def overlap_of_smaller(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over the smaller area, [N, M], of xyxy boxes [N, 4] and [M, 4]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    inter = np.clip(high - low, 0, None).prod(axis=2)
    area_first = (first[:, 2:] - first[:, :2]).prod(axis=1)
    area_second = (second[:, 2:] - second[:, :2]).prod(axis=1)
    return inter / np.maximum(np.minimum(area_first[:, None], area_second[None, :]), 1e-9)


def finish(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Camera effects on the whole image: contrast, brightness, blur, grain."""
    gain, offset = np.exp(rng.normal(0, 0.1)), rng.normal(0, 10)
    blur, sigma, grain = rng.random() < 0.3, rng.uniform(0.3, 0.9), rng.uniform(0, 7)
    table = np.clip((np.arange(256) - 128) * gain + 128 + offset, 0, 255).astype(np.float32)
    image = cv2.LUT(image, table)
    if blur:
        image = cv2.GaussianBlur(image, (0, 0), float(sigma))
    image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(grain)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
