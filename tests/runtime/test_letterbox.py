"""Pictures as the exported file's runtime and as MMDetection's pipelines see them."""

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import numpy as np
import pytest
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from PIL import Image

from negas.export.pictures import letterbox_of
from tests.helpers.shipped_emoji import draw_scenes

SIZES = [(160, 160), (640, 480), (333, 500), (1280, 719), (97, 641), (1, 300), (301, 2)]
PIPELINES = {
    "voc": [
        dict(type="mmyolo.YOLOv5KeepRatioResize", scale=(320, 320)),
        dict(
            type="mmyolo.LetterResize",
            scale=(320, 320),
            allow_scale_up=False,
            pad_val=dict(img=114),
        ),
    ],
    "letter": [dict(type="mmyolo.LetterResize", scale=(320, 256), pad_val=dict(img=114))],
    "emoji": [dict(type="mmdet.Resize", scale=(320, 320), keep_ratio=True)],
    "grounding_dino": [
        dict(type="mmdet.FixScaleResize", scale=(256, 320), keep_ratio=True, backend="pillow")
    ],
}


class Preprocessor:
    """As much of a data preprocessor as is read."""

    _enable_normalize = False
    pad_size_divisor = 32


class Model:
    data_preprocessor = Preprocessor()


def letterbox(steps, size=None):
    cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=steps))))
    return letterbox_of(cfg, Model(), size)


def by_pipeline(steps, pixels):
    about = dict(img=pixels, img_shape=pixels.shape[:2], ori_shape=pixels.shape[:2], height=0)
    return Compose(ConfigDict(dict(steps=steps)).steps)(about)


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("size", SIZES)
def test_the_picture_lies_where_the_pipeline_puts_it(name, size):
    if min(size) < 3 and name in ("voc", "grounding_dino", "emoji"):
        size = tuple(max(side, 3) for side in size)  # the pipelines shrink a side to nothing
    box = letterbox(PIPELINES[name])
    pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)
    theirs = by_pipeline(PIPELINES[name], pixels)
    place = box.place(size)
    if name == "grounding_dino" and size[0] < size[1]:
        return  # the file's input lies, so an upright picture is smaller in it
    scale = tuple(after / before for before, after in zip(size, place.scaled, strict=True))
    assert theirs["scale_factor"] == pytest.approx(scale)
    if "pad_param" in theirs:
        assert (place.top, place.left) == tuple(theirs["pad_param"][[0, 2]])
        assert theirs["img"].shape[1::-1] == box.size
    else:
        assert theirs["img"].shape[1::-1] == place.scaled


def test_boxes_find_back():
    rng = np.random.default_rng(1)
    box = letterbox(PIPELINES["voc"])
    place = box.place((640, 480))
    corners = rng.uniform(0, 400, (5, 4)).astype(np.float32)
    offset = [place.left, place.top] * 2
    inside = corners * 0.5 + offset
    np.testing.assert_allclose(box.restore(inside, place), corners, atol=1e-3)
    outside = box.restore(np.array([[-50, -50, 900, 900]], np.float32), place)
    assert outside.tolist() == [[0, 0, 640, 480]]


# mean and largest difference of 8-bit values from OpenCV, whose bilinear counts in 11 bits
LIMITS = dict(voc=(0.12, 1), letter=(0.12, 1), emoji=(0.12, 1), grounding_dino=(0, 0))


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("times", [1, 2.5, 0.6])
def test_pixels_differ_little_from_the_pipelines(name, times, tmp_path):
    file = sorted((draw_scenes(tmp_path, 1) / "id_val").iterdir())[0]
    picture = Image.open(file).convert("RGB")
    side = round(320 * times)
    picture = picture.resize((side, round(side * 0.75)), Image.Resampling.BICUBIC)
    box = letterbox(PIPELINES[name])
    ours, place = box(picture)
    theirs = by_pipeline(PIPELINES[name], np.asarray(picture)[..., ::-1])["img"]
    if "Letter" not in str(PIPELINES[name]):
        ours = ours[:, : place.scaled[1], : place.scaled[0]]
    gaps = np.abs(ours.transpose(1, 2, 0)[..., ::-1].astype(float) - theirs)
    mean, most = LIMITS[name] if times != 1 else (0, 0)
    assert gaps.mean() <= mean and gaps.max() <= most


@pytest.mark.parametrize(
    ("steps", "word"),
    [
        ([dict(type="mmdet.Resize", scale=(320, 320))], "the steps Resize cannot be written"),
        ([dict(type="mmdet.Pad", size=(3, 3))], "the steps Pad cannot be written"),
        ([], "the steps \\(none\\) cannot be written"),
        ([PIPELINES["letter"][0] | dict(use_mini_pad=True)], "use_mini_pad=True cannot"),
        ([dict(type="mmdet.Resize", scale=0.5, keep_ratio=True)], "scale must be two sides"),
    ],
)
def test_other_pipelines_are_refused(steps, word):
    with pytest.raises(ValueError, match=word):
        letterbox(steps)


def test_the_input_is_a_multiple_of_the_stride():
    box = letterbox([dict(type="mmdet.FixScaleResize", scale=(800, 1333), keep_ratio=True)])
    assert (box.fit, box.size) == ((1333, 800), (1344, 800))
    assert letterbox(PIPELINES["emoji"], (300, 200)).size == (320, 224)
