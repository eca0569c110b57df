"""A checkpoint without weights is no checkpoint of trained parameters."""

import pytest
import torch
from torch import nn

import negas.register  # noqa: F401
from negas.models.base import BaseDetector
from negas.models.checkpoint import is_partial, load_base_weights


class Tiny(BaseDetector, nn.Module):
    """A detector of two parameters; the second is trained on top of the first."""

    def __init__(self, base_checkpoint=None):
        super().__init__(base_checkpoint=base_checkpoint)
        self.bbox_head = nn.Linear(1, 1, bias=False)
        self.prompt = nn.Linear(1, 1, bias=False)

    def optional_keys(self):
        """Base weights know no prompt."""
        return ("prompt.",)


@pytest.fixture
def base(tmp_path):
    file = tmp_path / "base.pth"
    torch.save(dict(state_dict={"bbox_head.weight": torch.full((1, 1), 7.0)}), file)
    return str(file)


def test_no_weights_are_refused(base):
    with pytest.raises(RuntimeError, match=r"checkpoint of Tiny holds no weights .* is empty"):
        Tiny().load_state_dict({}, strict=False)
    with pytest.raises(RuntimeError, match="holds no weights"):
        Tiny(base).load_state_dict({}, strict=False)


def test_trained_parameters_go_on_top_of_the_base(base):
    model = Tiny(base)
    trained = {"prompt.weight": torch.full((1, 1), 3.0)}
    assert is_partial(trained)
    model.load_state_dict(trained, strict=False)
    assert (model.bbox_head.weight.item(), model.prompt.weight.item()) == (7, 3)


class Drawn(nn.Module):
    """MMEngine's ``init_weights`` draws parameters anew each time it is called."""

    def __init__(self):
        super().__init__()
        self.bbox_head = nn.Linear(1, 1, bias=False)

    def init_weights(self):
        nn.init.normal_(self.bbox_head.weight)


def test_initialising_again_loads_the_base_again(base):
    class Detector(BaseDetector, Drawn):
        pass

    model = Detector(base_checkpoint=base)
    for _ in range(2):
        model.init_weights()
        assert model.bbox_head.weight.item() == 7.0 and model.base_sha256


def test_base_weights_without_weights(tmp_path):
    file = tmp_path / "empty.pth"
    torch.save(dict(state_dict={}), file)
    with pytest.raises(ValueError, match=r"base_checkpoint.*empty\.pth' holds no weights"):
        load_base_weights(Tiny(), str(file))
