"""Config files of a results table, written from rows instead of by hand.

A row is one method or ablation; a detector family says with which lines its models follow a row.
Every file inherits all but the few lines that make the row.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from negas.files import write_text
from negas.labels.corpus import load_corpus
from negas.labels.names import name_key

_WIDTH = 100  # of a line, as in the rest of the project


@dataclass(frozen=True)
class Bank:
    """A label bank that is not in the repository, with the command that makes it.

    Attributes:
        name: of the file, below ``work_dirs/banks`` and behind the data set's name.
        options: of ``tools/mine_labels.py``; ``{data}`` stands for the data set.
        stages: name of the work directory of the mining. Banks that share it share what is slow,
            the embeddings of candidates and images.
    """

    name: str
    options: str
    stages: str


@dataclass(frozen=True)
class RandomWords:
    """Words without any relation to the ID classes: the control for where labels are from.

    They are the nouns of WordNet with the smallest SHA-256, so the draw is the same everywhere.
    """

    num: int = 20

    def draw(self, id_labels: Sequence[str]) -> list[str]:
        """The words, none of them an ID label."""
        taken = {name_key(label) for label in id_labels}
        return [word for word in _shuffled_nouns() if word not in taken][: self.num]


@dataclass(frozen=True)
class Row:
    """One method or ablation of the tables.

    Attributes:
        method: first part of the file names, say ``negas-alpha-5``.
        about: what the row is, a sentence for the head of the file.
        option: key of :attr:`Family.lines`.
        value: what goes into ``{value}`` there; a :class:`Bank` or :class:`RandomWords` gives the
            lines that name the labels.
        sizes: of the detector that have this row; ``None``: all.
    """

    method: str
    about: str
    option: str
    value: object = None
    sizes: str | None = None


@dataclass(frozen=True)
class Family:
    """Detectors that differ in size only.

    Attributes:
        name: in file names, ``{size}`` stands for the size.
        sizes: one letter or word each.
        model: the base file with detector and NegAS's parts, with ``{size}``.
        schedule: the base file of the training recipe.
        recipe: the recipe in file names, say ``8xb20-30e``.
        data: the base file of a data set, with ``{data}``.
        lines: the lines that make a row, by :attr:`Row.option`. ``full`` is the complete method,
            which all others inherit; what is not in here is not made for this family.
        untrained: options whose rows train nothing; their names have no recipe.
    """

    name: str
    sizes: Sequence[str]
    model: str
    schedule: str
    recipe: str
    lines: Mapping[str, str]
    data: str = "../_base_/datasets/{data}.py"
    untrained: Sequence[str] = ("stock",)

    def file(self, row: Row, size: str, data: str) -> str:
        """File name in MMDetection's manner, ``{method}_{model}_[{recipe}_]{data}.py``."""
        recipe = () if row.option in self.untrained else (self.recipe,)
        return "_".join((row.method, self.name.format(size=size), *recipe, data)) + ".py"


def config_texts(
    rows: Sequence[Row], families: Sequence[Family], id_labels: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """File names and texts of all configs.

    Args:
        rows: the table; exactly one has the option ``full``.
        families: detectors.
        id_labels: class names by data set; a base file of each name is expected.

    Raises:
        ValueError: two rows make the same file, or there is not one complete method.
    """
    full = [row for row in rows if row.option == "full"]
    if len(full) != 1:
        raise ValueError(f"rows: one row must have the option 'full', got {len(full)}")
    texts: dict[str, str] = {}
    for family in families:
        for row in (row for row in rows if row.option in family.lines):
            for size in (size for size in family.sizes if row.sizes is None or size in row.sizes):
                for data, names in id_labels.items():
                    file = family.file(row, size, data)
                    if file in texts:
                        raise ValueError(f"rows: two rows make the file {file!r}")
                    parent = family.file(full[0], size, data)
                    lines = [*_comment(row.about), *_base(row, family, size, data, parent), ""]
                    lines += _body(row, family, data, names, f"configs/negas/{parent}")
                    texts[file] = "\n".join(lines) + "\n"
    return texts


def write_configs(texts: Mapping[str, str], folder: Path) -> list[str]:
    """Write what differs from the files in ``folder``; returns the names written."""
    changed = [name for name, _ in differences(texts, folder) if name in texts]
    for name in changed:
        write_text(folder / name, texts[name])
    return changed


def differences(texts: Mapping[str, str], folder: Path) -> Iterator[tuple[str, str]]:
    """Names of files that are not as they would be written, or of these models but in no row."""
    for name, text in texts.items():
        path = folder / name
        if not path.is_file():
            yield name, "is missing"
        elif path.read_text(encoding="utf-8") != text:
            yield name, "differs"
    models = {name.split("_")[1] for name in texts}
    for path in sorted(folder.glob("*_*.py")):
        if path.name not in texts and path.name.split("_")[1] in models:
            yield path.name, "is not in the table"


@cache
def _shuffled_nouns() -> list[str]:
    nouns = load_corpus(parts=("noun",), clean=True).words
    return sorted(nouns, key=lambda word: hashlib.sha256(word.encode()).digest())


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")


def _base(row: Row, family: Family, size: str, data: str, parent: str) -> list[str]:
    if row.option != "full":
        return [f'_base_ = "./{parent}"']
    bases = (family.model.format(size=size), family.data.format(data=data), family.schedule)
    bases = (*bases, "../_base_/default_runtime.py")
    return ["_base_ = [", *(f'    "{base}",' for base in bases), "]"]


def _body(
    row: Row, family: Family, data: str, id_labels: Sequence[str], parent: str
) -> Iterator[str]:
    lines = family.lines[row.option]
    if isinstance(row.value, Bank):
        yield from _bank(row.value, data, parent)
        value: object = "bank"
    elif isinstance(row.value, RandomWords):
        words = row.value.draw(id_labels)
        yield from _text("words", ", ".join(word.replace(" ", "\0") for word in words))
        value = 'words.split(", ")'
    else:
        value = row.value
    # replace, not format: the lines hold braces of MMEngine's own
    yield from lines.replace("{value}", str(value)).replace("{data}", data).splitlines()


def _bank(bank: Bank, data: str, parent: str) -> Iterator[str]:
    yield f'bank = "work_dirs/banks/{data}_{bank.name}.json"'
    yield "# The command that makes it:"
    options = bank.options.format(data=data)
    stages = f"--work-dir work_dirs/mine_{data}_{bank.stages}"
    command = f"python tools/mine_labels.py {parent} {options} {stages} --out {{bank}}"
    yield from _text("bank_command", command)


def _text(name: str, text: str) -> Iterator[str]:
    """An assignment of a long text, in strings that fit a line; ``{...}`` makes an f-string."""
    kept = re.sub(r"(--[\w-]+) (?!--)", "\\1\0", text)  # an option and its value share a line
    # four blanks, the f, two quotes and the blank at the end
    pieces = textwrap.wrap(kept, _WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    pieces = [piece.replace("\0", " ") + " " for piece in pieces]
    pieces[-1] = pieces[-1].rstrip()
    return iter([f"{name} = (", *(f'    {"f" * ("{" in p)}"{p}"' for p in pieces), ")"])
