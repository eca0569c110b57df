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
    encode_files,
    read_chunk,
    write_chunk,
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
    folder = None if cache_dir is None else Path(cache_dir) / encoder.image_key[:16]
    parts = []
    hidden = None if progress else True
    with tqdm(total=len(items), desc="crops", delay=2, leave=False, disable=hidden) as bar:
        for start in range(0, len(items), chunk):
            some = items[start : start + chunk]
            target = None if folder is None else folder / f"crops-{_key(some)}.safetensors"
            part = None if target is None else read_chunk(target)
            reused = part is not None
            if part is None:
                part = _encode(encoder, some, bar)
                if target is not None:
                    write_chunk(part, target)
            else:
                bar.update(len(some))
            broken = {start + i: why for i, why in part.broken.items()}
            parts.append(FileFeatures(part.feats, part.index + start, broken, int(reused)))
    broken = {i: why for part in parts for i, why in part.broken.items()}
    if len(broken) == len(items):
        raise ValueError(f"none of the {len(items)} crops can be read; the first: {broken[0]}")
    whole = [part for part in parts if len(part)]
    return FileFeatures(
        torch.cat([part.feats for part in whole]),
        torch.cat([part.index for part in whole]),
        broken,
        sum(part.reused for part in parts),
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
        try:
            stat = os.stat(path)
            state = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns)
        except OSError:
            state = (os.path.abspath(path), None, None)
        digest.update(json.dumps([state, [item.box for item in group]]).encode())
    return digest.hexdigest()
