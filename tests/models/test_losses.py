"""The weights of the background losses: what is refused before it trains anything."""

import math

import pytest
import torch
from mmengine.registry import MODELS

import negas.register  # noqa: F401

KINDS = ["MaskedBCELoss", "MaskedFocalLoss"]


def build(kind, **options):
    return MODELS.build(dict(type=f"negas.models.losses.{kind}", **options))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["alpha", "loss_weight"])
@pytest.mark.parametrize("value", [-3, -1e-9, math.nan, math.inf, "3", None, True])
def test_weights_that_would_train_nonsense(kind, key, value):
    with pytest.raises(ValueError, match=f"{key} must be a finite number, 0 or more, got"):
        build(kind, **{key: value})


@pytest.mark.parametrize("options", [dict(gamma=-1), dict(focal_alpha=1.2), dict(focal_alpha=-0.1)])
def test_focal_options_out_of_range(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        build("MaskedFocalLoss", **options)


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_scales_the_loss_and_zero_switches_it_off(kind):
    logits = torch.linspace(-2, 2, 12).reshape(1, 4, 3).requires_grad_()
    mask = torch.tensor([[True, False, True, True]])
    values = [build(kind, alpha=a)(logits, torch.zeros(1, 4, 3), mask, 2.0) for a in (0, 1, 3)]
    assert values[0] == 0 and values[1] > 0
    assert values[2].item() == pytest.approx(3 * values[1].item())
