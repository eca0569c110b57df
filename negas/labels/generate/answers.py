"""Answers of models kept in a file, so that a run that was killed does not ask again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tqdm import tqdm

from negas.files import append_lines, read_lines


class AnswerFile:
    """Answers by key, appended to a jsonl file one by one: what was asked is never asked again.

    A damaged line, such as a killed run leaves half-written, is skipped and asked for again.

    Args:
        path: the file; ``None`` keeps the answers in memory only.
        about: what the answers depend on, as the first line, for people.
    """

    def __init__(self, path: str | os.PathLike | None, about: dict[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self._about = about
        self._told = False  # whether the file says it
        self._answers: dict[str, str | bool] = {}
        if self.path is not None and self.path.is_file():
            self._read()

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def __getitem__(self, key: str) -> str | bool:
        return self._answers[key]

    def put(self, key: str, answer: str | bool) -> None:
        """Store an answer, on disk before this returns."""
        self._answers[key] = answer
        if self.path is None:
            return
        lines = [{"key": key, "answer": answer}]
        if not self._told:
            lines.insert(0, {"about": self._about})
        append_lines(self.path, lines)
        self._told = True

    def _read(self) -> None:
        entries, damaged = read_lines(self.path)
        for entry in entries:
            if isinstance(entry, dict) and "about" in entry:
                self._told = True
                continue
            try:
                if not isinstance(entry["answer"], str | bool):
                    raise TypeError("no answer")
                self._answers[entry["key"]] = entry["answer"]
            except (KeyError, TypeError):
                damaged += 1
        if damaged:
            tqdm.write(f"{self.path}: {damaged} damaged lines; these answers are asked for again.")
