"""Names and target directions that a tiny text tower is distilled to.

A teacher is a file (`names`, `embeddings` and optionally `source` in an npz) or any CLIP text
encoder by hub name or directory, with a list of names. Shapes: V names, D channels.
"""

import argparse
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from negas.files import read_json
from negas.labels.names import name_key

TEACHER_TEMPLATE = "a {}"
_SENSE = re.compile(r"\s*\(([^)]*)\)\s*")


@dataclass
class Teacher:
    """V cleaned, distinct names with raw teacher embeddings [V, D] float32 (not normalised)."""

    names: list[str]
    embeddings: Tensor
    origin: str


def clean_names(raw_names: list[str]) -> list[str]:
    """Turn data-set spellings into plain words, one output per input (duplicates stay).

    Underscores become spaces. A sense in parentheses is dropped when no other entry wants the
    bare word ("bat_(animal)" -> "bat"), else its words are appended ("octopus_(food)" ->
    "octopus food", because "octopus_(animal)" exists too).
    """
    plain = [name_key(name) for name in raw_names]
    bare = [" ".join(_SENSE.sub(" ", name).split()) for name in plain]
    # distinct full spellings that end at the same bare word: more than one means ambiguous
    wanted = Counter(word for _, word in set(zip(plain, bare, strict=True)))
    return [
        word if wanted[word] == 1 else " ".join(_SENSE.sub(r" \1 ", name).split())
        for name, word in zip(plain, bare, strict=True)
    ]


def _distinct(raw_names: list[str]) -> dict[str, list[int]]:
    """Return the cleaned names without repeats, each with the entries it is taken from.

    Of several spellings of one name the one without underscores wins: a text encoder reads
    "a traffic light" better than "a traffic_light". A bare word that only has senses ("octopus")
    is added, taken from all of them.
    """
    chosen: dict[str, list[int]] = {}
    senses: dict[str, list[int]] = {}
    for index, name in enumerate(clean_names(raw_names)):
        if not name:
            continue
        bare = " ".join(_SENSE.sub(" ", name_key(raw_names[index])).split())
        if bare != name:
            senses.setdefault(bare, []).append(index)
        if name not in chosen or (
            "_" in raw_names[chosen[name][0]] and "_" not in raw_names[index]
        ):
            chosen[name] = [index]
    return chosen | {bare: rows for bare, rows in senses.items() if bare and bare not in chosen}


def _mean_direction(embeddings: Tensor) -> Tensor:
    """Mean of the unit vectors [n, D] with the average length, as one embedding [D]."""
    unit = torch.nn.functional.normalize(embeddings, dim=-1).mean(0)
    return torch.nn.functional.normalize(unit, dim=-1) * embeddings.norm(dim=-1).mean()


def add_composed(teacher: Teacher, path: str) -> Teacher:
    """Add names that the teacher lacks as the mean of their members (JSON: name -> members).

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no such JSON or a member is unknown.
    """
    composed = read_json(path, name=f"file of composed names {path}")
    index = {name: row for row, name in enumerate(teacher.names)}
    names, rows = list(teacher.names), [teacher.embeddings]
    for name, members in composed.items():
        unknown = [member for member in members if member not in index]
        if unknown or not members:
            raise ValueError(
                f"{path}: {name!r} needs members among the teacher's names, got {unknown or '[]'}."
            )
        if name not in index:
            names.append(name)
            rows.append(_mean_direction(teacher.embeddings[[index[m] for m in members]])[None])
    return Teacher(names, torch.cat(rows), teacher.origin)


def read_teacher(args: argparse.Namespace) -> Teacher:
    """The teacher of a command, with its composed names; errors are those of its parts."""
    teacher = load_teacher(args.teacher, args.names)
    return add_composed(teacher, args.composed) if args.composed else teacher


def load_teacher(teacher: str, names_file: str | None = None) -> Teacher:
    """Read a teacher file, or encode the names of `names_file` with a CLIP text encoder.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file cannot be read as what it should be, or names are missing.
    """
    if teacher.endswith(".npz"):
        return _from_file(Path(teacher))
    if names_file is None:
        raise ValueError(
            f"teacher {teacher!r} is an encoder and needs --names FILE with one name per line."
        )
    if not Path(names_file).is_file():
        raise FileNotFoundError(f"names file {names_file} does not exist.")
    raw = [line.strip() for line in Path(names_file).read_text().splitlines() if line.strip()]
    names = list(_distinct(raw))
    if len(names) < 2:
        raise ValueError(f"names file {names_file} has {len(names)} distinct names, expected >= 2.")
    return Teacher(names, _encode(teacher, names), teacher)


def _from_file(path: Path) -> Teacher:
    if not path.is_file():
        raise FileNotFoundError(f"teacher file {path} does not exist.")
    try:
        with np.load(path, allow_pickle=False) as data:
            raw = [str(name) for name in data["names"]]
            embeddings = data["embeddings"].astype(np.float32)
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"teacher file {path} cannot be read ({error}); expected an npz with 'names' [V] and "
            "'embeddings' [V, D]."
        ) from error
    if embeddings.ndim != 2 or len(raw) != len(embeddings) or len(raw) < 2:
        raise ValueError(
            f"teacher file {path} has {len(raw)} names and embeddings of shape "
            f"{list(embeddings.shape)}; expected [V, D] with one row per name and V >= 2."
        )
    if not np.isfinite(embeddings).all() or (np.abs(embeddings).max(axis=1) == 0).any():
        raise ValueError(f"teacher file {path} has embeddings that are zero, NaN or infinite.")
    chosen = _distinct(raw)
    table = torch.from_numpy(embeddings)
    rows = [_mean_direction(table[r]) if len(r) > 1 else table[r[0]] for r in chosen.values()]
    return Teacher(list(chosen), torch.stack(rows), path.name)


def _encode(model_name: str, names: list[str]) -> Tensor:
    from tqdm import tqdm
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    from negas.embeddings.text import encode_labels

    try:
        tokenizer = AutoTokenizer.from_pretrained(model_name)
        model = CLIPTextModelWithProjection.from_pretrained(model_name).float().eval()
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(
            f"teacher {model_name!r} is neither an .npz file nor a CLIP text encoder that "
            f"transformers can load ({first})"
        ) from error
    chunks = [names[i : i + 64] for i in range(0, len(names), 64)]
    with torch.no_grad():
        rows = [
            encode_labels(model, tokenizer, chunk, template=TEACHER_TEMPLATE, normalize=False)
            for chunk in tqdm(chunks, desc="teacher", leave=False)
        ]
    return torch.cat(rows)


def target_directions(embeddings: Tensor, center: bool = True) -> Tensor:
    """Return unit target directions [V, D]: normalise, subtract the vocabulary's mean, normalise.

    Raw CLIP text embeddings share a large common part (cosines of .7 to .9 between any two
    names); without it the differences between names fill the space.
    """
    unit = torch.nn.functional.normalize(embeddings, dim=-1)
    if not center:
        return unit
    return torch.nn.functional.normalize(unit - unit.mean(0, keepdim=True), dim=-1)


def principal_axes(directions: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    """Return the top axes [D, rank], their scale [rank] (rms of the coordinates) and a bound.

    The bound is the mean cosine between `directions` and their projection on the axes: no tower
    whose last layer has `rank` channels can do better by much, whatever its training.
    """
    _, singular, basis = torch.linalg.svd(directions.double(), full_matrices=False)
    rank = min(rank, len(singular))
    axes, scale = basis[:rank].T, singular[:rank] / len(directions) ** 0.5
    bound = (directions.double() @ axes).norm(dim=1).mean()
    return axes.float(), scale.float(), float(bound)
