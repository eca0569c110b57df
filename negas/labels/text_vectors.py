"""Text embeddings of names from a file, where the encoder itself cannot be had."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from negas.files.npz import read_npz
from negas.text import listed

from .names import name_key
from .selection.ranking import unit_rows


class TextVectors:
    """Names and the vectors that one encoder made of them, all with the same sentence.

    Names with an underscore are left out: to an encoder "oil_lamp" is another text than "oil lamp",
    and less like every other name, so that ranking by dissimilarity would prefer it. Of a name in
    several spellings (case) the first counts.

    Args:
        names: N names.
        feats: [N, D] vectors of any length.

    Raises:
        ValueError: counts that differ, no rows, or NaN, infinite and all-zero rows.
    """

    def __init__(self, names: Sequence[str], feats: object) -> None:
        self._feats = unit_rows("embeddings", feats)
        if len(names) != len(self._feats):
            raise ValueError(f"{len(names)} names for {len(self._feats)} rows of embeddings.")
        self._row: dict[str, int] = {}
        for row, name in enumerate(names):
            if "_" not in name:
                self._row.setdefault(name_key(name), row)

    @classmethod
    def load(cls, path: str | os.PathLike) -> TextVectors:
        """Read an npz file with ``names`` [N] and ``embeddings`` [N, D], nothing pickled.

        Raises:
            ValueError: another file, or what the class refuses; the message starts with the file.
            OSError: it cannot be read.
        """
        try:
            arrays = read_npz(path)
            if missing := {"names", "embeddings"} - set(arrays):
                raise ValueError(f"it holds no {listed(sorted(missing))}")
            return cls([str(name) for name in arrays["names"]], arrays["embeddings"])
        except ValueError as error:
            raise ValueError(
                f"{path}: text vectors are an npz file with 'names' [N] and 'embeddings' [N, D]: "
                f"{error}"
            ) from error

    def __contains__(self, name: str) -> bool:
        return name_key(name) in self._row

    def rows(self, names: Iterable[str], stand_ins: Mapping[str, str] | None = None) -> np.ndarray:
        """Unit vectors of names.

        Args:
            names: n names.
            stand_ins: names whose vectors stand for others that the file lacks.

        Returns:
            [n, D] float32.

        Raises:
            ValueError: a name, or the one that stands for it, is not in the file.
        """
        stand_ins = stand_ins or {}
        called = [(name, name if name in self else stand_ins.get(name, name)) for name in names]
        if missing := [name for name, other in called if other not in self]:
            raise ValueError(
                f"the file of text vectors has none of {listed(missing)}; say whose stand for "
                f'them: --stand-ins "{missing[0]}=NAME"'
            )
        return self._feats[[self._row[name_key(other)] for _, other in called]]
