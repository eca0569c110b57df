"""What stands on the page, and its HTML.

Every text goes through Jinja's autoescape: class, set and file names come from users' files.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from negas.reports.table import Table, best_rows
from negas.text import cut, visible

from .slider import Slider

_LONGEST = 1000  # characters of a text on the page
_TEMPLATE = "report.html.jinja"
_SCRIPT = "report.js"


@dataclass(frozen=True)
class Verdict:
    """Of the box in a picture; the slider judges it anew.

    Attributes:
        score: known iff at least tau.
        known: at the run's tau.
        unknown_uri: the picture with the box of an unknown one, where there is a picture.
    """

    score: float
    known: bool
    unknown_uri: str | None = None


@dataclass(frozen=True)
class Picture:
    """A picture, or why there is none.

    Attributes:
        alt: what it shows, for those who do not see it.
        uri: ``data:`` URI; ``None``: there is no picture.
        caption: lines below it.
        missing: why there is no picture.
        verdict: of its box; ``uri`` then shows a known one. The page says it behind ``alt`` and the
            first line of the caption.
    """

    alt: str
    uri: str | None = None
    caption: Sequence[str] = ()
    missing: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Tile:
    """A large number on top of the page; ``notes`` are lines below it."""

    label: str
    value: str
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class PictureGroup:
    """Pictures under one heading; ``note`` below it."""

    title: str
    pictures: Sequence[Picture]
    note: str = ""


@dataclass(frozen=True)
class ConfusionRow:
    """One OOD category.

    Attributes:
        category: its name.
        objects: annotated objects.
        boxes: detections on them.
        known: of these, how many are called known.
        cells: (detections, called known) per column.
    """

    category: str
    objects: int
    boxes: int
    known: int
    cells: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Confusion:
    """Detections on annotated OOD objects: category by predicted ID label.

    Attributes:
        title: the set.
        columns: ID labels that occur.
        rows: categories with a detection.
        note: counts of what is not in the table, or why there is none.
    """

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[ConfusionRow] = ()
    note: str = ""

    @property
    def largest(self) -> int:
        """The largest count of a cell."""
        return max((count for row in self.rows for count, _ in row.cells), default=1) or 1


@dataclass(frozen=True)
class BankWords:
    """A label bank: each word with the OOD sets of which it names a class."""

    title: str
    words: Sequence[tuple[str, Sequence[str]]]
    note: str = ""


@dataclass(frozen=True)
class TableGroup:
    """Tables of one protocol and cut; only the first group is open at once."""

    title: str
    tables: Sequence[Table]


@dataclass
class Page:
    """Everything on the page, in order."""

    title: str
    subtitle: str
    tiles: list[Tile]
    facts: list[tuple[str, str]]
    table_groups: list[TableGroup]
    table_notes: list[str]
    objects: list[Table]
    object_classes: list[Table]
    objects_notes: list[str]
    open_set: list[Table]
    open_set_notes: list[str]
    plots: list[PictureGroup]
    confusions: list[Confusion]
    confusion_note: str
    mistakes: list[PictureGroup]
    mistakes_note: str
    slider: Slider
    reliability: PictureGroup
    unknown: list[PictureGroup] = field(default_factory=list)
    unknown_note: str = ""
    unknown_tables: list[Table] = field(default_factory=list)
    unknown_plots: list[Picture] = field(default_factory=list)
    banks: list[BankWords] = field(default_factory=list)
    settings: list[tuple[str, str]] = field(default_factory=list)


def render_page(page: Page) -> str:
    """The page as HTML, about as large as the pictures in it."""
    return _environment().get_template(_TEMPLATE).render(page=page)


def _in_page(value: object) -> object:
    """Texts without control characters and of bounded length; not pictures and parts of pages."""
    if not isinstance(value, str) or hasattr(value, "__html__") or value.startswith("data:"):
        return value
    return visible(cut(value, _LONGEST))


@cache
def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_in_page,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["best_rows"] = best_rows
    script = (Path(__file__).parent / _SCRIPT).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # the page's policy lets this script run and no other
    environment.globals |= dict(script=Markup(script), script_hash=f"sha256-{digest}")
    return environment
