"""The negative label bank: which words stand for "not one of my classes", and where from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from negas.files import read_json, write_json
from negas.shipped import bank_names, find_bank
from negas.text import listed, shown

from .names import check_entry, name_key

_LISTS = ("id_labels", "neg_labels")


@dataclass(frozen=True)
class NegativeLabelBank:
    """ID labels and the negative labels made for them, both in a fixed order.

    Attributes:
        id_labels: the K labels the bank was made for.
        neg_labels: the M negative labels; none equals an ID label.
        provenance: how it was made (model, prompts, thresholds, similarities, date), free form.

    Raises:
        ValueError: an empty list, an entry that is no text or empty, an entry that occurs twice
            or is also an ID label (case and outer spaces ignored).
    """

    id_labels: tuple[str, ...]
    neg_labels: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in _LISTS:
            object.__setattr__(self, key, checked_labels(key, getattr(self, key), "a label bank"))
        check_provenance(self.provenance)
        known = {name_key(name): name for name in self.id_labels}
        for label in self.neg_labels:
            if (name := known.get(name_key(label))) is not None:
                raise ValueError(
                    f"'neg_labels' holds {shown(label)}, which is the ID label {shown(name)}; "
                    f"remove it from the negatives."
                )

    def __len__(self) -> int:
        """M, the number of negative labels."""
        return len(self.neg_labels)

    @classmethod
    def load(cls, path: str | os.PathLike, names: Sequence[str] | None = None) -> NegativeLabelBank:
        """Read a JSON bank.

        Args:
            path: the file, or the name of a shipped bank: ``voc``, ``emoji_world/llm``.
            names: ID labels that it must have been made for, see :meth:`check_id_labels`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: not JSON, a key is missing, what the class itself refuses, or other ID
                labels; the message starts with the file.
        """
        path = find_bank(path)
        if not Path(path).is_file():
            known = ", ".join(bank_names())
            raise FileNotFoundError(
                f"{path}: no such label bank; correct the path, or name a shipped one: {known}."
            )
        data = read_json(path)
        if not isinstance(data, dict):
            raise ValueError(
                f"{path}: a label bank is a JSON object with 'id_labels' and 'neg_labels', "
                f"got {type(data).__name__}."
            )
        for key in _LISTS:
            if key not in data:
                raise ValueError(f"{path}: the key {key!r} is missing; add a list of labels.")
        try:
            bank = cls(data["id_labels"], data["neg_labels"], data.get("provenance", {}))
            if names is not None:
                bank.check_id_labels(names)
            return bank
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def top(self, num: int) -> NegativeLabelBank:
        """The first ``num`` negatives: the best ones, where a selection ranked them.

        Raises:
            ValueError: there are not so many.
        """
        if not 1 <= num <= len(self):
            raise ValueError(f"the bank has {len(self)} labels where {num} are asked.")
        return replace(
            self,
            neg_labels=self.neg_labels[:num],
            provenance={**self.provenance, "top": f"the first {num} of {len(self)}"},
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write readable JSON, labels in their order, whole or not at all; folders are made."""
        write_json(path, asdict(self), indent=2)

    def check_id_labels(self, names: Sequence[str]) -> None:
        """Make sure the bank was made for these ID labels, in whatever order.

        Raises:
            ValueError: it was made for other ones, or a negative is one of ``names``.
        """
        mine, given = ({name_key(name) for name in some} for some in (self.id_labels, names))
        for label in self.neg_labels:
            if name_key(label) in given:
                raise ValueError(
                    f"the negative label {shown(label)} is one of the detector's ID labels; "
                    f"use a bank made for these labels."
                )
        if mine != given:
            parts = [
                f"{what} {listed(sorted(some), 12)}"
                for what, some in (("lacks", given - mine), ("has besides", mine - given))
                if some
            ]
            raise ValueError(
                f"the label bank was made for other ID labels than the detector's: it "
                f"{' and '.join(parts)}; use a bank made for these labels or make one."
            )


def checked_labels(key: str, labels: object, holder: str) -> tuple[str, ...]:
    """The labels of a file's list, in their order.

    Args:
        key: the list's name in the file, for errors.
        labels: what stands there.
        holder: what the file is, for errors: ``"a label bank"``.

    Raises:
        ValueError: no list, empty, an entry that is no text or empty, or an entry that occurs twice
            (case and outer spaces ignored).
    """
    if not isinstance(labels, list | tuple):
        raise ValueError(f"{key!r} must be a list of labels, got {type(labels).__name__}.")
    if not labels:
        raise ValueError(f"{key!r} is empty; {holder} needs at least one label there.")
    seen: dict[str, int] = {}
    for index, label in enumerate(labels):
        check_entry(label, f"{key!r} entry {index}")
        if name_key(label) in seen:
            raise ValueError(
                f"{key!r} holds {shown(label)} twice (entries {seen[name_key(label)]} and "
                f"{index}, case ignored); remove one."
            )
        seen[name_key(label)] = index
    return tuple(labels)


def check_provenance(provenance: object) -> None:
    """Refuse a provenance that is no dict.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(provenance, dict):
        raise ValueError(
            f"'provenance' must be a dict, got {type(provenance).__name__}; "
            f"write {{}} if nothing is known."
        )
