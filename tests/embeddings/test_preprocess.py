"""Our pixels against those of transformers' own Pillow image processors."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from negas.embeddings.preprocess import Preprocess
from tests.helpers.tiny_encoders import ALIGN, CLIP_LIKE, SIGLIP

PROCESSORS = {
    "clip": ("clip", "CLIPImageProcessor"),
    "siglip": ("siglip", "SiglipImageProcessor"),
    "efficientnet": ("efficientnet", "EfficientNetImageProcessor"),
}
CASES = {
    "clip": ("clip", CLIP_LIKE),
    "clip-empty-file": ("clip", {}),
    "clip-256-bilinear": (
        "clip",
        CLIP_LIKE | dict(size={"shortest_edge": 40, "longest_edge": None}, resample=2),
    ),
    "clip-old-file": ("clip", CLIP_LIKE | dict(size=32, crop_size=32)),
    "clip-crop-only": ("clip", CLIP_LIKE | dict(do_resize=False)),
    "siglip": ("siglip", SIGLIP),
    "align": ("efficientnet", ALIGN),
    "align-twice-normalised": (
        "efficientnet",
        ALIGN | dict(do_normalize=True, include_top=True, rescale_offset=False),
    ),
}


def reference(kind):
    """The class that works with Pillow: since transformers 5 it has a module of its own."""
    folder, name = PROCESSORS[kind]
    root = f"transformers.models.{folder}.image_processing_"
    if importlib.util.find_spec(f"{root}pil_{folder}"):
        return getattr(importlib.import_module(f"{root}pil_{folder}"), f"{name}Pil")
    return getattr(importlib.import_module(root + folder), name)


@pytest.mark.parametrize("case", CASES)
def test_same_pixels_as_transformers(case, pictures):
    kind, settings = CASES[case]
    theirs = reference(kind)(**{k: v for k, v in settings.items() if k != "image_processor_type"})
    ours = Preprocess.from_settings(settings, kind)
    for picture in pictures:
        wanted = np.asarray(theirs(picture, return_tensors="np")["pixel_values"])[0]
        pixels = ours(picture)
        assert pixels.dtype == np.float32 and pixels.flags.c_contiguous
        np.testing.assert_allclose(pixels, wanted, rtol=1e-6, atol=2e-6)


def test_modes_become_rgb_as_in_transformers(pictures):
    theirs = reference("clip")(size={"shortest_edge": 32}, crop_size=32)
    ours = Preprocess(resize=32, crop=(32, 32))
    glass = pictures[0].copy()
    glass.putalpha(Image.linear_gradient("L").resize(glass.size))
    few_colours = pictures[0].quantize(8)
    few_colours.info["transparency"] = 3
    for image in (pictures[0].convert("L"), glass, few_colours, pictures[0].convert("CMYK")):
        wanted = np.asarray(theirs(image, return_tensors="np")["pixel_values"])[0]
        np.testing.assert_allclose(ours(image), wanted, rtol=1e-6, atol=2e-6)


def test_a_resize_of_ones_own():
    """Other codes resize to 256 and crop 224: one `replace` away."""
    image = Image.linear_gradient("L").resize((500, 300))
    own, theirs = Preprocess(), replace(Preprocess(), resize=256)
    assert own(image).shape == theirs(image).shape == (3, 224, 224)
    assert np.ptp(theirs(image)[0]) < np.ptp(own(image)[0])  # sees less of the gradient
    assert own.key() != theirs.key()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": {"longest_edge": 30}}, "size="),
        ({"crop_size": "big"}, "crop_size="),
        ({"image_mean": [0.5]}, "image_mean="),
        ({"do_pad": True}, "do_pad"),
    ],
)
def test_settings_that_cannot_be_followed(settings, words):
    with pytest.raises(ValueError, match=words):
        Preprocess.from_settings(CLIP_LIKE | settings)
