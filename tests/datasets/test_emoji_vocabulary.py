"""Class table and atlas: groups are disjoint, held-out classes stay out, errors name the file."""

import json
import re
from collections import Counter

import numpy as np
import pytest

from negas.datasets.emoji_world.atlas import Atlas, premultiply, unpremultiply
from negas.datasets.emoji_world.dataset import ID_NAMES, PALETTE
from negas.datasets.emoji_world.vocabulary import (
    SHARED_HELD_OUT_STYLES,
    SHARED_SEEN_STYLES,
    group_names,
    load_classes,
    vocabulary,
)

CLASSES = load_classes()


def test_groups_and_names():
    assert tuple(group_names(CLASSES, "id")) == ID_NAMES
    assert len(set(PALETTE)) == len(PALETTE) == len(ID_NAMES) == 19
    counts = Counter(entry.group for entry in CLASSES)
    assert counts["near"] == 45 and counts["far"] >= 60 and counts["other"] >= 150
    names = [entry.name for entry in CLASSES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z -]*", name) for name in names)
    assert all(entry.hypernym for entry in CLASSES)


def test_no_glyph_belongs_to_two_classes():
    glyphs = [glyph for entry in CLASSES for glyph in entry.glyphs]
    assert len(set(glyphs)) == len(glyphs)


@pytest.mark.parametrize("group,flag", [("far", "seen"), ("near", "seen_strict")])
def test_every_second_name_is_held_out(group, flag):
    chosen = sorted(entry.name for entry in CLASSES if entry.group == group)
    seen = {entry.name for entry in CLASSES if getattr(entry, flag)}
    assert [name for name in chosen if name in seen] == chosen[::2]


def test_vocabularies():
    standard, strict = vocabulary(CLASSES), vocabulary(CLASSES, "strict")
    assert set(strict) < set(standard)
    assert set(standard) >= set(group_names(CLASSES, "near")) | set(ID_NAMES)
    assert len(standard) - len(strict) == 22
    with pytest.raises(ValueError, match="standard, strict"):
        vocabulary(CLASSES, "open")
    with pytest.raises(ValueError, match="id, near, far, other"):
        group_names(CLASSES, "ood")


def test_every_class_can_be_drawn_in_the_styles_that_need_it():
    seen, held_out = (
        Atlas("data/emoji_world", SHARED_SEEN_STYLES),
        Atlas("data/emoji_world", SHARED_HELD_OUT_STYLES),
    )
    for entry in CLASSES:
        assert all(held_out.styles_of(glyph) for glyph in entry.glyphs)
        assert not entry.seen or any(seen.styles_of(glyph) for glyph in entry.glyphs)


def test_tiles_hold_a_glyph_in_every_style():
    atlas = Atlas("data/emoji_world", SHARED_SEEN_STYLES + SHARED_HELD_OUT_STYLES)
    for entry in CLASSES:
        for glyph in entry.glyphs:
            for style in atlas.styles_of(glyph):
                tile = atlas.tile(style, glyph)
                assert tile.shape == (64, 64, 4)
                assert (tile[..., 3] > 128).mean() > 0.03, (style, entry.name)
                assert atlas.tile(style, glyph, half=True).shape == (32, 32, 4)


def test_premultiply_round_trip():
    tile = np.random.default_rng(0).integers(0, 256, (8, 8, 4)).astype(np.uint8)
    tile[..., 3] = np.maximum(tile[..., 3], 128)
    back = unpremultiply(premultiply(tile))
    assert np.abs(back.astype(int) - tile).max() <= 2
    assert premultiply(np.full((1, 1, 4), (200, 100, 50, 0), np.uint8))[0, 0].tolist() == [0] * 4


def test_errors_name_the_file_and_the_remedy(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"classes\.json: there is no such file.*it comes with negas"
    ):
        load_classes(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"atlas\.json: there is no such file"):
        Atlas(tmp_path, SHARED_SEEN_STYLES)
    with pytest.raises(KeyError, match="blobs.*it has emojione, emojione-v1, fluent-emoji,"):
        Atlas("data/emoji_world", ["blobs"])
    with pytest.raises(ValueError, match="styles is empty"):
        Atlas("data/emoji_world", [])
    (tmp_path / "classes.json").write_text("{}")
    with pytest.raises(ValueError, match="not a class table"):
        load_classes(tmp_path)
    entry = {"file": "a.webp", "glyphs": {"1f600": 0}}
    index = {"tile": 64, "columns": 1, "styles": {"a": entry}}
    (tmp_path / "atlas.json").write_text(json.dumps(index))
    with pytest.raises(FileNotFoundError, match=r"a\.webp is missing; it comes with"):
        Atlas(tmp_path, ["a"])
    (tmp_path / "a.webp").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a\.webp cannot be read"):
        Atlas(tmp_path, ["a"])
