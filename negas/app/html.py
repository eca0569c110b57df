"""Tables and lines of the page. Every text is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from negas.reports.html.page import Picture
from negas.text import visible

STYLE = """
.negas-scroll {overflow-x: auto; max-width: 100%}
.negas-scroll table {border-collapse: collapse; width: 100%; font-size: 0.9rem;
  margin: 0}
.negas-scroll .cell {border: 0 solid var(--border-color-primary);
  border-bottom-width: 1px; padding: 0.3rem 0.5rem;
  text-align: left; vertical-align: top; overflow-wrap: normal; word-break: normal}
.negas-scroll th {color: var(--body-text-color-subdued); font-weight: 600; line-height: 1.2}
.negas-scroll td {max-width: 14rem}
.negas-scroll .long {overflow-wrap: anywhere; min-width: 10rem}
.negas-pictures {display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(130px, 1fr))}
.negas-pictures figure {margin: 0; overflow-wrap: anywhere; font-size: 0.85rem}
.negas-pictures img {width: 100%; border-radius: 4px}
.negas-pictures figcaption span {display: block}
.negas-scroll .number {text-align: right; font-variant-numeric: tabular-nums}
.negas-known {color: #14803a; font-weight: 600}
.negas-unknown {color: #d71928; font-weight: 600}
.dark .negas-known {color: #4ade80}
.dark .negas-unknown {color: #ff7b86}
.negas-line {margin: 0.2rem 0; overflow-wrap: anywhere}
.negas-problem {border-left: 4px solid #d71928; padding: 0.3rem 0.7rem}
footer {display: none !important}
"""
_LONG = 24  # characters of a word that may be broken
_CLASSES = {"known": "negas-known", "unknown": "negas-unknown", "unknown object": "negas-unknown"}


def _shown(text: object) -> str:
    return escape(visible(str(text)), quote=True)


def html_table(columns: Sequence[str], rows: Sequence[Sequence[object]], numbers: str = "") -> str:
    """A table that scrolls in its own frame.

    Args:
        columns: headings.
        rows: cells, texts as they are.
        numbers: digits of the columns that stand to the right, such as ``"245"``.
    """
    right = {int(digit) for digit in numbers}

    def cell(tag: str, place: int, text: object) -> str:
        kind = "number" if place in right else _CLASSES.get(str(text), "")
        if max(map(len, str(text).split()), default=0) > _LONG:
            kind += " long"
        return f'<{tag} class="cell {kind}">{_shown(text)}</{tag}>'

    head = "".join(cell("th", i, text) for i, text in enumerate(columns))
    body = "".join(
        f"<tr>{''.join(cell('td', i, text) for i, text in enumerate(row))}</tr>" for row in rows
    )
    return (
        f'<div class="negas-scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def lines(texts: Sequence[str]) -> str:
    """Sentences, each on a line of its own."""
    return "".join(f'<p class="negas-line">{_shown(text)}</p>' for text in texts)


def figures(pictures: Sequence[Picture]) -> str:
    """Pictures of boxes with their captions."""
    found = []
    for picture in pictures:
        shown = f'<img src="{picture.uri}" alt="{_shown(picture.alt)}">'
        if picture.uri is None:
            shown = f"<em>{_shown(picture.missing)}</em>"
        said = "".join(f"<span>{_shown(text)}</span>" for text in picture.caption)
        found.append(f"<figure>{shown}<figcaption>{said}</figcaption></figure>")
    return f'<div class="negas-pictures">{"".join(found)}</div>'


def problem(text: str) -> str:
    """A sentence on what is wrong and what to do."""
    return f'<p class="negas-line negas-problem" role="alert">{_shown(text)}</p>'
