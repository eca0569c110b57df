"""Prototypes of a tiny COCO set whose objects are plain colours; crops by hand."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from negas.embeddings.images import crop_box, load_image
from negas.labels import prototypes as room
from negas.labels.prototypes import class_prototypes

COLOURS = {"apple": (255, 0, 0), "leaf": (0, 255, 0), "sky": (0, 0, 255)}


def mean_colour(images):
    """The embedding of these tests: the mean colour of a crop."""
    return np.stack([np.asarray(image.convert("RGB")).mean((0, 1)) + 1e-3 for image in images])


class Encoder:
    """Encodes by a function; counts the crops of each call, and may stop at one."""

    def __init__(self, embed=mean_colour, image_key="model", stop_at=None):
        self.embed, self.image_key, self.stop_at = embed, image_key, stop_at
        self.calls, self.sizes = [], []

    def image_batches(self, images, progress):
        images = list(images)
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        self.calls.append(len(images))
        self.sizes += [image.size for image in images]
        if images:
            yield torch.tensor(self.embed(images), dtype=torch.float32)


@pytest.fixture
def scenes(tmp_path):
    """Three images with coloured boxes; what is drawn is kept in `data`, to be changed."""
    data = dict(
        images=[dict(id=i, file_name=f"{i}.png", width=80, height=60) for i in (1, 2, 3)],
        categories=[dict(id=i, name=n) for i, n in enumerate(["other", *COLOURS], 3)],
        annotations=[],
    )
    drawn = {
        1: [("apple", (0, 0, 20, 20)), ("leaf", (40, 10, 30, 20))],
        2: [("leaf", (5, 5, 30, 40)), ("sky", (60, 0, 20, 20))],
        3: [("apple", (30, 30, 40, 20)), ("sky", (0, 0, 5, 5))],
    }
    (tmp_path / "images").mkdir()
    for image_id, things in drawn.items():
        canvas = Image.new("RGB", (80, 60))
        for name, (x, y, w, h) in things:
            canvas.paste(COLOURS[name], (x, y, x + w, y + h))
            category = 4 + list(COLOURS).index(name)
            data["annotations"].append(
                dict(id=len(data["annotations"]) + 1, image_id=image_id, category_id=category,
                     bbox=[x, y, w, h], iscrowd=0)
            )  # fmt: skip
        canvas.save(tmp_path / "images" / f"{image_id}.png")
    return tmp_path, data


def make(scenes, encoder=None, names=tuple(COLOURS), **options):
    root, data = scenes
    (root / "train.json").write_text(json.dumps(data))
    places = (root / "train.json", root / "images")
    return class_prototypes(*places, names, encoder or Encoder(), **options)


def test_each_class_gets_the_mean_of_its_crops(scenes):
    found = make(scenes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.eye(3), atol=1e-4)
    back = make(scenes, names=["sky", "apple"])
    np.testing.assert_allclose(back, np.eye(3)[[2, 0]], atol=1e-4)


def test_the_mean_is_of_normalised_embeddings(scenes):
    """A crop that answers loudly must not outweigh the others."""
    loud = [[100.0, 0], [0, 1], [0, 1], [1, 1], [100, 0], [3, 4]]

    def embed(images):
        assert len(images) == 5  # the small sky is left out
        return np.array(loud[: len(images)])

    found = make(scenes, Encoder(embed))
    # in order of file and box: apple, leaf, leaf, sky, apple
    np.testing.assert_allclose(found[0], np.array([2, 0]) / 2, atol=1e-6)
    np.testing.assert_allclose(found[1], [0, 1], atol=1e-6)
    np.testing.assert_allclose(found[2], [0.5**0.5] * 2, atol=1e-6)


def test_small_and_marked_boxes_are_left_out(scenes):
    encoder = Encoder()
    make(scenes, encoder, min_size=1)
    scenes[1]["annotations"][0]["iscrowd"] = 1
    scenes[1]["annotations"][1]["difficult"] = True
    make(scenes, encoder)
    assert encoder.calls == [6, 3]


def test_a_seeded_share_of_each_class(scenes):
    def crops(**options):
        make(scenes, encoder := Encoder(), **options)
        return encoder.sizes

    draws = {tuple(crops(max_per_class=1, seed=seed)) for seed in range(8)}
    assert all(len(draw) == 3 for draw in draws)
    assert len(draws) > 1
    assert crops(max_per_class=1, seed=5) == crops(max_per_class=1, seed=5)
    assert len(crops(max_per_class=9)) == 5


def test_the_cache_is_used_and_knows_what_it_depends_on(scenes, tmp_path):
    encoder, cache = Encoder(), dict(cache_dir=tmp_path / "cache")
    first = make(scenes, encoder, **cache)
    assert np.array_equal(first, make(scenes, encoder, **cache)) and encoder.calls == [5]
    make(scenes, other := Encoder(image_key="model B"), **cache)
    scenes[1]["annotations"][0]["bbox"] = [0, 0, 18, 20]
    make(scenes, encoder, **cache)
    image = scenes[0] / "images/1.png"
    load_image(image).rotate(180).save(image)
    make(scenes, encoder, **cache)
    assert encoder.calls == [5] * 3 and other.calls == [5]


def test_a_killed_run_goes_on(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_BATCH", 2)
    cache = dict(cache_dir=tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        make(scenes, killed := Encoder(stop_at=2), **cache)
    found = make(scenes, rest := Encoder(), **cache)
    assert (killed.calls, rest.calls) == ([2, 2], [1])
    np.testing.assert_array_equal(found, make(scenes))


def test_bad_input(scenes, tmp_path):
    with pytest.raises(ValueError, match=r"train\.json: the class 'sky' has no box of at least 35"):
        make(scenes, names=["sky"], min_size=35)
    with pytest.raises(ValueError, match="'cloud' is no category"):
        make(scenes, names=["apple", "cloud"])
    broken = np.where(np.arange(5)[:, None] == 2, np.nan, np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"embeddings of crops holds NaN.* row 2\)"):
        make(scenes, Encoder(lambda images: broken))
    with pytest.raises(FileNotFoundError, match=r"no\.json: there is no such file"):
        class_prototypes(tmp_path / "no.json", tmp_path, ["apple"], Encoder())
    scenes[1]["annotations"][1]["bbox"] = [500, 10, 30, 20]
    with pytest.raises(ValueError, match=r"1\.png: the box \[500.0.* no area in an image of 80x60"):
        make(scenes)
    (scenes[0] / "images/1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"1\.png: not a readable image"):
        make(scenes)
    (scenes[0] / "images/1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.png: no such image \(1 of those"):
        make(scenes)


@pytest.mark.parametrize(
    ("box", "margin", "size"),
    [
        ((10, 10, 30, 20), 0, (20, 20)),
        ((10, 10, 30, 20), 0.25, (30, 30)),
        ((0, 0, 10, 4), 0, (10, 10)),  # moved inside
        ((-5, 20, 75, 40), 0, (50, 40)),  # wider than the image is high
    ],
)
def test_crop_sizes(box, margin, size):
    image = Image.new("RGB", (50, 40))
    assert crop_box(image, box, margin).size == size


def test_a_square_crop_holds_the_box():
    image = Image.fromarray(np.arange(40 * 50, dtype=np.int32).reshape(40, 50) % 251)
    whole = np.asarray(image)
    crop = np.asarray(crop_box(image, (30, 30, 48, 38)))
    assert crop.shape == (18, 18)
    np.testing.assert_array_equal(crop, whole[22:40, 30:48])
