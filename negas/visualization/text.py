"""Text that came from outside on pictures: one line, as it stands, in letters that a font has.

A name in letters that no installed font has is painted as code points (``U+732B``), not as squares.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from PIL import ImageFont

from negas.text import cut, shown_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = 28  # letters of a class name on a box
_OURS = "DejaVu Sans"  # matplotlib brings it along
_NO_FONTS = ("Last Resort", "STIX", "DejaVu Math")  # boxes for every letter, parts of formulas


def drawable(text: str, length: int = 80) -> str:
    """One line of at most ``length`` characters, each of which :func:`font_file` has a font for."""
    line = shown_text(" ".join(text.split()), length)
    if font_file(line) is not None or line.isascii():
        return line
    known = _letters(_installed()[0])
    spelled = "".join(c if ord(c) in known else f" U+{ord(c):04X} " for c in line)
    return cut(" ".join(spelled.split()), length)


@cache
def font_file(text: str) -> str | None:
    """The first installed font with all letters of a text; None: there is none."""
    wanted = {ord(c) for c in text}
    return next((path for path in _installed() if wanted <= _letters(path)), None)


def image_font(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """What Pillow paints a :func:`drawable` text with."""
    return _image_font(None if text.isascii() else font_file(text), size)


@cache
def _image_font(file: str | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)


def plain_figure(figure: Figure) -> None:
    """Make all texts of a figure drawable, and none of them a formula, before it is rendered."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        said = text.get_text()
        if not said:  # such as ticks that are numbered while they are drawn
            continue
        text.set_parse_math(False)
        text.set_text("\n".join(drawable(line, 120) for line in said.split("\n")))
        if not text.get_text().isascii():
            font = text.get_fontproperties().copy()
            font.set_file(font_file(text.get_text().replace("\n", "")))
            text.set_fontproperties(font)


@cache
def _installed() -> list[str]:
    """Files of upright fonts, matplotlib's own first."""
    from matplotlib.font_manager import fontManager

    fonts = [
        font
        for font in fontManager.ttflist
        if font.style == "normal" and not font.name.startswith(_NO_FONTS)
    ]
    fonts.sort(key=lambda font: (font.name != _OURS, abs(_weight(font) - 400), font.name))
    return [font.fname for font in fonts if _paints(font.fname)]


def _weight(font) -> int:
    return font.weight if isinstance(font.weight, int) else 400


def _paints(path: str) -> bool:
    try:
        ImageFont.truetype(path, 16)
    except OSError:  # bitmaps of one size, as emoji in colour are
        return False
    return True


@cache
def _letters(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(path).get_charmap())
