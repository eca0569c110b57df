"""Scenes: repeatable, boxes tight and inside, nothing leaks between the groups."""

import numpy as np
import pytest

from negas.datasets.emoji_world.atlas import Atlas
from negas.datasets.emoji_world.backgrounds import KINDS, background
from negas.datasets.emoji_world.glyphs import (
    DRAWN,
    PLAIN,
    STRONG,
    VISIBLE_ALPHA,
    WIDE,
    draw_glyph,
    outline,
    shade,
)
from negas.datasets.emoji_world.scenes import (
    MAX_OVERLAP,
    SceneComposer,
    _Canvas,
    overlap_of_smaller,
    scene_generator,
)
from negas.datasets.emoji_world.splits import SPLITS, SplitWriter
from negas.datasets.emoji_world.vocabulary import HELD_OUT_STYLES, group_names, load_classes

CLASSES = load_classes()
ATLAS = Atlas("data/emoji_world", HELD_OUT_STYLES)
ID, OTHER = group_names(CLASSES, "id"), group_names(CLASSES, "other")


@pytest.fixture(scope="module", params=[0.0, 1.0], ids=["sparse", "dense"])
def scenes(request):
    composer = SceneComposer(ATLAS, CLASSES, photometry=STRONG, dense_prob=request.param)
    return [composer.compose(scene_generator(3, i), ID, None, OTHER, (0, 3)) for i in range(60)]


def test_boxes_are_inside_and_not_degenerate(scenes):
    for scene in scenes:
        boxes = np.concatenate([scene.boxes, scene.unlabelled_boxes])
        assert scene.image.shape == (160, 160, 3) and scene.image.dtype == np.uint8
        assert len(scene.boxes) == len(scene.names) >= 1
        assert boxes.min() >= 0 and boxes.max() <= 160
        assert (boxes[:, 2:] - boxes[:, :2]).min() >= 4
        # Placement caps the overlap of whole glyphs; the visible boxes may be a little smaller.
        pairs = overlap_of_smaller(boxes, boxes)
        assert (pairs - np.eye(len(boxes))).max() < MAX_OVERLAP + 0.15


def test_only_other_classes_are_unlabelled(scenes):
    assert any(scene.unlabelled_names for scene in scenes)
    for scene in scenes:
        assert set(scene.names) <= set(ID)
        assert set(scene.unlabelled_names) <= set(OTHER)
        assert len(scene.unlabelled_names) == len(scene.unlabelled_boxes) <= 3


def test_a_scene_is_a_function_of_its_generator():
    first, second = (SceneComposer(ATLAS, CLASSES, dense_prob=0.5) for _ in range(2))
    forward = [first.compose(scene_generator(0, 1, i), ID) for i in range(6)]
    backward = [second.compose(scene_generator(0, 1, i), ID) for i in reversed(range(6))][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert np.array_equal(a.image, b.image) and np.array_equal(a.boxes, b.boxes)
        assert a.names == b.names
    other_seed = first.compose(scene_generator(1, 1, 0), ID)
    assert not np.array_equal(forward[0].image, other_seed.image)


def two_coloured_square():
    """BGRA [64, 64, 4]: left half green, right half dark red, transparent around."""
    tile = np.zeros((64, 64, 4), np.uint8)
    tile[16:48, 16:48, 3] = 255
    tile[16:48, 16:32, 1], tile[16:48, 32:48, 2] = 200, 80
    return tile


def test_outlines_are_dark_and_lie_around_the_glyph_and_its_parts():
    tile = two_coloured_square()
    drawn = outline(tile, np.random.default_rng(0))
    grown = (drawn[..., 3] > 0) & (tile[..., 3] == 0)
    assert grown[15, 16:48].all() and not grown[:12].any()
    assert drawn[..., :3][grown].max() <= 60
    assert drawn[30, 31:33, :3].max() <= 60, "between the colours"
    np.testing.assert_array_equal(drawn[20:28, 20:28], tile[20:28, 20:28])


def test_light_falls_from_one_side():
    tile = two_coloured_square()
    lit = shade(tile, np.random.default_rng(0), 0.3)
    np.testing.assert_array_equal(lit[..., 3], tile[..., 3])
    rows = lit[16:48, 20, 1].astype(int)
    assert (np.diff(rows) >= 0).all() or (np.diff(rows) <= 0).all()
    assert abs(rows[-1] - rows[0]) > 3 and np.abs(rows - 200).max() < 200


@pytest.mark.parametrize("photometry", [PLAIN, STRONG, WIDE, DRAWN])
@pytest.mark.parametrize("size", [22.0, 50.0, 92.0])
def test_a_drawn_glyph_fills_its_patch(photometry, size):
    for i, name in enumerate(("person", "airplane", "bicycle", "couch")):
        glyph = next(entry.glyphs[0] for entry in CLASSES if entry.name == name)
        patch = draw_glyph(ATLAS, "fluent-emoji-flat", glyph, size, scene_generator(i), photometry)
        solid = patch[..., 3] >= VISIBLE_ALPHA
        assert solid[0].any() and solid[-1].any() and solid[:, 0].any() and solid[:, -1].any()
        assert 0.3 * size <= max(patch.shape[:2]) <= 1.8 * size
        assert (patch[..., :3] <= patch[..., 3:]).all()  # premultiplied


def test_boxes_follow_what_later_objects_hide():
    canvas = _Canvas(np.zeros((160, 160, 3), np.uint8))
    patch = np.full((100, 40, 4), 255, np.uint8)
    canvas.owner[:100, :40] = 0
    canvas.boxes = np.array([[0, 0, 40, 100], [0, 70, 40, 160]])
    canvas.tags = [("a", True), ("b", True)]
    canvas.owner[70:160, :40] = 1
    assert canvas.visible_boxes().tolist() == [[0, 0, 40, 70], [0, 70, 40, 160]]
    full = _Canvas(np.zeros((160, 160, 3), np.uint8))
    full.place(np.full((160, 160, 4), 255, np.uint8), scene_generator(0), ("wall", True))
    full.place(patch, scene_generator(1), ("late", True))  # no place left: 100% overlap
    assert full.tags == [("wall", True)]


def test_overlap_of_smaller_by_hand():
    first = np.array([[0.0, 0, 10, 10]])
    second = np.array([[5.0, 0, 25, 10], [10, 0, 20, 10], [2, 2, 4, 4]])
    assert overlap_of_smaller(first, second).tolist() == [[0.5, 0.0, 1.0]]


def test_backgrounds_differ_and_repeat():
    tiles = [ATLAS.tile("fluent-emoji-flat", CLASSES[-1].glyphs[0])]
    images = [background(scene_generator(i), 160, tiles) for i in range(24)]
    again = [background(scene_generator(i), 160, tiles) for i in range(24)]
    assert all(np.array_equal(a, b) for a, b in zip(images, again, strict=True))
    assert all(image.shape == (160, 160, 3) and image.dtype == np.uint8 for image in images)
    assert len({image.tobytes() for image in images}) == 24 and len(KINDS) == 4


@pytest.mark.parametrize("name", SPLITS)
def test_splits_do_not_leak(name):
    split = SPLITS[name]
    writer = SplitWriter(split, "data/emoji_world")
    group = {entry.name: entry.group for entry in CLASSES}
    wanted = {"near_strict": "near"}.get(split.labelled, split.labelled)
    assert {group[label] for label in writer.names} == {wanted}
    counts = []
    for i in range(1, 13):
        scene = writer.scene(i)
        assert scene.names and {group[label] for label in scene.names} == {wanted}
        assert {group[label] for label in scene.unlabelled_names} <= {"other"}
        counts.append(len(scene.unlabelled_names))
    assert max(counts) <= split.unlabelled[1]
    if name == "near_ood_strict":
        assert not any(entry.seen_strict for entry in CLASSES if entry.name in writer.names)


def test_splits_use_the_held_out_style_and_their_own_scenes():
    assert [s.name for s in SPLITS.values() if s.styles != HELD_OUT_STYLES] == ["id_val_seen"]
    assert len({split.key for split in SPLITS.values()}) == len(SPLITS)
    clean = {s.name for s in SPLITS.values() if s.labelled == "id" and s.unlabelled == (0, 0)}
    assert clean == {"id_val_clean", "id_test_clean"}
    assert min(split.key for split in SPLITS.values()) >= 1


@pytest.mark.parametrize("options", [{"size": 64}, {"dense_prob": 1.5}])
def test_bad_settings(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        SceneComposer(ATLAS, CLASSES, **options)
