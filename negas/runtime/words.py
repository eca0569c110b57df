"""Words for a file of the mode ``open``: its text encoder and tokenizer, which lie beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from negas.text import shown

from .session import load_session


class Words:
    """Embeddings of words.

    Args:
        path: of the exported detector.
        template: phrase around a word.

    Raises:
        FileNotFoundError: encoder or tokenizer are not beside it.
        ImportError: tokenizers is not installed.
    """

    def __init__(self, path: Path, template: str) -> None:
        from tokenizers import Tokenizer

        for file in self.files(path):
            if not file.is_file():
                raise FileNotFoundError(
                    f"{str(file)!r} does not exist; other words need it beside {path.name!r}, "
                    "where negas export --mode open has put it"
                )
        encoder, vocabulary = self.files(path)
        self.template = template
        self.session = load_session(encoder)
        self.tokenizer = Tokenizer.from_file(str(vocabulary))
        self.length = self.session.get_inputs()[0].shape[1]

    @staticmethod
    def files(path: Path) -> tuple[Path, Path]:
        """Text encoder and tokenizer of an exported detector."""
        return path.with_suffix(".text.onnx"), path.with_suffix(".tokenizer.json")

    def __call__(self, words: Sequence[str]) -> np.ndarray:
        """Unit embeddings [n, D], float32.

        Raises:
            ValueError: a word is empty or too long.
        """
        ids = np.zeros((len(words), self.length), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, word in enumerate(words):
            if not word.strip():
                raise ValueError(f"word {row} is {shown(word)}; remove or name it")
            found = self.tokenizer.encode(self.template.replace("{}", word.strip())).ids
            if len(found) > self.length:
                raise ValueError(
                    f"{shown(word)} needs {len(found)} tokens, the text encoder takes "
                    f"{self.length}; shorten it"
                )
            ids[row, : len(found)], mask[row, : len(found)] = found, 1
        (embeddings,) = self.session.run(None, dict(input_ids=ids, attention_mask=mask))
        return embeddings
