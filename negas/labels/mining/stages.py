"""Stage files of a mining run: what was found, from which inputs, and whether it still counts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from negas.files import read_json, write_json


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form, 16 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def files_digest(path: str | os.PathLike | None) -> str:
    """A digest of a file's or directory's names, sizes and times: cheap, and changes with them.

    What does not exist here (a name on the model hub) stands for itself.
    """
    target = Path(path) if path else None
    if target is None or not target.exists():
        return str(path)
    files = [target] if target.is_file() else sorted(p for p in target.iterdir() if p.is_file())
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return digest([list(entry) for entry in stats])


class Stage:
    """One json file in the work directory: ``{"stage", "key", "inputs", ...}``.

    Args:
        work_dir: where it lies.
        name: of the stage, and of the file.
        inputs: everything the result depends on, JSON values by what people call them.
        notify: told in one line when an earlier result does not count any more.
    """

    def __init__(
        self,
        work_dir: Path,
        name: str,
        inputs: dict[str, Any],
        notify: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.name, self.path = name, work_dir / f"{name}.json"
        self.inputs = json.loads(json.dumps(inputs))
        self.key = digest(self.inputs)
        self._notify = notify

    def state(self) -> str:
        """What :meth:`load` would find: "none", "kept" or "outdated"."""
        stored = self._read()
        if stored is None:
            return "outdated" if self.path.exists() else "none"
        return "kept" if stored.get("key") == self.key else "outdated"

    def load(self) -> dict[str, Any] | None:
        """The stored result, or None if there is none for these inputs.

        A result of other inputs is moved to ``<name>.previous.json``, and the user is told which
        inputs changed.
        """
        if not self.path.exists():
            return None
        stored = self._read()
        if stored is not None and stored.get("key") == self.key:
            return stored
        previous = self.path.with_name(f"{self.name}.previous.json")
        os.replace(self.path, previous)
        before = (stored or {}).get("inputs")
        if isinstance(before, dict):
            names = sorted(k for k in before | self.inputs if before.get(k) != self.inputs.get(k))
            why = f"was made with other inputs ({', '.join(names)})"
        else:
            why = "cannot be read"
        self._notify(f"{self.path} {why}: made anew, the old one is kept as {previous.name}")
        return None

    def save(self, **result: Any) -> None:
        """Store a result, atomically."""
        data = {"stage": self.name, "key": self.key, "inputs": self.inputs, **result}
        write_json(self.path, data)

    def _read(self) -> dict[str, Any] | None:
        try:
            data = read_json(self.path, own=True)
        except (OSError, ValueError):
            return None
        return data if isinstance(data, dict) else None
