"""Predictions do not depend on which pictures share a batch, also where their sizes differ."""

import pytest
import torch

import negas.register  # noqa: F401
from tests.helpers.detector import batch, build_detector
from tests.helpers.grounding_dino import build_grounding_dino

SIZES = [(96, 64), (64, 96), (96, 64)]


def pictures():
    """Inputs of the data loader: a list of pictures [3, h, w] in 0..255, and their samples."""
    inputs, samples = [], []
    for seed, (height, width) in enumerate(SIZES):
        pixels, (sample, *_) = batch(seed, images=1, size=96)
        inputs.append((pixels[0, :, :height, :width] * 255).to(torch.uint8).contiguous())
        sample.set_metainfo(dict(img_shape=(height, width), ori_shape=(height, width)))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


@pytest.mark.parametrize("step", ["test_step", "val_step"])
@pytest.mark.parametrize("build", [build_detector, build_grounding_dino])
@torch.no_grad()
def test_together_as_alone(build, step):
    model = build().eval()
    run = getattr(model, step)
    together = [sample.pred_instances for sample in run(pictures())]
    for place, found in enumerate(together):
        part = {key: values[place : place + 1] for key, values in pictures().items()}
        alone = run(part)[0].pred_instances
        assert len(alone) == len(found) > 0
        for key in ("scores", "bboxes", "id_scores"):
            torch.testing.assert_close(found[key], alone[key], rtol=1e-4, atol=1e-4)
