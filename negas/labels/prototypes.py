"""Visual prototypes: the mean image embedding of each ID class's annotated instances.

Shapes: K classes, D channels of the joint text-image space.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from negas.embeddings.images import crop_box, load_image
from negas.files import write_npz
from negas.labels.selection.ranking import unit_rows
from negas.metrics.coco import category_ids, load_coco

Embed = Callable[[list[Image.Image]], Any]  # images -> [n, D]
_BATCH = 256  # crops between two writes of the cache


@dataclass
class _Progress:
    """Sums of unit embeddings [K, D], crops in them [K], and how many crops are done."""

    sums: np.ndarray
    counts: np.ndarray
    done: int


def class_prototypes(
    ann_file: str | os.PathLike,
    img_dir: str | os.PathLike,
    class_names: Sequence[str],
    embed: Embed,
    cache_dir: str | os.PathLike | None = None,
    max_per_class: int | None = None,
    min_size: float = 16,
    margin: float = 0.05,
    square: bool = True,
    seed: int = 0,
    embed_key: str | None = None,
) -> np.ndarray:
    """One L2-normalised vector per class, ``[K, D]`` float32: the mean of normalised embeddings.

    Args:
        ann_file: COCO json of an ID training set. Objects marked ``iscrowd``, ``difficult`` or
            ``ignore`` are left out.
        img_dir: folder of its images.
        class_names: the K classes, named as the categories.
        embed: from a list of Pillow images to ``[n, D]``, a tensor or array, such as
            ``negas.embeddings.encoders.Encoder.images``.
        cache_dir: where to keep the result (and, every 256 crops, what is there of it), under a key
            of annotations, images, options and model. ``None`` keeps nothing.
        max_per_class: at most so many crops of a class, drawn at random.
        min_size: least length of a box's shorter side, in pixels.
        margin: see :func:`negas.embeddings.images.crop_box`.
        square: the same.
        seed: of the draw.
        embed_key: what tells one model from another in the cache; default: ``image_key`` of the
            object whose method ``embed`` is.

    Raises:
        FileNotFoundError: no such annotation file or image.
        ValueError: malformed annotations, a class that is no category or has no crop, an image that
            cannot be read, or a cache without ``embed_key``.
        OSError: the cache cannot be written.
    """
    crops, folder = _crops(ann_file, img_dir, class_names, max_per_class, min_size, seed), None
    if cache_dir is not None:
        key = embed_key or getattr(getattr(embed, "__self__", None), "image_key", None)
        if key is None:
            raise ValueError("a prototype cache needs embed_key, which names the image encoder.")
        options = [list(class_names), margin, square, key, _BATCH]
        folder = Path(cache_dir) / f"prototypes-{_digest(crops, options)}.npz"
    state = _read(folder, len(class_names), len(crops))
    bar = tqdm(total=len(crops), desc="crops", delay=2, leave=False, disable=None)
    with bar:
        bar.update(state.done if state else 0)
        for start in range(state.done if state else 0, len(crops), _BATCH):
            some = crops[start : start + _BATCH]
            images = _cut(some, margin, square)
            feats = unit_rows("the embeddings of crops", embed(images), dtype=np.float64)
            if len(feats) != len(some):
                raise ValueError(f"embed gave {len(feats)} rows for {len(some)} images.")
            if state is None:
                size = (len(class_names), feats.shape[1])
                state = _Progress(np.zeros(size), np.zeros(len(class_names), np.int64), 0)
            labels = np.array([label for label, *_ in some])
            np.add.at(state.sums, labels, feats)
            np.add.at(state.counts, labels, 1)
            state.done = start + len(some)
            if folder is not None:
                _write(state, folder)
            bar.update(len(some))
    return unit_rows("the mean embeddings of classes", state.sums / state.counts[:, None])


Crop = tuple[int, str, tuple[float, float, float, float]]  # class, image file, xyxy


def _crops(
    ann_file: str | os.PathLike,
    img_dir: str | os.PathLike,
    class_names: Sequence[str],
    max_per_class: int | None,
    min_size: float,
    seed: int,
) -> list[Crop]:
    """The crops to take, by image and box, every class with at least one."""
    truth = load_coco(ann_file)
    label_of = {cid: label for label, cid in enumerate(category_ids(truth, class_names))}
    files = {image["id"]: image["file_name"] for image in truth.dataset["images"]}
    by_class: list[list[Crop]] = [[] for _ in class_names]
    for ann in truth.dataset["annotations"]:
        label = label_of.get(ann["category_id"])
        if label is None or any(ann.get(flag) for flag in ("iscrowd", "difficult", "ignore")):
            continue
        if ann["image_id"] not in files:
            raise ValueError(f"{ann_file}: an annotation names image {ann['image_id']!r}, which "
                             "is not in its images.")  # fmt: skip
        x, y, width, height = (float(value) for value in ann["bbox"])
        if min(width, height) >= min_size:
            path = str(Path(img_dir) / files[ann["image_id"]])
            by_class[label].append((label, path, (x, y, x + width, y + height)))
    empty = [name for name, crops in zip(class_names, by_class, strict=True) if not crops]
    if empty:
        raise ValueError(
            f"{ann_file}: the class {empty[0]!r} has no box of at least {min_size:g} pixels"
            + (f" (nor have {len(empty) - 1} others)" if len(empty) > 1 else "")
            + "; use a training set that shows every ID class, or lower min_size."
        )
    kept = []
    for label, crops in enumerate(by_class):
        if max_per_class is not None and len(crops) > max_per_class:
            draw = np.random.default_rng([seed, label])  # each class its own: others do not matter
            crops = [crops[i] for i in sorted(draw.permutation(len(crops))[:max_per_class])]
        kept += crops
    kept.sort(key=lambda crop: (crop[1], crop[2], crop[0]))
    lost = [path for path in dict.fromkeys(path for _, path, _ in kept) if not Path(path).is_file()]
    if lost:
        raise FileNotFoundError(
            f"{lost[0]}: no such image ({len(lost)} of those in {ann_file} are missing); check the "
            f"image folder."
        )
    return kept


def _cut(crops: Sequence[Crop], margin: float, square: bool) -> list[Image.Image]:
    images = []
    for path, group in groupby(crops, key=lambda crop: crop[1]):
        image = load_image(path)
        for _, _, box in group:
            try:
                images.append(crop_box(image, box, margin, square))
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
    return images


def _digest(crops: Sequence[Crop], options: list) -> str:
    digest = hashlib.sha1(json.dumps(options).encode(), usedforsecurity=False)
    for path, group in groupby(crops, key=lambda crop: crop[1]):
        stat = os.stat(path)
        known = [os.path.abspath(path), stat.st_size, stat.st_mtime_ns]
        digest.update(json.dumps([known, list(group)]).encode())
    return digest.hexdigest()[:20]


def _read(path: Path | None, num_classes: int, total: int) -> _Progress | None:
    """What an earlier run left; nothing if there is none or it is damaged."""
    if path is None or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            state = _Progress(data["sums"], data["counts"], int(data["done"]))
        whole = len(state.sums) == num_classes and state.counts.sum() == state.done <= total
        if not whole or not np.isfinite(state.sums).all():
            raise ValueError("its parts do not agree")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        tqdm.write(f"{path}: the cached prototypes are damaged ({error}); made again.")
        return None
    return state


def _write(state: _Progress, path: Path) -> None:
    write_npz(path, dict(sums=state.sums, counts=state.counts, done=np.array(state.done)))
