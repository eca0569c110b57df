"""Which tiles of the held-out styles are for fitting, which for testing."""

from pathlib import Path

from negas.files import read_json
from negas.shipped import RESTORE

from .atlas import Tile

FILE = "instances.json"
SIDES = ("fit", "test")


def tiles_of(data_dir: str | Path, side: str) -> frozenset[Tile]:
    """Tiles (style, glyph) of the ID and "other" classes that one side (`fit`, `test`) owns.

    The file comes from tools/dev/split_emoji_instances.py. Near- and far-OOD classes are not in
    it: they occur in tests only.

    Raises:
        FileNotFoundError: `data_dir` has no instances.json.
        ValueError: it is not the file that the tool writes, or there is no such side.
    """
    if side not in SIDES:
        raise ValueError(f"side must be one of {', '.join(SIDES)}, but got {side!r}.")
    path = Path(data_dir) / FILE
    table = read_json(path, RESTORE)
    try:
        return frozenset(
            (style, glyph) for style, glyphs in table[side].items() for glyph in glyphs
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no list of instances ({error}); {RESTORE}") from None
