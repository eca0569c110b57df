"""Features of images and crops, cached as :mod:`negas.image_level.feature_cache` does.

Shapes: N images or crops, D channels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from negas.image_level.crops import MARGIN, ImageItem
from negas.image_level.encoders import Encoder
from negas.image_level.feature_cache import (
    CHUNK,
    FileFeatures,
    encode_chunks,
    encode_files,
    file_state,
)
from negas.labels.crops import load_image


def encode_items(
    encoder: Encoder,
    items: Sequence[ImageItem],
    cache_dir: str | os.PathLike | None = None,
    chunk: int = CHUNK,
    progress: bool = True,
) -> FileFeatures:
    """Features of images or crops, from the cache where they are there; broken images are left out.

    Args:
        encoder: from :func:`~negas.image_level.encoders.build_encoder`.
        items: whole images or crops; crops of one image should stand together.
        cache_dir: folder of the cache; ``None`` keeps nothing.
        chunk: images or crops per file of the cache.
        progress: show a bar if it takes over two seconds.

    Returns:
        Features [N, D], the place of each row in ``items``, and what was left out.

    Raises:
        ValueError: no image can be read.
    """
    if all(item.box is None for item in items):
        return encode_files(encoder, [item.path for item in items], cache_dir, chunk, progress)
    return encode_chunks(
        items,
        "crops",
        lambda some, bar: _encode(encoder, some, bar),
        lambda some: f"crops-{_key(some)}",
        None if cache_dir is None else Path(cache_dir) / encoder.image_key[:16],
        chunk,
        progress,
    )


def _encode(encoder: Encoder, items: Sequence[ImageItem], bar: tqdm) -> FileFeatures:
    broken: dict[int, str] = {}

    def crops() -> Iterator[Image.Image]:
        """Crops that can be had; each image is opened once for all its crops."""
        places = range(len(items))
        for path, group in groupby(places, key=lambda place: items[place].path):
            image, why = None, None
            try:
                image = load_image(path)
            except (OSError, ValueError) as error:
                why = str(error)
                tqdm.write(f"left out: {why}")
            for place in group:
                bar.update()
                if image is None:
                    broken[place] = why
                    continue
                try:
                    crop = items[place].cut(image) if items[place].box else image
                except ValueError as error:
                    broken[place] = str(error)
                    tqdm.write(f"left out: {error}")
                    continue
                yield crop

    feats = list(encoder.image_batches(crops(), progress=False))
    index = torch.tensor([i for i in range(len(items)) if i not in broken], dtype=torch.int64)
    return FileFeatures(torch.cat(feats) if feats else torch.zeros(0, 0), index, broken)


def _key(items: Sequence[ImageItem]) -> str:
    digest = hashlib.sha1(str(MARGIN).encode(), usedforsecurity=False)
    for path, group in groupby(items, key=lambda item: item.path):
        digest.update(json.dumps([file_state(path), [item.box for item in group]]).encode())
    return digest.hexdigest()
