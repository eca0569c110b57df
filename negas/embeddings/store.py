"""Image features on disk: encoded once per model, preprocessing and list of files.

A cache is a folder of safetensors chunks. A chunk is written whole or not at all, so a run that was
killed goes on with the first chunk that is missing. Shapes: N files, D channels.

Features of images and crops, cached as :mod:`negas.embeddings.store` does.

Shapes: N images or crops, D channels.

Text embeddings of long word lists on disk: encoded once, in pieces that survive a kill.

Shape letters: C words, D channels.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from negas.files import whole_file

from .cache import fingerprint
from .encoders import Encoder
from .images import MARGIN, ImageItem, load_image

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
        encoder: from :func:`~negas.embeddings.encoders.build_encoder`.
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


def encode_items(
    encoder: Encoder,
    items: Sequence[ImageItem],
    cache_dir: str | os.PathLike | None = None,
    chunk: int = CHUNK,
    progress: bool = True,
) -> FileFeatures:
    """Features of images or crops, from the cache where they are there; broken images are left out.

    Args:
        encoder: from :func:`~negas.embeddings.encoders.build_encoder`.
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
        lambda some, bar: _encode_items(encoder, some, bar),
        lambda some: f"crops-{_key(some)}",
        None if cache_dir is None else Path(cache_dir) / encoder.image_key[:16],
        chunk,
        progress,
    )


def _encode_items(encoder: Encoder, items: Sequence[ImageItem], bar: tqdm) -> FileFeatures:
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


_FORMAT = 1  # part of the key: raise it when the content of the files changes


class TextFeatureStore:
    """Embeddings of word lists, one folder per model, list and set of sentences.

    While a list is encoded its folder holds one file per finished piece; a process that is killed
    loses the piece under way. At the end there is one ``features.npy``, read as a memory map.

    Args:
        root: folder of the store; made when needed.
        encode: takes texts, returns [n, D] embeddings, normalised or not.
        model: what the embeddings depend on besides the texts: a fingerprint of the weights, or at
            least the model's name and version. Another model never reads these files. Where
            ``encode`` puts words into sentences by itself, name these here too.
        batch_size: texts per call of ``encode``.
        piece: words per file.

    Raises:
        ValueError: a size below 1, or an empty ``model``.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        encode: Callable[[list[str]], Tensor],
        model: str,
        batch_size: int = 256,
        piece: int = 2048,
    ) -> None:
        """Remember the settings; nothing is read or written yet."""
        if batch_size < 1 or piece < 1:
            raise ValueError(f"batch_size and piece must be >= 1, got {batch_size} and {piece}.")
        if not model:
            raise ValueError("model is empty; say which encoder it is, or files would be mixed up.")
        self.root = Path(root)
        self.model = model
        self._encode = encode
        self._batch_size = batch_size
        self._piece = piece

    def folder(self, words: Sequence[str], templates: Sequence[str] = ("{}",)) -> Path:
        """Where the embeddings of a list are or will be."""
        return self.root / fingerprint(
            _FORMAT, self.model, self._piece, tuple(templates), tuple(words)
        )

    def features(self, words: Sequence[str], templates: Sequence[str] = ("{}",)) -> np.ndarray:
        """Embeddings of words, each the mean over its sentences, then normalised.

        Args:
            words: C words.
            templates: sentences with one ``{}`` each. The mean is that of what ``encode`` returns:
                CSP means embeddings that are not normalised, CLIP's ensembles normalised ones.

        Returns:
            [C, D] float32 rows of length 1, read-only, from disk as needed.

        Raises:
            ValueError: no words, a template without exactly one ``{}``, or an encoder that returns
                another number of rows, NaN or zeros.
        """
        if not words:
            raise ValueError("words is empty; give at least one.")
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(f"template {template!r} must contain exactly one '{{}}'.")
        if not templates:
            raise ValueError("templates is empty; give at least one sentence with '{}'.")
        folder = self.folder(words, templates)
        done = _read(folder / "features.npy", len(words), mmap_mode="r")
        if done is not None:
            return done
        (folder / "features.npy").unlink(missing_ok=True)
        self._encode_pieces(folder, list(words), list(templates))
        return _join(folder, self._pieces(len(words)), len(words))

    def _pieces(self, count: int) -> list[slice]:
        starts = range(0, count, self._piece)
        return [slice(start, min(start + self._piece, count)) for start in starts]

    def _encode_pieces(self, folder: Path, words: list[str], templates: list[str]) -> None:
        from tqdm import tqdm

        folder.mkdir(parents=True, exist_ok=True)
        with tqdm(total=len(words), desc="text features", leave=False, disable=None) as bar:
            for number, piece in enumerate(self._pieces(len(words))):
                path = _piece_path(folder, number)
                size = piece.stop - piece.start
                if _read(path, size) is None:
                    rows = self._encode_piece(words[piece], templates, bar.update)
                    _write(path, lambda file, rows=rows: np.save(file, rows, allow_pickle=False))
                else:
                    bar.update(size)

    def _encode_piece(
        self, words: list[str], templates: list[str], advance: Callable[[int], object]
    ) -> np.ndarray:
        step = max(1, self._batch_size // len(templates))
        return np.concatenate(
            [
                self._encode_batch(words[start : start + step], templates, advance)
                for start in range(0, len(words), step)
            ]
        )

    def _encode_batch(
        self, words: list[str], templates: list[str], advance: Callable[[int], object]
    ) -> np.ndarray:
        texts = [template.replace("{}", word) for template in templates for word in words]
        with torch.no_grad():
            feats = torch.as_tensor(self._encode(texts)).detach().float().cpu()
        if feats.ndim != 2 or len(feats) != len(texts):
            raise ValueError(
                f"the encoder returned {list(feats.shape)} for {len(texts)} texts; expected "
                f"[{len(texts)}, D]."
            )
        mean = feats.reshape(len(templates), len(words), -1).mean(dim=0)
        length = mean.norm(dim=1, keepdim=True)
        good = (torch.isfinite(length) & (length > 0)).squeeze(1)
        if not bool(good.all()):
            word = words[int((~good).nonzero()[0])]
            raise ValueError(f"the encoder returned NaN, infinite or zero values for {word!r}.")
        advance(len(words))
        return (mean / length).numpy()


def _piece_path(folder: Path, number: int) -> Path:
    return folder / f"piece-{number:05d}.npy"


def _read(path: Path, count: int, mmap_mode: str | None = None) -> np.ndarray | None:
    """The rows of a file; None, with a warning, where it is damaged, so that it is made again."""
    if not path.is_file():
        return None
    try:
        rows = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        if rows.dtype == np.float32 and rows.ndim == 2 and len(rows) == count:
            return rows
        problem = f"{rows.dtype} {list(rows.shape)} in it"
    except (ValueError, OSError, EOFError) as error:
        problem = str(error)
    warnings.warn(f"{path} is damaged ({problem}) and is made again.", stacklevel=4)
    return None


def _join(folder: Path, pieces: list[slice], count: int) -> np.ndarray:
    """Put the pieces into one file and drop them."""
    target = folder / "features.npy"
    if not target.is_file():  # else another process was faster
        width = np.load(_piece_path(folder, 0), mmap_mode="r", allow_pickle=False).shape[1]
        with whole_file(target) as partial:
            whole = np.lib.format.open_memmap(
                partial, mode="w+", dtype=np.float32, shape=(count, width)
            )
            for number, piece in enumerate(pieces):
                whole[piece] = np.load(_piece_path(folder, number), allow_pickle=False)
            whole.flush()
            del whole
    for number in range(len(pieces)):
        _piece_path(folder, number).unlink(missing_ok=True)
    return np.load(target, mmap_mode="r", allow_pickle=False)


def _write(path: Path, save: Callable) -> None:
    with whole_file(path) as partial, partial.open("wb") as file:
        save(file)
