"""Attention maps: what the network computes, and where it lies on the image."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS
from torch import nn
from torch.nn.functional import avg_pool2d

from negas.apis import Inferencer
from negas.apis.attention import AttentionMap, Placement, attention_maps
from negas.models.attention_maps import ID, Branch, Layer
from negas.models.yolo_world.layers import MaxSigmoidAttnBlock
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS
from tests.helpers.yolo_world import ROOT


@pytest.fixture(scope="module")
def inferencer():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        yield Inferencer(CONFIG, WEIGHTS, "cpu", calibration=None, show_progress=False)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)


# --- what the network computes --------------------------------------------------------------------
def test_maps_are_what_the_network_multiplies_with(inferencer, image, monkeypatch):
    """In a prediction the neck runs on ID texts; its weights are seen where they are made."""
    used, real = [], MaxSigmoidAttnBlock.attention

    def spy(block, embed, guide):
        used.append(real(block, embed, guide))
        return used[-1]

    with monkeypatch.context() as patch:
        patch.setattr(MaxSigmoidAttnBlock, "attention", spy)
        inferencer(image)
    assert [weights.shape[1:] for weights in used] == [
        (2, 6, 10),
        (1, 12, 20),
        (2, 6, 10),
        (2, 3, 5),
    ]
    maps = {
        (one.level, one.path): one.cells
        for one in attention_maps(inferencer, image, "all")
        if one.branch == ID
    }
    order = [("P4", "top-down"), ("P3", "top-down"), ("P4", "bottom-up"), ("P5", "bottom-up")]
    assert set(maps) == set(order)
    for key, weights in zip(order, used, strict=True):
        np.testing.assert_allclose(maps[key], weights[0].mean(0).numpy(), atol=1e-6)
        assert maps[key].std() > 1e-4


def test_the_negative_branch_is_the_same_network_under_other_texts(inferencer, image, monkeypatch):
    model = inferencer.model
    texts, neg_texts = model.text_feats()
    maps = attention_maps(inferencer, image)
    assert [one.branch for one in maps] == ["ID texts"] * 3 + ["negative texts"] * 3
    assert [(one.level, one.path) for one in maps[3:]] == [
        ("P3", "top-down"),
        ("P4", "bottom-up"),
        ("P5", "bottom-up"),
    ]
    monkeypatch.setattr(model, "text_feats", lambda: (neg_texts, texts))
    monkeypatch.setattr(model, "class_names", model.neg_labels)
    monkeypatch.setattr(model, "neg_labels", inferencer.model.class_names)
    for one, other in zip(maps[3:], attention_maps(inferencer, image), strict=False):
        np.testing.assert_allclose(one.cells, other.cells, atol=1e-6)
        assert one.word == other.word and one.word in model.class_names


def test_one_head_and_the_mean_over_heads(inferencer, image):
    both = attention_maps(inferencer, image, "bottom-up")
    heads = [attention_maps(inferencer, image, "bottom-up", head) for head in (0, 1)]
    for mean, first, second in zip(both, *heads, strict=True):
        np.testing.assert_allclose(mean.cells, (first.cells + second.cells) / 2, atol=1e-6)
        assert np.abs(first.cells - second.cells).max() > 1e-3
    # P3 has one head only, so it is left out
    assert {one.level for one in attention_maps(inferencer, image, head=1)} == {"P4", "P5"}


def test_a_detector_without_negatives_has_one_branch(inferencer, image, monkeypatch):
    texts, _ = inferencer.model.text_feats()
    monkeypatch.setattr(inferencer.model, "text_feats", lambda: (texts, None))
    assert {one.branch for one in attention_maps(inferencer, image)} == {ID}


def test_nothing_stays_hooked(inferencer, image):
    attention_maps(inferencer, image)
    assert not any(module._forward_hooks for module in inferencer.model.modules())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(path="sideways"), "'sideways'; this detector has output, all, top-down, bottom-up"),
        (dict(head=-1), "head must be at least 0"),
        (dict(head=9), r"head 9 does not exist.*P3 1, P4 2, P5 2"),
    ],
)
def test_choices_that_do_not_exist_are_refused(inferencer, image, options, message):
    with pytest.raises(ValueError, match=message):
        attention_maps(inferencer, image, **options)


def test_a_neck_without_texts_is_refused_in_one_sentence(inferencer, monkeypatch):
    monkeypatch.setattr(inferencer.model, "neck", nn.Identity())
    with pytest.raises(ValueError, match="model.neck is a Identity without text-guided layers"):
        inferencer.model.attention(torch.zeros(1, 3, 96, 160))


# --- where it lies --------------------------------------------------------------------------------
class BrightnessDetector(nn.Module):
    """A family of its own: its words look at what is bright, and at what is dark."""

    def __init__(self):
        super().__init__()
        self.data_preprocessor = MODELS.build(
            dict(
                type="mmyolo.YOLOv5DetDataPreprocessor",
                mean=[0.0] * 3,
                std=[255.0] * 3,
                bgr_to_rgb=True,
            )
        )

    def attention(self, inputs: torch.Tensor) -> list[Branch]:
        layers = []
        for stride in (8, 16, 32):
            bright = avg_pool2d(inputs.mean(1, keepdim=True), stride)[0]
            layers.append(Layer("top-down", torch.stack([bright, 0.3 * (1 - bright)], 1), stride))
        return [Branch(ID, ("bright", "dark"), layers)]


def bright_detector(letterbox=True):
    """With the pipelines of our configs: letterbox as for VOC, plain resizing as for EmojiWorld."""
    if letterbox:
        steps = [
            dict(type="mmyolo.YOLOv5KeepRatioResize", scale=(320, 320)),
            dict(
                type="mmyolo.LetterResize",
                scale=(320, 320),
                allow_scale_up=False,
                pad_val=dict(img=114),
            ),
        ]
    else:
        steps = [dict(type="mmdet.Resize", scale=(320, 320), keep_ratio=True)]
    keys = ("ori_shape", "img_shape", "scale_factor", "pad_param")
    steps = [
        dict(type="mmdet.InferencerLoader"),
        *steps,
        dict(type="mmdet.PackDetInputs", meta_keys=keys if letterbox else keys[:3]),
    ]
    compose = Compose(steps)
    return SimpleNamespace(
        model=BrightnessDetector(),
        pipeline=compose,
        collate_fn=pseudo_collate,
    )


@pytest.mark.parametrize("letterbox", [True, False])
@pytest.mark.parametrize("size", [(120, 400), (500, 130), (90, 90), (641, 479)])
def test_a_planted_feature_is_found_where_it_is(size, letterbox):
    height, width = size
    pixels = np.zeros((height, width, 3), np.uint8)
    side = max(size) // 8
    top, left = int(0.7 * (height - side)), int(0.2 * (width - side))
    pixels[top : top + side, left : left + side] = 255
    fine, middle, coarse = attention_maps(bright_detector(letterbox), pixels)
    assert (fine.level, middle.level, coarse.level) == ("P3", "P4", "P5")
    for one, slack in ((fine, 0), (middle, 0), (coarse, side / 2)):
        values = one.on_image()
        assert values.shape == size
        y, x = np.unravel_index(values.argmax(), size)
        assert top - slack <= y <= top + side + slack
        assert left - slack <= x <= left + side + slack
        assert one.word == "bright"
        assert left - slack <= one.peak[0] <= left + side + slack
        assert top - slack <= one.peak[1] <= top + side + slack
    # and it has the feature's extent: half of the peak is reached at its edges
    area = (fine.on_image() > 0.5).sum()
    assert area == pytest.approx(side * side, rel=0.3)


def test_the_letterbox_is_never_the_strongest(monkeypatch):
    """A dark image in a grey letterbox: the strongest cell lies on the image all the same."""
    maps = attention_maps(bright_detector(), np.zeros((40, 300, 3), np.uint8))
    for one in maps:
        x, y = one.peak
        assert 0 <= x <= 300 and 0 <= y <= 40
    assert maps[0].word == "dark" and maps[0].cells.max() > 0.4  # the letterbox is brighter


def test_rows_and_columns_are_not_mixed_up():
    meta = dict(pad_param=(3, 4, 5, 6), scale_factor=(2.0, 0.5), ori_shape=(40, 30, 3))
    place = Placement.of(meta, torch.zeros(1, 3, 27, 71))
    assert place == Placement((40, 30), (27, 71), scale=(0.5, 2.0), offset=(3.0, 5.0))


def ramp(axis, image_size=(37, 211), cells=(20, 20)):
    """Cells that hold the position of their centre on the image, in its pixels."""
    scale = 160 / 211
    place = Placement(image_size, (160, 160), (scale, scale), (66.0, 0.0))
    values = place.pixel_of(axis, np.arange(cells[axis]), cells[axis])
    grid = np.tile(
        values[:, None] if axis == 0 else values, (1, cells[1]) if axis == 0 else (20, 1)
    )
    return AttentionMap(ID, "top-down", "P3", grid, place, (0.0, 0.0), "w")


@pytest.mark.parametrize("axis", [0, 1])
def test_values_lie_at_their_pixels(axis):
    one = ramp(axis)
    values = one.on_image()
    size = one.placement.image_size[axis]
    expected = np.arange(size) + 0.5
    inside = (expected >= one.cells.min()) & (expected <= one.cells.max())
    along = values[:, 0] if axis == 0 else values[0]
    assert inside.sum() > 30
    np.testing.assert_allclose(along[inside], expected[inside], atol=1e-9)
    half = one.on_image((one.placement.image_size[0] * 2, 422))
    assert half.shape == (74, 422)
    np.testing.assert_allclose(half.mean(), values.mean(), rtol=1e-2)


def test_cells_can_be_seen():
    one = ramp(1)
    values = one.on_image(smooth=False)
    assert set(np.unique(values)) <= set(one.cells[0])
    assert np.abs(values[0] - (np.arange(211) + 0.5)).max() <= 8 / 2 * 211 / 160 + 1e-9
