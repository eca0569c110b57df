"""Answers of models kept in a file, so that a run that was killed does not ask again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm


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
        self._answers: dict[str, str | bool] = {}
        # a killed run left its last line without an end
        self._line_open = False
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
        if not self.path.is_file():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lines.insert(0, {"about": self._about})
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * self._line_open + text)
            file.flush()
        self._line_open = False

    def _read(self) -> None:
        text = self.path.read_bytes().decode("utf-8", errors="replace")
        self._line_open = bool(text) and not text.endswith("\n")
        damaged = 0
        for line in text.split("\n"):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                if "about" in entry:
                    continue
                if not isinstance(entry["answer"], str | bool):
                    raise ValueError("no answer")
                self._answers[entry["key"]] = entry["answer"]
            except (ValueError, KeyError, TypeError):
                damaged += 1
        if damaged:
            tqdm.write(f"{self.path}: {damaged} damaged lines; these answers are asked for again.")
