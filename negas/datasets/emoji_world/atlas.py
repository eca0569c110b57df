"""Glyph tiles read from the WebP atlas: one image per style, one square tile per glyph."""

from collections.abc import Collection, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from negas.files import read_json
from negas.shipped import RESTORE, find

# The second holds the styles that the world of shared instances does without.
INDEXES = ("atlas.json", "atlas-more.json")
Tile = tuple[str, str]  # style, glyph


class Atlas:
    """Glyph tiles of some styles, as straight-alpha BGRA uint8 arrays.

    Args:
        data_dir: folder with the indexes (`INDEXES`, of which the second may be missing) and the
            WebP files.
        styles: the styles to load.
        without: tiles to leave out, as if the styles did not draw them.

    Raises:
        FileNotFoundError: the index or an image is missing.
        KeyError: a style is in no index.
        ValueError: an index or an image is damaged.
    """

    def __init__(
        self, data_dir: str | Path, styles: Sequence[str], without: Collection[Tile] = ()
    ) -> None:
        if not styles:
            raise ValueError("styles is empty: name at least one style of the atlas.")
        folder = Path(find(Path(data_dir) / INDEXES[0])).parent
        self.styles, self._without = tuple(styles), frozenset(without)
        self._tiles: dict[Tile, tuple[np.ndarray, np.ndarray]] = {}
        known: dict[str, tuple[dict, int]] = {}  # style to its entry and number of columns
        for name in INDEXES:
            if name != INDEXES[0] and not (folder / name).is_file():
                continue
            index = read_json(folder / name, RESTORE)
            try:
                self.tile_size: int = index["tile"]
                known |= {
                    style: (entry, index["columns"]) for style, entry in index["styles"].items()
                }
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"{folder / name} is not an atlas index ({error}); {RESTORE}"
                ) from None
        for style in self.styles:
            if style not in known:
                raise KeyError(
                    f"style {style!r} is not in {folder / INDEXES[0]}: it has "
                    f"{', '.join(sorted(known))}."
                )
            self._load(folder, style, *known[style])

    def _load(self, data_dir: Path, style: str, entry: dict, columns: int) -> None:
        path = data_dir / entry["file"]
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; {RESTORE}")
        try:
            sheet = np.asarray(Image.open(path).convert("RGBA"))
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error}); {RESTORE}") from None
        sheet = cv2.cvtColor(sheet, cv2.COLOR_RGBA2BGRA)
        side = self.tile_size
        for glyph, number in entry["glyphs"].items():
            if (style, glyph) in self._without:
                continue
            top, left = number // columns * side, number % columns * side
            tile = sheet[top : top + side, left : left + side]
            if tile.shape[:2] != (side, side):
                raise ValueError(
                    f"{path} is smaller than its index says (glyph {glyph}); {RESTORE}"
                )
            # A half-size copy, because a plain affine warp to less than half the size aliases.
            half = cv2.resize(premultiply(tile), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            self._tiles[style, glyph] = (np.ascontiguousarray(tile), unpremultiply(half))

    def styles_of(self, glyph: str) -> list[str]:
        """Styles, in the order given, that draw this glyph."""
        return [style for style in self.styles if (style, glyph) in self._tiles]

    def tile(self, style: str, glyph: str, half: bool = False) -> np.ndarray:
        """Straight-alpha BGRA tile [tile_size, tile_size, 4], or half that size."""
        return self._tiles[style, glyph][int(half)]


def premultiply(tile: np.ndarray) -> np.ndarray:
    """Straight to premultiplied alpha, BGRA uint8 [H, W, 4]."""
    out = tile.copy()
    alpha = tile[..., 3:].astype(np.uint16)
    out[..., :3] = (tile[..., :3] * alpha + 127) // 255
    return out


def unpremultiply(tile: np.ndarray) -> np.ndarray:
    """Premultiplied to straight alpha, BGRA uint8 [H, W, 4]."""
    out = tile.copy()
    alpha = np.maximum(tile[..., 3:], 1).astype(np.uint16)
    out[..., :3] = np.minimum(tile[..., :3].astype(np.uint16) * 255 // alpha, 255)
    return out
