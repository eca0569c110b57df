"""Text embeddings of long word lists on disk: encoded once, in pieces that survive a kill.

Shape letters: C words, D channels.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from negas.files import whole_file
from negas.text.cache import fingerprint

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
