"""Image features on disk: encoded once per model, preprocessing and list of files.

A cache is a folder of safetensors chunks. A chunk is written whole or not at all, so a run that was
killed goes on with the first chunk that is missing. Shapes: N files, D channels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from negas.files import whole_file
from negas.image_level.encoders import Encoder

T = TypeVar("T")

CHUNK = 2048  # files per chunk: 4 MB at 512 channels, a minute of ViT-B/16 on a CPU core


@dataclass(frozen=True)
class FileFeatures:
    """Features of the files that could be read.

    Attributes:
        feats: ``[N, D]`` float32, L2-normalised, in the order of the files.
        index: ``[N]`` the place of each row in the list of files.
        broken: place in the list -> why that file could not be read.
        reused: how many chunks came from the cache.
    """

    feats: Tensor
    index: Tensor
    broken: dict[int, str] = field(default_factory=dict)
    reused: int = 0

    def __len__(self) -> int:
        return len(self.feats)


def encode_files(
    encoder: Encoder,
    files: Sequence[str | os.PathLike],
    cache_dir: str | os.PathLike | None = None,
    chunk: int = CHUNK,
    progress: bool = True,
) -> FileFeatures:
    """Encode image files; those that cannot be read are reported, the others are not lost.

    The cache knows a file by path, size and time of change, and the encoder by its weights,
    precision and preprocessing. A chunk that is damaged is encoded again, with a line that says so.

    Args:
        encoder: from :func:`~negas.image_level.encoders.build_encoder`.
        files: N paths; the order matters.
        cache_dir: folder for the cache; ``None`` keeps nothing.
        chunk: files per chunk.
        progress: show a bar if it takes over two seconds.

    Raises:
        ValueError: the list is empty, or no file in it can be read.
        OSError: the cache cannot be written.
    """
    if not len(files):
        raise ValueError("there is no image to encode; check the folder or the list.")
    paths = [str(file) for file in files]
    return encode_chunks(
        paths,
        "images",
        lambda some, bar: _encode(encoder, some, bar),
        _files_key,
        None if cache_dir is None else Path(cache_dir) / encoder.image_key[:16],
        chunk,
        progress,
    )


def encode_chunks(
    items: Sequence[T],
    what: str,
    encode: Callable[[Sequence[T], tqdm], FileFeatures],
    key: Callable[[Sequence[T]], str],
    folder: Path | None,
    chunk: int = CHUNK,
    progress: bool = True,
) -> FileFeatures:
    """Encode items chunk by chunk; chunks that the cache holds are read.

    Args:
        items: N of them, at least one.
        what: what they are called: ``images``, ``crops``.
        encode: features of some items, which it counts on the bar.
        key: file name of a chunk, from its items.
        folder: of the cache; ``None`` keeps nothing.
        chunk: items per file of the cache.
        progress: show a bar if it takes over two seconds.

    Raises:
        ValueError: none of them can be read.
        OSError: the cache cannot be written.
    """
    parts: list[FileFeatures] = []
    hidden = None if progress else True
    with tqdm(total=len(items), desc=what, delay=2, leave=False, disable=hidden) as bar:
        for start in range(0, len(items), chunk):
            some = items[start : start + chunk]
            target = None if folder is None else folder / f"{key(some)}.safetensors"
            part = None if target is None else read_chunk(target)
            reused = part is not None
            if part is None:
                part = encode(some, bar)
                if target is not None:
                    write_chunk(part, target)
            else:
                bar.update(len(some))
            broken = {start + i: why for i, why in part.broken.items()}
            parts.append(FileFeatures(part.feats, part.index + start, broken, int(reused)))
    broken = {i: why for part in parts for i, why in part.broken.items()}
    if len(broken) == len(items):
        raise ValueError(f"none of the {len(items)} {what} can be read; the first: {broken[0]}")
    whole = [part for part in parts if len(part)]
    return FileFeatures(
        torch.cat([part.feats for part in whole]),
        torch.cat([part.index for part in whole]),
        broken,
        sum(part.reused for part in parts),
    )


def _encode(encoder: Encoder, paths: list[str], bar: tqdm) -> FileFeatures:
    broken: dict[int, str] = {}

    def note(place: int, error: Exception) -> None:
        broken[place] = str(error)
        tqdm.write(f"left out: {error}")

    feats = []
    for batch in encoder.image_batches(paths, on_error=note, progress=False):
        feats.append(batch)
        bar.update(len(batch))
    bar.update(len(broken))
    index = torch.tensor([i for i in range(len(paths)) if i not in broken], dtype=torch.int64)
    return FileFeatures(torch.cat(feats) if feats else torch.zeros(0, 0), index, broken)


def _files_key(paths: Sequence[str]) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    for path in paths:
        digest.update(repr(file_state(path)).encode())
    return digest.hexdigest()


def file_state(path: str) -> tuple[str, int | None, int | None]:
    """What tells a file from its earlier or later self: path, size, time of change."""
    try:
        stat = os.stat(path)
        return os.path.abspath(path), stat.st_size, stat.st_mtime_ns
    except OSError:
        return os.path.abspath(path), None, None


def read_chunk(path: Path) -> FileFeatures | None:
    """A chunk of the cache, or nothing if there is none or it is damaged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            broken = json.loads((file.metadata() or {})["broken"])
            feats, index = file.get_tensor("feats"), file.get_tensor("index")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        tqdm.write(f"{path}: this part of the feature cache is damaged ({reason}); encoded again.")
        return None
    return FileFeatures(feats, index, {int(i): why for i, why in broken.items()})


def write_chunk(part: FileFeatures, path: Path) -> None:
    """Write a chunk of the cache, whole or not at all."""
    tensors = {"feats": part.feats.contiguous(), "index": part.index}
    with whole_file(path) as partial:
        save_file(tensors, partial, metadata={"broken": json.dumps(part.broken)})
