"""The command that rebuilds the atlas, on two tiny made-up icon packages."""

import json
import runpy
import sys

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


def test_errors_are_sentences(tmp_path, build):
    with pytest.raises(SystemExit, match=r"chars\.json: there is no such file; give unpacked"):
        build(tmp_path / "nowhere")
    with pytest.raises(SystemExit, match="add @iconify-json/noto"):
        build(package(tmp_path / "old", "old", {}))
