"""Visual prototypes: the mean image embedding of each ID class's annotated instances.

Shapes: K classes, D channels of the joint text-image space.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from negas.embeddings.encoders import Encoder
from negas.embeddings.images import ImageItem, annotated_crops
from negas.embeddings.store import encode_images
from negas.labels.selection.ranking import unit_rows
from negas.metrics.coco import category_ids, load_coco

T = TypeVar("T")
_BATCH = 256  # crops between two writes of the store


def class_prototypes(
    ann_file: str | os.PathLike,
    img_dir: str | os.PathLike,
    class_names: Sequence[str],
    encoder: Encoder,
    cache_dir: str | os.PathLike | None = None,
    max_per_class: int | None = None,
    min_size: float = 16,
    seed: int = 0,
) -> np.ndarray:
    """One L2-normalised vector per class, ``[K, D]`` float32: the mean of normalised embeddings.

    Args:
        ann_file: COCO json of an ID training set. Objects marked ``iscrowd``, ``difficult`` or
            ``ignore`` are left out.
        img_dir: folder of its images.
        class_names: the K classes, named as the categories.
        encoder: from :func:`~negas.embeddings.encoders.build_encoder`.
        cache_dir: root of a :class:`~negas.embeddings.store.FeatureStore` for the embeddings of
            crops. ``None`` keeps nothing.
        max_per_class: at most so many crops of a class, drawn at random.
        min_size: least length of a box's shorter side, in pixels.
        seed: of the draw.

    Raises:
        FileNotFoundError: no such annotation file or image.
        ValueError: malformed annotations, a class that is no category or has no crop, or an image
            that cannot be read.
        OSError: the cache cannot be written.
    """
    crops = _crops(ann_file, img_dir, class_names, max_per_class, min_size, seed)
    sums, counts = 0.0, np.zeros(len(class_names), np.int64)
    with tqdm(total=len(crops), desc="crops", delay=2, leave=False, disable=None) as bar:
        for start in range(0, len(crops), _BATCH):
            some = crops[start : start + _BATCH]
            found = encode_images(encoder, some, cache_dir, progress=False)
            if found.broken:
                raise ValueError(next(iter(found.broken.values())))
            feats = unit_rows("the embeddings of crops", found.feats, dtype=np.float64)
            if not start:
                sums = np.zeros((len(class_names), feats.shape[1]))
            labels = np.array([item.labels[0] for item in some])
            np.add.at(sums, labels, feats)
            np.add.at(counts, labels, 1)
            bar.update(len(some))
    return unit_rows("the mean embeddings of classes", sums / counts[:, None])


def draw_per_class(
    by_class: Sequence[Sequence[T]], per_class: int | None, seed: int
) -> list[list[T]]:
    """At most ``per_class`` of each class, in their order; ``None``: all.

    Each class has a draw of its own: what the other classes hold does not matter.
    """
    chosen = []
    for label, items in enumerate(by_class):
        draw = np.random.default_rng([seed, label]).permutation(len(items))[:per_class]
        chosen.append([items[i] for i in sorted(draw)])
    return chosen


def _crops(
    ann_file: str | os.PathLike,
    img_dir: str | os.PathLike,
    class_names: Sequence[str],
    max_per_class: int | None,
    min_size: float,
    seed: int,
) -> list[ImageItem]:
    """The crops to take, by image and box, every class with at least one."""
    truth = load_coco(ann_file)
    label_of = {cid: label for label, cid in enumerate(category_ids(truth, class_names))}
    by_class: list[list[ImageItem]] = [[] for _ in class_names]
    for item in annotated_crops(ann_file, truth.dataset, img_dir, label_of, min_size):
        by_class[item.labels[0]].append(item)
    empty = [name for name, crops in zip(class_names, by_class, strict=True) if not crops]
    if empty:
        raise ValueError(
            f"{ann_file}: the class {empty[0]!r} has no box of at least {min_size:g} pixels"
            + (f" (nor have {len(empty) - 1} others)" if len(empty) > 1 else "")
            + "; use a training set that shows every ID class, or lower min_size."
        )
    kept = [item for items in draw_per_class(by_class, max_per_class, seed) for item in items]
    kept.sort(key=lambda item: (item.path, item.box, item.labels))
    lost = [path for path in dict.fromkeys(item.path for item in kept) if not Path(path).is_file()]
    if lost:
        raise FileNotFoundError(
            f"{lost[0]}: no such image ({len(lost)} of those in {ann_file} are missing); check the "
            f"image folder."
        )
    return kept
