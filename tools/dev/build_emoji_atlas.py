"""Rasterise the glyphs of EmojiWorld into one WebP atlas per style.

Example:
    npm pack @iconify-json/noto          # once per package, unpack each .tgz
    python tools/dev/build_emoji_atlas.py --packages noto/package twemoji/package ...

Icons are found by code point where a package maps them (chars.json), otherwise by the names that
other packages (`--names-from`) or tools/dev/emoji_icon_names.json give the code point.
Needs `resvg-py` (pip), which renders SVG without system libraries. See data/emoji_world/README.md.
"""

import base64
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from negas.files import read_json, whole_file, write_text
from negas.options import Options, option

TILE = 64  # pixels; a multiple of 16, so that no WebP macro block spans two tiles
COLUMNS = 24


@dataclass(frozen=True)
class AtlasOptions(Options):
    """Rasterise the glyphs of EmojiWorld into one WebP atlas per style."""

    packages: tuple[Path, ...] = option(help="unpacked, one per style", metavar="DIR")
    names_from: tuple[Path, ...] = option(
        (), help="unpacked packages that only name icons", metavar="DIR"
    )
    index: str = option("atlas.json", help="file name of the index", metavar="FILE")
    out: Path = option(Path("data/emoji_world"), help="folder to write", output=True)
    quality: int = option(92, help="of WebP", ge=1, le=100)


# Where a package names the licence of the code, and the artwork has another (see NOTICE.md).
ARTWORK = {"fxemoji": "CC-BY-4.0"}
AGAIN = "give unpacked @iconify-json packages"


def without_selector(code_points: str) -> str:
    """Drop the emoji variation selector, which the packages write inconsistently."""
    return "-".join(part for part in code_points.lower().split("-") if part != "fe0f")


def icon_names(packages: Sequence[Path]) -> dict[str, list[str]]:
    """Map code points to the names that the packages give them (older ones give none)."""
    names: dict[str, list[str]] = {}
    for package in packages:
        for code_points, name in read_json(package / "chars.json", AGAIN).items():
            known = names.setdefault(without_selector(code_points), [])
            if name not in known:
                known.append(name)
    if not names:
        raise ValueError(
            "None of the packages maps code points to names (empty chars.json): "
            "add @iconify-json/noto to --packages or --names-from."
        )
    return names


def find_svg(icons: dict, name: str) -> str | None:
    """Return the SVG text of an icon or of the icon its alias points at."""
    alias = icons.get("aliases", {}).get(name)
    if alias is not None:
        if {"rotate", "hFlip", "vFlip"} & alias.keys():
            return None
        name = alias["parent"]
    icon = icons["icons"].get(name)
    if icon is None:
        return None
    left, top = icon.get("left", 0), icon.get("top", 0)
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" viewBox="{left} {top} {width} {height}">'
        f"{icon['body']}</svg>"
    )


def rasterise(svg: str) -> Image.Image:
    """Render an SVG into a square RGBA tile."""
    try:
        import resvg_py
    except ImportError:
        raise ModuleNotFoundError("resvg-py is needed: pip install resvg-py.") from None
    data = resvg_py.svg_to_bytes(svg_string=svg, height=TILE, skip_system_fonts=True)
    if isinstance(data, str):  # some releases return base64 text
        data = base64.b64decode(data)
    picture = Image.open(io.BytesIO(bytes(data))).convert("RGBA")
    picture.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    tile = Image.new("RGBA", (TILE, TILE))
    tile.paste(picture, ((TILE - picture.width) // 2, (TILE - picture.height) // 2))
    return tile


def render_style(
    package: Path, glyphs: list[str], own_names: dict[str, str | None], names: dict[str, list[str]]
) -> dict[str, Image.Image]:
    """Render every glyph that the package has; the own name None leaves one out."""
    icons = read_json(package / "icons.json", AGAIN)
    tiles = {}
    for glyph in glyphs:
        candidates = [own_names[glyph]] if glyph in own_names else names.get(glyph, [])
        svgs = (find_svg(icons, name) for name in candidates if name)
        svg = next(filter(None, svgs), None)
        tile = rasterise(svg) if svg else None
        if tile is not None and tile.getbbox() is not None:
            tiles[glyph] = tile
    return tiles


def main() -> None:
    """Build the atlas."""
    from tqdm import tqdm

    args = AtlasOptions.parse()
    classes = read_json(args.out / "classes.json", AGAIN)["classes"]
    class_of = {glyph: entry["name"] for entry in classes for glyph in entry["glyphs"]}
    names = icon_names([*args.packages, *args.names_from])
    tables = read_json(Path(__file__).with_name("emoji_icon_names.json"))
    index = {"tile": TILE, "columns": COLUMNS, "class_of": class_of, "styles": {}}
    for package in tqdm(args.packages, desc="styles"):
        info = read_json(package / "info.json", AGAIN)
        style = read_json(package / "package.json", AGAIN)["name"].split("/")[-1]
        version = read_json(package / "package.json", AGAIN)["version"]
        # A style with a table of its own names icons in its own way: others' names would mislead.
        others = {} if style in tables else names
        own_names = {**icon_names_of(package), **tables.get(style, {})}
        tiles = render_style(package, sorted(class_of), own_names, others)
        if not tiles:
            raise ValueError(f"{package} has none of the classes' glyphs: is it an emoji package?")
        rows = -(-len(tiles) // COLUMNS)
        sheet = Image.new("RGBA", (COLUMNS * TILE, rows * TILE))
        for number, tile in enumerate(tiles.values()):
            sheet.paste(tile, (number % COLUMNS * TILE, number // COLUMNS * TILE))
        name = f"atlas-{style}.webp"
        with whole_file(args.out / name) as partial:
            sheet.save(partial, "WEBP", quality=args.quality, method=6)
        index["styles"][style] = {
            "file": name,
            "licence": ARTWORK.get(style, info["license"]["spdx"]),
            "package": f"@iconify-json/{style}@{version}",
            "glyphs": {glyph: number for number, glyph in enumerate(tiles)},
        }
        size = (args.out / name).stat().st_size
        print(f"{style}: {len(tiles)} of {len(class_of)} glyphs, {size / 1e6:.2f} MB")
    write_text(args.out / args.index, json.dumps(index, indent=0) + "\n")


def icon_names_of(package: Path) -> dict[str, str]:
    """Map code points to the package's own icon names; empty where it has no such table."""
    table = read_json(package / "chars.json", AGAIN)
    return {without_selector(code_points): name for code_points, name in table.items()}


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, ModuleNotFoundError) as error:
        sys.exit(f"build_emoji_atlas: {error}")
