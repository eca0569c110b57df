"""The command that rebuilds the atlas, on two tiny made-up icon packages."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from negas.datasets.emoji_world.atlas import Atlas

SQUARE = '<path fill="#f00" d="M2 2h12v12H2z"/>'


def package(folder, name, chars):
    folder.mkdir()
    icons = {
        "icons": {"red-square": {"body": SQUARE}},
        "aliases": {"block": {"parent": "red-square"}, "turned": {"parent": "x", "rotate": 1}},
        "width": 16,
        "height": 16,
    }
    files = {
        "icons": icons,
        "chars": chars,
        "info": {"license": {"spdx": "MIT"}},
        "package": {"name": f"@iconify-json/{name}", "version": "1.0.0"},
    }
    for stem, content in files.items():
        (folder / f"{stem}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def build(tmp_path, monkeypatch):
    rows = [
        {"name": "square", "glyphs": ["1f7e5"]},
        {"name": "brick", "glyphs": ["1f9f1", "1f9f2"]},
    ]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": rows}))

    def run(*packages):
        arguments = ["build_emoji_atlas.py", "--out", tmp_path, "--packages", *packages]
        monkeypatch.setattr(sys, "argv", list(map(str, arguments)))
        runpy.run_path("tools/dev/build_emoji_atlas.py", run_name="__main__")
        return tmp_path

    return run


def test_glyphs_are_found_by_code_point_alias_and_name(tmp_path, build, capsys):
    chars = {"1f7e5-fe0f": "red-square", "1f9f1": "block", "1f9f2": "turned"}
    new = package(tmp_path / "new", "new", chars)
    old = package(tmp_path / "old", "old", {})  # finds its icons by the other package's names
    out = build(new, old)
    assert "new: 2 of 3 glyphs" in capsys.readouterr().out
    atlas = Atlas(out, ["new", "old"])
    for glyph in ("1f7e5", "1f9f1"):
        assert atlas.styles_of(glyph) == ["new", "old"]
    assert atlas.styles_of("1f9f2") == []
    tile = atlas.tile("old", "1f7e5")
    assert tile[32, 32, 2] > 240 and tile[32, 32, 0] < 15 and tile[32, 32, 3] == 255
    assert tile[2, 2, 3] == 0
    index = json.loads((out / "atlas.json").read_text())
    assert index["class_of"]["1f7e5"] == "square"
    assert index["styles"]["old"]["package"] == "@iconify-json/old@1.0.0"


def test_names_of_other_packages_and_of_the_table(tmp_path, build):
    """The package of fxemoji maps no code points: only the hand-written names find its icons."""
    rows = [{"name": "square", "glyphs": ["1f7e5", "1f9f1"]}, {"name": "cat", "glyphs": ["1f408"]}]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": rows}))
    names = package(tmp_path / "names", "noto", {"1f7e5": "red-square", "1f9f1": "no-such"})
    other = package(tmp_path / "also", "twemoji", {"1f9f1": "red-square"})
    old = package(tmp_path / "old", "old", {})
    hand = package(tmp_path / "hand", "fxemoji", {})
    icons = {"icons": {"red-square": {"body": SQUARE}, "catside": {"body": SQUARE}}}
    (hand / "icons.json").write_text(json.dumps(icons))
    out = build(old, hand, "--names-from", names, other, "--index", "atlas-more.json")
    index = json.loads((out / "atlas-more.json").read_text())
    assert sorted(index["styles"]["old"]["glyphs"]) == ["1f7e5", "1f9f1"]
    assert index["styles"]["fxemoji"]["glyphs"] == {"1f408": 0}
    assert index["styles"]["fxemoji"]["licence"] == "CC-BY-4.0"  # the artwork's, not the code's
    assert not (out / "atlas.json").exists()


def test_the_shipped_atlas_has_every_icon_of_the_table():
    table = json.loads(Path("tools/dev/emoji_icon_names.json").read_text())
    styles = json.loads(Path("data/emoji_world/atlas-more.json").read_text())["styles"]
    for style, names in table.items():
        wanted = {glyph for glyph, name in names.items() if name}
        assert wanted <= set(styles[style]["glyphs"])
        assert not (set(names) - wanted) & set(styles[style]["glyphs"])


def test_errors_are_sentences(tmp_path, build):
    with pytest.raises(SystemExit, match=r"chars\.json: there is no such file; give unpacked"):
        build(tmp_path / "nowhere")
    with pytest.raises(SystemExit, match="add @iconify-json/noto"):
        build(package(tmp_path / "old", "old", {}))
    with pytest.raises(SystemExit, match="none of the classes' glyphs"):
        build(package(tmp_path / "other", "other", {"1f600": "red-square"}))
