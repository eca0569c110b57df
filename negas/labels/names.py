"""Lists of class names from configs and files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path


def read_names(source: Sequence[str] | str, key: str = "names") -> tuple[str, ...]:
    """Class names as a tuple.

    Args:
        source: the names themselves, or a file: JSON (list of names, list of synonym lists whose
            first entry counts, or a COCO file with ``categories``) or text with one name per line.
        key: what to call the source in errors.

    Raises:
        ValueError: if the file cannot be read as a list of non-empty names.
        FileNotFoundError: if it does not exist.
    """
    if not isinstance(source, str):
        names = list(source)
        where = key
    else:
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"{key}={source!r}: no such file; give names or a file")
        where = f"{key}={source!r}"
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{where}: not UTF-8 text; save it as UTF-8") from error
        if path.suffix == ".json":
            try:
                data = json.loads(text)
            except (json.JSONDecodeError, RecursionError) as error:
                raise ValueError(f"{where}: not valid JSON ({error})") from error
            if isinstance(data, dict) and isinstance(data.get("categories"), list):
                rows = data["categories"]
                data = [row.get("name") if isinstance(row, dict) else None for row in rows]
            if not isinstance(data, list):
                raise ValueError(f"{where}: expected a list of names or a COCO json")
            names = [entry[0] if isinstance(entry, list) and entry else entry for entry in data]
        else:
            names = [line.strip() for line in text.splitlines() if line.strip()]
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{where}: entry {i} is {name!r}, expected a non-empty name")
    return tuple(names)
