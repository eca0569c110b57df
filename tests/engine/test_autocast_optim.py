"""Mixed precision on the CPU."""

import pytest
import torch
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

import negas.register  # noqa: F401


def wrapper(model, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return OPTIM_WRAPPERS.build(dict(type="AutocastOptimWrapper", optimizer=optimizer, **options))


def test_forward_is_half_precision_and_the_step_is_not():
    model = nn.Linear(4, 2)
    optim = wrapper(model)
    before = model.weight.detach().clone()
    with optim.optim_context(model):
        out = model(torch.ones(3, 4))
    assert out.dtype == torch.bfloat16
    optim.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32
    assert not torch.equal(model.weight, before)


def test_unknown_dtype():
    with pytest.raises(ValueError, match="dtype"):
        wrapper(nn.Linear(1, 1), dtype="int8")
