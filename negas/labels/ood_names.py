"""Names of OOD test classes, from files and annotations."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from negas.labels.names import read_names


def used_categories(truth: dict) -> list[str]:
    """Names of the categories that occur in a COCO dict; all of them if it has no annotation.

    Published OOD files list all categories of their source, ID classes among them.
    """
    used = {ann["category_id"] for ann in truth.get("annotations", ())}
    names = [c["name"] for c in truth["categories"] if c["id"] in used]
    return names or [c["name"] for c in truth["categories"]]


def read_ood_names(source: str | os.PathLike | Sequence[str]) -> list[tuple[str, ...]]:
    """OOD classes, each with its names; the first one stands for the class.

    Args:
        source: the names themselves, or a file: text with one class per line and further names of
            it behind commas, JSON with a list of names or of lists of names, or a COCO json (the
            categories that occur in it).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read as names, holds none, or a class stands there twice.
    """
    where = "OOD names"
    if isinstance(source, str | os.PathLike):
        where = str(source)
        is_json = Path(where).suffix == ".json"
        classes = _from_json(where) if is_json else _from_text(where)
    else:
        classes = [(name,) for name in read_names(source, where)]
    if not classes:
        raise ValueError(f"{where}: holds no name of an OOD class.")
    seen: set[str] = set()
    for names in classes:
        if not names or not all(isinstance(name, str) and name.strip() for name in names):
            raise ValueError(f"{where}: {list(names)!r} is no list of non-empty names of a class.")
        if names[0].casefold() in seen:
            raise ValueError(f"{where}: the class {names[0]!r} stands there twice; remove one.")
        seen.add(names[0].casefold())
    return classes


def _from_text(path: str) -> list[tuple[str, ...]]:
    lines = read_names(path, "OOD names")
    split = ([part.strip() for part in line.split(",")] for line in lines)
    return [tuple(part for part in parts if part) for parts in split]


def _from_json(path: str) -> list[tuple[str, ...]]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"OOD names: there is no file {path!r}; give names or a file.")
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if isinstance(data, dict):
            return [(name,) for name in used_categories(data)]
        return [tuple(entry) if isinstance(entry, list) else (entry,) for entry in data]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected a JSON list of names (or of lists of names) or a COCO json "
            f"({type(error).__name__}: {error})."
        ) from error
