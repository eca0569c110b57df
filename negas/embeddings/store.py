"""One store of features on disk, for texts, images and crops: encoded once, whatever kills a run.

A store is a folder per encoder with safetensors files, one per chunk of a list of items. A file is
written whole or not at all, so a run that was killed goes on with the first chunk that is missing;
one that is damaged is encoded again. Shapes: N items, D channels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from negas.text import shown_text

from .cache import fingerprint
from .encoders import Encoder
from .images import DECODER, MARGIN, ImageItem, load_image
from .tensor_file import read_tensors, write_tensors

T = TypeVar("T")
CHUNK = 2048  # items per file: 4 MB at 512 channels, a minute of ViT-B/16 on a CPU core
_FORMAT = 2  # part of every name: raise it when the content of the files changes


@dataclass(frozen=True)
class Encoded:
    """Features of the items that could be read.

    Attributes:
        feats: ``[N, D]`` float32, L2-normalised, in the order of the items.
        index: ``[N]`` the place of each row in the list of items.
        broken: place in the list -> why that item could not be read.
    """

    feats: Tensor
    index: Tensor
    broken: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, batches: Sequence[Tensor], count: int, broken: dict[int, str]) -> Encoded:
        """Of batches of rows for all of ``count`` items but the broken ones."""
        feats = torch.cat(list(batches)) if batches else torch.zeros(0, 0)
        index = torch.tensor([i for i in range(count) if i not in broken], dtype=torch.int64)
        return cls(feats, index, broken)

    def __len__(self) -> int:
        return len(self.feats)


class FeatureStore:
    """Features of lists of items that one encoder makes.

    Args:
        root: folder of the store, made when needed; ``None`` keeps nothing.
        model: what the features depend on besides the items: a fingerprint of weights and
            settings. Another model never reads these files.
        chunk: items per file.

    Raises:
        ValueError: a chunk below 1, or an empty ``model``.
    """

    def __init__(self, root: str | os.PathLike | None, model: str, chunk: int = CHUNK) -> None:
        """Remember the settings; nothing is read or written yet."""
        if chunk < 1:
            raise ValueError(f"chunk must be at least 1, got {chunk}.")
        if not model:
            raise ValueError("model is empty; say which encoder it is, or files would be mixed up.")
        self.folder = None if root is None else Path(root) / fingerprint(_FORMAT, model)[:16]
        self.chunk = chunk

    def path(self, what: str, state: Hashable) -> Path | None:
        """Where the features of items in this state are or will be."""
        return self.folder and self.folder / f"{what}-{fingerprint(state)}.safetensors"

    def features(
        self,
        items: Sequence[T],
        what: str,
        encode: Callable[[Sequence[T], tqdm], Encoded],
        state: Callable[[Sequence[T]], Hashable],
        progress: bool = True,
    ) -> Encoded:
        """Encode items chunk by chunk; chunks that the store holds are read.

        Args:
            items: N of them, at least one; the order matters.
            what: what they are called: ``images``, ``crops``, ``texts``.
            encode: features of some items, which it counts on the bar.
            state: what the features of some items depend on, with a ``repr`` that tells it.
            progress: show a bar if it takes over two seconds.

        Raises:
            ValueError: no item can be read, or what is stored does not fit together.
            OSError: the store cannot be written.
        """
        parts: list[Encoded] = []
        hidden = None if progress else True
        with tqdm(total=len(items), desc=what, delay=2, leave=False, disable=hidden) as bar:
            for start in range(0, len(items), self.chunk):
                some = items[start : start + self.chunk]
                path = None if self.folder is None else self.path(what, state(some))
                part = None if path is None else _read(path, len(some))
                if part is None:
                    part = encode(some, bar)
                    if path is not None:
                        _write(path, part)
                else:
                    bar.update(len(some))
                broken = {start + i: why for i, why in part.broken.items()}
                parts.append(Encoded(part.feats, part.index + start, broken))
        broken = {i: why for part in parts for i, why in part.broken.items()}
        if len(broken) == len(items):
            raise ValueError(f"none of the {len(items)} {what} can be read; the first: {broken[0]}")
        whole = [part for part in parts if len(part)]
        widths = sorted({part.feats.shape[1] for part in whole})
        if len(widths) > 1:
            raise ValueError(
                f"the stored features of the {what} have {' and '.join(map(str, widths))} "
                f"channels; delete the folder {str(self.folder)!r} and run again."
            )
        return Encoded(
            torch.cat([part.feats for part in whole]),
            torch.cat([part.index for part in whole]),
            broken,
        )


def _read(path: Path, count: int) -> Encoded | None:
    """A chunk of the store, or nothing if there is none or it is damaged."""
    if not path.is_file():
        return None
    try:
        tensors, about = read_tensors(path)
        if about["of"] != _name_of(path):
            raise ValueError("it is of other items or of another encoder")
        broken = {int(place): why for place, why in about["broken"].items()}
        feats, index = tensors["feats"], tensors["index"]
        if not len(feats) == len(index) == count - len(broken) or feats.ndim != 2:
            raise ValueError(f"{len(feats)} rows in it for {count} items")
    except (OSError, KeyError, ValueError) as error:
        tqdm.write(f"{path}: this part of the feature store is damaged ({error}); encoded again.")
        return None
    return Encoded(feats, index, broken)


def _write(path: Path, part: Encoded) -> None:
    about = {"broken": part.broken, "of": _name_of(path)}
    write_tensors(path, {"feats": part.feats, "index": part.index}, about)


def _name_of(path: Path) -> str:
    """Encoder and items, as folder and file name hold them."""
    return f"{path.parent.name}/{path.stem}"


def encode_texts(
    encode: Callable[[list[str]], Tensor | np.ndarray],
    texts: Sequence[str],
    model: str,
    root: str | os.PathLike | None = None,
    batch_size: int = 256,
    chunk: int = CHUNK,
    progress: bool = True,
) -> np.ndarray:
    """Embeddings of a long list of words.

    Args:
        encode: takes texts, returns [n, D] embeddings, normalised or not.
        texts: N words.
        model: what the embeddings depend on besides the texts: a fingerprint of the weights and of
            the sentences that ``encode`` puts words into.
        root: folder of the store; ``None`` keeps nothing.
        batch_size: texts per call of ``encode``.
        chunk: texts per file of the store.
        progress: show a bar if it takes over two seconds.

    Returns:
        [N, D] float32 rows of length 1.

    Raises:
        ValueError: no words, a size below 1, an empty ``model``, or an encoder that returns another
            number of rows, NaN or zeros.
        OSError: the store cannot be written.
    """
    if not len(texts):
        raise ValueError("there is no text to encode; give at least one.")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")

    def encode_some(some: Sequence[str], bar: tqdm) -> Encoded:
        # texts of about one length side by side: a batch is padded to its longest
        order = sorted(range(len(some)), key=lambda place: len(some[place]))
        batches = []
        for start in range(0, len(some), batch_size):
            batch = [some[place] for place in order[start : start + batch_size]]
            batches.append(_unit_texts(encode, batch))
            bar.update(len(batch))
        return Encoded.of([torch.cat(batches)[np.argsort(order)]], len(some), {})

    found = FeatureStore(root, model, chunk).features(texts, "texts", encode_some, tuple, progress)
    return found.feats.numpy()


def _unit_texts(encode: Callable[[list[str]], Tensor | np.ndarray], texts: list[str]) -> Tensor:
    with torch.no_grad():
        feats = torch.as_tensor(encode(texts)).detach().float().cpu()
    if feats.ndim != 2 or len(feats) != len(texts):
        raise ValueError(
            f"the encoder returned {list(feats.shape)} for {len(texts)} texts; expected "
            f"[{len(texts)}, D]."
        )
    length = feats.norm(dim=1, keepdim=True)
    good = (torch.isfinite(length) & (length > 0)).squeeze(1)
    if not bool(good.all()):
        text = texts[int((~good).nonzero()[0])]
        raise ValueError(f"the encoder returned NaN, infinite or zero values for {text!r}.")
    return feats / length


def encode_images(
    encoder: Encoder,
    images: Sequence[str | os.PathLike | ImageItem],
    root: str | os.PathLike | None = None,
    chunk: int = CHUNK,
    progress: bool = True,
) -> Encoded:
    """Features of image files and crops; what cannot be read is reported, the rest is not lost.

    The store knows a file by path, size and time of change, and the encoder by its weights,
    precision and preprocessing.

    Args:
        encoder: from :func:`~negas.embeddings.encoders.build_encoder`.
        images: N of them; crops of one image should stand together.
        root: folder of the store; ``None`` keeps nothing.
        chunk: images or crops per file of the store.
        progress: show a bar if it takes over two seconds.

    Raises:
        ValueError: the list is empty, or nothing in it can be read.
        OSError: the store cannot be written.
    """
    if not len(images):
        raise ValueError("there is no image to encode; check the folder or the list.")
    items = [one if isinstance(one, ImageItem) else ImageItem(str(one)) for one in images]
    whole = all(item.box is None for item in items)
    return FeatureStore(root, encoder.image_key, chunk).features(
        items,
        "images" if whole else "crops",
        lambda some, bar: (_encode_files if whole else _encode_crops)(encoder, some, bar),
        _state,
        progress,
    )


def _state(items: Sequence[ImageItem]) -> Hashable:
    """Files as they are now and the boxes in them; each file is looked up once."""
    groups = groupby(items, key=lambda item: item.path)
    return (
        DECODER,
        MARGIN,
        [(_file_state(path), [item.box for item in group]) for path, group in groups],
    )


def _file_state(path: str) -> tuple[str, int | None, int | None]:
    """What tells a file from its earlier or later self: path, size, time of change."""
    try:
        stat = os.stat(path)
        return os.path.abspath(path), stat.st_size, stat.st_mtime_ns
    except OSError:
        return os.path.abspath(path), None, None


def _encode_files(encoder: Encoder, items: Sequence[ImageItem], bar: tqdm) -> Encoded:
    """Whole images, which the encoder's threads open."""
    broken: dict[int, str] = {}

    def note(place: int, error: Exception) -> None:
        broken[place] = str(error)
        tqdm.write(f"left out: {shown_text(error, 400)}")

    feats = []
    paths = [item.path for item in items]
    for batch in encoder.image_batches(paths, on_error=note, progress=False):
        feats.append(batch)
        bar.update(len(batch))
    bar.update(len(broken))
    return Encoded.of(feats, len(items), broken)


def _encode_crops(encoder: Encoder, items: Sequence[ImageItem], bar: tqdm) -> Encoded:
    """Crops; each image is opened once for all that are cut out of it."""
    broken: dict[int, str] = {}

    def crops() -> Iterator[Image.Image]:
        for path, group in groupby(range(len(items)), key=lambda place: items[place].path):
            image, why = None, None
            try:
                image = load_image(path)
            except (OSError, ValueError) as error:
                why = str(error)
                tqdm.write(f"left out: {shown_text(why, 400)}")
            for place in group:
                bar.update()
                if image is None:
                    broken[place] = why
                    continue
                try:
                    crop = items[place].cut(image) if items[place].box else image
                except ValueError as error:
                    broken[place] = str(error)
                    tqdm.write(f"left out: {shown_text(error, 400)}")
                    continue
                yield crop

    feats = list(encoder.image_batches(crops(), progress=False))
    return Encoded.of(feats, len(items), broken)
