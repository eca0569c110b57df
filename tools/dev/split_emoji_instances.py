"""Divide the tiles of EmojiWorld's held-out styles into instances to fit on and to test on.

Example:
    python tools/dev/split_emoji_instances.py
    mkdir /tmp/inner && cp data/emoji_world/*.* /tmp/inner
    python tools/dev/split_emoji_instances.py --within fit --out /tmp/inner/instances.json

The second divides the tiles to fit on once more, for choices that no test tile may see.

Tiles of a class that look alike (near-duplicates, and one glyph in two looks of a family) count as
one instance and stay on one side; each ID class has at least one instance on either side (with
--within, a class with a single one has it on both). Prints how many, and how close a fit and a test
tile of one class come. No randomness.
"""

import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from negas.cli import user_errors
from negas.datasets.emoji_world.atlas import Atlas, Tile
from negas.datasets.emoji_world.instances import FILE, SIDES, tiles_of
from negas.datasets.emoji_world.vocabulary import (
    HELD_OUT_STYLES,
    SEEN_STYLES,
    EmojiClass,
    load_classes,
)
from negas.files import write_text
from negas.options import Options, option

FAMILY = {"fluent-emoji-flat": "fluent", "fluent-emoji": "fluent"}  # one drawing, two looks
SIDE = 32  # pixels of the thumbnails that are compared
OPAQUE = 48  # of 255
GREY = 127.0


@dataclass(frozen=True)
class SplitOptions(Options):
    """Divide tiles into instances to fit on and to test on."""

    data: Path = option(Path("data/emoji_world"), help="folder of the atlas", metavar="DIR")
    pixels: float = option(0.10, help="near-duplicates: at most this RMS difference", ge=0, le=1)
    bits: int = option(12, help="near-duplicates: at most so many of 63 hash bits", ge=0, le=63)
    within: Literal["fit", "test"] | None = option(None, help="only these tiles of the file")
    swap: bool = option(False, help="exchange the two sides")
    out: Path | None = option(
        None, help="default: instances.json of --data", metavar="FILE", output=True
    )


def thumbnail(tile: np.ndarray) -> np.ndarray:
    """Tight square crop on grey: float32 BGR [32, 32, 3], 0 to 255, of a straight BGRA tile."""
    left, top, width, height = cv2.boundingRect((tile[..., 3] >= OPAQUE).astype(np.uint8))
    tile = tile[top : top + height, left : left + width].astype(np.float32)
    alpha = tile[..., 3:] / 255
    side = max(width, height)
    square = np.full((side, side, 3), GREY, np.float32)
    y, x = (side - height) // 2, (side - width) // 2
    square[y : y + height, x : x + width] = tile[..., :3] * alpha + GREY * (1 - alpha)
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def hash_bits(picture: np.ndarray) -> np.ndarray:
    """63 bits: signs of the low DCT coefficients of the luminance around their median."""
    low = cv2.dct(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))[:8, :8].ravel()[1:]
    return low > np.median(low)


def distance(first: np.ndarray, second: np.ndarray) -> tuple[float, int]:
    """RMS difference (0 to 1) and differing hash bits of two thumbnails, at best mirrored."""
    mirrored = [second, np.ascontiguousarray(second[:, ::-1])]
    pixels = min(float(np.sqrt(np.mean((first - other) ** 2))) / 255 for other in mirrored)
    bits = min(int((hash_bits(first) != hash_bits(other)).sum()) for other in mirrored)
    return pixels, bits


def instances(pictures: dict[Tile, np.ndarray], pixels: float, bits: int) -> list[list[Tile]]:
    """Group the tiles of a class: near-duplicates, and their near-duplicates, are one instance."""
    group = {tile: tile for tile in pictures}

    def root(tile: Tile) -> Tile:
        while group[tile] != tile:
            tile = group[tile]
        return tile

    for first, second in combinations(pictures, 2):
        apart = distance(pictures[first], pictures[second])
        one_drawing = first[1] == second[1] and family(first) == family(second)
        if one_drawing or apart[0] <= pixels or apart[1] <= bits:
            group[root(second)] = root(first)
    members = defaultdict(list)
    for tile in pictures:
        members[root(tile)].append(tile)
    return list(members.values())


def family(tile: Tile) -> str:
    """The drawings that a tile's style belongs to."""
    return FAMILY.get(tile[0], tile[0])


def divide(groups: list[list[Tile]], balance: Counter) -> dict[str, list[list[Tile]]]:
    """Give each instance of a class to the side that has fewer, so that both have some.

    What counts, in this order: instances of the class; the same glyph by others, so that both sides
    have a class's heads and its bodies; instances of the class and the family, drawings of the
    class, instances of the family in all classes so far (`balance`, brought up to date).
    """
    sides: dict[str, list[list[Tile]]] = {side: [] for side in SIDES}
    for group in sorted(groups, key=len, reverse=True):
        kind, glyphs = family(group[0]), {glyph for _, glyph in group}

        def taken(side: str, kind: str = kind, glyphs: set = glyphs) -> tuple[int, ...]:
            mine = sides[side]
            return (
                len(mine),
                len(glyphs & {glyph for other in mine for _, glyph in other}),
                sum(family(other[0]) == kind for other in mine),
                sum(map(len, mine)),
                balance[kind, side],
            )

        side = min(SIDES, key=taken)
        sides[side].append(group)
        balance[kind, side] += 1
    return sides


def pictures_of(atlas: Atlas, entry: EmojiClass) -> dict[Tile, np.ndarray]:
    """Thumbnails of a class's tiles, style by style."""
    return {
        (style, glyph): thumbnail(atlas.tile(style, glyph))
        for style in atlas.styles
        for glyph in entry.glyphs
        if style in atlas.styles_of(glyph)
    }


def closest(first: dict[Tile, np.ndarray], second: dict[Tile, np.ndarray]) -> list:
    """For each tile of the second kind the distance of the closest one of the first."""
    pairs = [[distance(a, b) for a in first.values()] for b in second.values()]
    return [(min(p for p, _ in row), min(b for _, b in row)) for row in pairs]


def told(title: str, apart: list[tuple[float, int]]) -> str:
    """One line about distances."""
    pixels, bits = (np.array(values) for values in zip(*apart, strict=True))
    return (
        f"{title}: RMS difference at least {pixels.min():.3f}, 5% quantile "
        f"{np.quantile(pixels, 0.05):.3f}, median {np.median(pixels):.3f}; hash bits at least "
        f"{bits.min()}, 5% quantile {np.quantile(bits, 0.05):.0f}, median {np.median(bits):.0f}"
    )


@user_errors
def main() -> int:
    args = SplitOptions.parse()
    classes = load_classes(args.data)
    atlas = Atlas(args.data, HELD_OUT_STYLES)
    seen = Atlas(args.data, SEEN_STYLES)
    mine = tiles_of(args.data, args.within) if args.within else None
    balance: Counter = Counter()
    table = {side: {style: [] for style in atlas.styles} for side in SIDES}
    apart, from_seen = defaultdict(list), []
    for entry in classes:
        if entry.group not in ("id", "other"):
            continue
        pictures = pictures_of(atlas, entry)
        if mine is not None:
            pictures = {tile: each for tile, each in pictures.items() if tile in mine}
        sides = divide(instances(pictures, args.pixels, args.bits), balance)
        if entry.group == "id" and not all(sides.values()):
            if mine is None:
                raise ValueError(f"all tiles of {entry.name} are one instance: nothing to test on")
            sides = dict.fromkeys(SIDES, [list(pictures)])
        if args.swap:
            sides = dict(zip(SIDES, reversed(sides.values()), strict=True))
        counts = []
        for side, groups in sides.items():
            tiles = [tile for group in groups for tile in group]
            counts.append(f"{len(groups)} ({len(tiles)})")
            for style, glyph in tiles:
                table[side][style].append(glyph)
        fit, test = (
            {tile: pictures[tile] for group in sides[side] for tile in group} for side in SIDES
        )
        if fit and test:
            apart[entry.group] += closest(fit, test)
        if entry.group == "id":
            print(f"{entry.name}: instances (tiles) to fit on {counts[0]}, to test on {counts[1]}")
            from_seen += closest(pictures_of(seen, entry), pictures)
    for group, rows in apart.items():
        print(told(f"{group}, a test tile to the closest fit tile of its class", rows))
    print(told("id, a tile to the closest of its class in pre-training", from_seen))
    total = {side: sum(map(len, styles.values())) for side, styles in table.items()}
    print(f"{total['fit']} tiles to fit on, {total['test']} to test on")
    for styles in table.values():
        for glyphs in styles.values():
            glyphs.sort()
    rule = {"pixels": args.pixels, "bits": args.bits, "tool": "tools/dev/split_emoji_instances.py"}
    write_text(args.out or args.data / FILE, json.dumps({"rule": rule, **table}, indent=0) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
