"""Instances: no tile on both sides, enough of each class; the variant that shares them."""

import json
import runpy
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from negas.datasets.emoji_world import scenes
from negas.datasets.emoji_world.atlas import Atlas
from negas.datasets.emoji_world.instances import SIDES, tiles_of
from negas.datasets.emoji_world.splits import SPLITS, SplitWriter, splits
from negas.datasets.emoji_world.vocabulary import (
    HELD_OUT_STYLES,
    SEEN_STYLES,
    SHARED_HELD_OUT_STYLES,
    SHARED_SEEN_STYLES,
    load_classes,
    vocabulary,
)
from tests.helpers.commands import call_tool

DATA = "data/emoji_world"
CLASSES = load_classes()
SHARED = splits(shared_instances=True)
ON_FIT, ON_TEST = (tiles_of(DATA, side) for side in SIDES)
GROUP = {glyph: entry.group for entry in CLASSES for glyph in entry.glyphs}


@cache
def writer(split: str) -> SplitWriter:
    return SplitWriter(SPLITS[split], DATA)


def tiles_in(split: str) -> frozenset:
    """Every tile that a split may show, on an object or in a background."""
    atlas = writer(split).composer.atlas
    return frozenset((style, g) for g in GROUP for style in atlas.styles_of(g))


def test_shared_instances_are_all_tiles_of_one_style():
    assert splits() is SPLITS and set(SHARED) == set(SPLITS)
    for name, split in SHARED.items():
        shared = SplitWriter(split, DATA)
        assert shared.recipe().keys() == {
            *("version", "seed", "num", "name", "key", "labelled", "unlabelled", "styles")
        }
        seen = name == "id_val_seen"
        assert split.styles == (SHARED_SEEN_STYLES if seen else SHARED_HELD_OUT_STYLES)
        named = [path.name for path in shared.sources()]
        assert named[:2] == ["classes.json", "atlas.json"] and len(named) == 2 + len(split.styles)
        other = SPLITS[name]
        assert (other.num, other.labelled, other.unlabelled) == (
            *(split.num, split.labelled, split.unlabelled),
        )
    assert set(SHARED_SEEN_STYLES) < set(SEEN_STYLES)
    assert set(SHARED_HELD_OUT_STYLES) < set(HELD_OUT_STYLES)


def test_no_tile_to_fit_on_occurs_in_a_test():
    assert not ON_FIT & ON_TEST
    fit = [name for name, split in SPLITS.items() if split.side == "fit"]
    assert sorted(fit) == ["id_train", "id_val", "id_val_clean"]
    test = [name for name, split in SPLITS.items() if split.side == "test"]
    assert {SPLITS[name].styles for name in (*fit, *test)} == {HELD_OUT_STYLES}
    assert {*fit, *test} == set(SPLITS) - {"id_val_seen"}
    shown = {name: tiles_in(name) for name in ("id_train", "id_test", "near_ood")}
    owned = {tile for tile in shown["id_train"] if GROUP[tile[1]] in ("id", "other")}
    assert owned == ON_FIT  # the other tiles are of OOD classes, which no ID split draws
    for name in ("id_test", "near_ood"):
        assert not ON_FIT & shown[name] and ON_TEST <= shown[name]
    assert SPLITS["id_val_seen"].styles == SEEN_STYLES


def test_scenes_are_drawn_from_their_own_side(monkeypatch):
    drawn = []
    draw = scenes.draw_glyph

    def listening(atlas, style, glyph, *rest):
        drawn.append((style, glyph))
        return draw(atlas, style, glyph, *rest)

    monkeypatch.setattr(scenes, "draw_glyph", listening)
    for name, side in (("id_train", ON_FIT), ("id_test", ON_TEST)):
        drawn.clear()
        for image_id in range(1, 31):
            writer(name).scene(image_id)
        assert len(drawn) > 75 and set(drawn) <= side
    drawn.clear()
    for image_id in range(1, 11):
        writer("near_ood").scene(image_id)
    assert {GROUP[glyph] for _, glyph in drawn} == {"near"}
    assert {style for style, _ in drawn} == set(HELD_OUT_STYLES)


def test_counts_of_tiles():
    held_out = Atlas(DATA, HELD_OUT_STYLES)
    for entry in CLASSES:
        tiles = {(style, g) for g in entry.glyphs for style in held_out.styles_of(g)}
        if entry.group in ("near", "far"):
            assert not tiles & (ON_FIT | ON_TEST)
            continue
        assert tiles <= ON_FIT | ON_TEST
        if entry.group == "id":
            assert tiles & ON_FIT and tiles & ON_TEST, entry.name
    plants = Counter(side for side in (ON_FIT, ON_TEST) for _, glyph in side if glyph == "1fab4")
    assert sorted(plants.values()) == [1, 2]  # one instance each: Fluent's in two looks, OpenMoji's
    assert len(ON_FIT) > 450 and len(ON_TEST) > 450


def test_near_duplicates_stay_on_one_side():
    tool = runpy.run_path("tools/dev/split_emoji_instances.py")
    atlas = Atlas(DATA, HELD_OUT_STYLES)
    for entry in CLASSES:
        if entry.group != "id":
            continue
        pictures = tool["pictures_of"](atlas, entry)
        fit, test = (
            {tile: pictures[tile] for tile in pictures if tile in side}
            for side in (ON_FIT, ON_TEST)
        )
        for pixels, bits in tool["closest"](fit, test):
            assert pixels > 0.13 and bits > 12, entry.name


def test_glyphs_of_two_hands_are_on_both_sides():
    horse = next(entry for entry in CLASSES if entry.name == "horse")
    glyphs = [{g for _, g in side if g in horse.glyphs} for side in (ON_FIT, ON_TEST)]
    assert glyphs == [set(horse.glyphs)] * 2  # a head and a whole horse


def test_distances_by_hand():
    tool = runpy.run_path("tools/dev/split_emoji_instances.py")
    tile = np.zeros((64, 64, 4), np.uint8)
    tile[10:40, 20:60] = (0, 0, 255, 255)
    tile[10:20, 20:30] = (255, 255, 255, 255)
    moved = np.roll(tile, (7, -9), (0, 1))
    picture = tool["thumbnail"](tile)
    assert picture.shape == (32, 32, 3) and picture[0, 0].tolist() == [127, 127, 127]
    assert tool["distance"](picture, tool["thumbnail"](moved)) == (0.0, 0)
    mirrored = tool["thumbnail"](np.ascontiguousarray(tile[:, ::-1]))
    assert tool["distance"](picture, mirrored)[0] < 0.01
    assert tool["distance"](picture, np.zeros_like(picture))[0] > 0.3


def test_dividing_by_hand():
    tool = runpy.run_path("tools/dev/split_emoji_instances.py")
    groups = [[("openmoji", "a")], [("fluent-emoji", "a"), ("fluent-emoji-flat", "a")]]
    balance = Counter()
    first = tool["divide"](groups, balance)
    assert list(map(len, first.values())) == [1, 1]
    second = tool["divide"](groups, balance)  # the other way round: families stay balanced
    assert first["fit"][0][0][0] != second["fit"][0][0][0]
    assert set(balance.values()) == {1}
    assert [len(groups) for groups in tool["divide"](groups[:1], balance).values()] in (
        *([1, 0], [0, 1]),
    )


def test_tiles_to_fit_on_are_divided_once_more(tmp_path):
    sides = []
    for swap in ([], ["--swap"]):
        more = ("--within", "fit", "--out", tmp_path / "instances.json", *swap)
        assert call_tool("dev/split_emoji_instances", "--data", DATA, *more) == 0
        sides.append([tiles_of(tmp_path, side) for side in SIDES])
        (tmp_path / "instances.json").unlink()
    fit, test = sides[0]
    assert fit | test == ON_FIT and sides[1] == [test, fit]
    classes = {entry.name for entry in CLASSES for _, g in fit & test if g in entry.glyphs}
    # one instance each
    assert classes == {"bicycle", "potted plant", "couch", "sheep", "tv"}


def test_pre_training_can_draw_its_classes_without_the_held_out_styles():
    seen = Atlas(DATA, SEEN_STYLES)
    assert not set(SEEN_STYLES) & set(HELD_OUT_STYLES)
    drawable = {e.name for e in CLASSES if any(seen.styles_of(glyph) for glyph in e.glyphs)}
    assert set(vocabulary(CLASSES)) <= drawable
    counts = {style: sum(style in seen.styles_of(g) for g in GROUP) for style in SEEN_STYLES}
    assert min(counts.values()) > 190


@pytest.mark.parametrize("name", ["yolo-world-tiny_1xb16", "grounding-dino-tiny_1xb6"])
def test_pre_training_sees_no_held_out_style(name):
    cfg = Config.fromfile(f"configs/negas/{name}-4e-pretrain-more_emoji-world.py")
    assert tuple(cfg.train_dataloader.dataset.styles) == SEEN_STYLES
    watched = [(part.data_root, part.ann_file) for part in cfg.val_dataloader.dataset.datasets]
    assert watched == [
        ("data/emoji_world/scenes/", f"annotations/{split}.json")
        for split in ("id_val_seen", "id_val")
    ]
    assert [metric.ann_file for metric in cfg.val_evaluator.metrics] == [
        root + ann_file for root, ann_file in watched
    ]
    iterations = cfg.train_dataloader.sampler.epoch_length / cfg.train_dataloader.batch_size
    assert cfg.param_scheduler[-1].end == iterations * cfg.train_cfg.max_epochs
    assert cfg.load_from.startswith("data/emoji_world/")


def test_the_shared_configs_differ_in_the_world_alone():
    for shared in sorted(Path("configs/negas").glob("*emoji-world-shared.py")):
        plain = Config.fromfile(str(shared).replace("-shared", ""))
        text = str(Config.fromfile(shared).to_dict())
        moved = str(plain.to_dict()).replace("emoji_world/scenes/", "emoji_world/scenes_shared/")
        assert text == moved and "emoji_world/scenes/" not in text and "scenes_shared" in text


def test_errors_name_the_file(tmp_path):
    with pytest.raises(ValueError, match="fit, test"):
        tiles_of(DATA, "train")
    with pytest.raises(FileNotFoundError, match=r"instances\.json: there is no such file"):
        tiles_of(tmp_path, "fit")
    (tmp_path / "instances.json").write_text('{"fit": ["1f600"]}')
    with pytest.raises(ValueError, match="no list of instances"):
        tiles_of(tmp_path, "fit")


def test_the_command_makes_both_worlds(tmp_path, capsys):
    arguments = ["--num", "2", "--splits", "id_val", "near_ood", "--out", tmp_path]
    call_tool("make_emoji_world", *arguments)
    assert "made: id_val, near_ood" in capsys.readouterr().out
    recipe = json.loads((tmp_path / "manifest/id_val.json").read_text())["recipe"]
    assert recipe["side"] == "fit" and recipe["styles"] == list(HELD_OUT_STYLES)
    before = (tmp_path / "id_val/000001.png").read_bytes()
    call_tool("make_emoji_world", *arguments)
    assert "intact: id_val, near_ood" in capsys.readouterr().out
    call_tool("make_emoji_world", *arguments, "--shared-instances")
    assert "made: id_val, near_ood" in capsys.readouterr().out
    recipe = json.loads((tmp_path / "manifest/id_val.json").read_text())["recipe"]
    assert "side" not in recipe and recipe["styles"] == list(SHARED_HELD_OUT_STYLES)
    assert (tmp_path / "id_val/000001.png").read_bytes() != before
