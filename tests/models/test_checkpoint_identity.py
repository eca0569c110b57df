"""A prompt belongs on the base weights and to the classes of its training, whoever loads it."""

import copy

import pytest
import torch
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import nn

import negas.register  # noqa: F401
from negas.compat.checkpoint import load_checkpoint
from negas.files import file_sha256
from negas.models.base import BaseDetector


class Tiny(BaseDetector, nn.Module):
    """A detector of two parameters; the second is trained on top of the first."""

    def __init__(self, **options):
        super().__init__(**options)
        self.bbox_head = nn.Linear(1, 1, bias=False)
        self.prompt = nn.Linear(1, 1, bias=False)


@pytest.fixture
def base(tmp_path):
    weights = {"bbox_head.weight": torch.full((1, 1), 7.0), "prompt.weight": torch.zeros(1, 1)}
    torch.save(dict(state_dict={f"module.{key}": v for key, v in weights.items()}), file(tmp_path))
    return str(file(tmp_path))


def file(folder):
    return folder / "base.pth"


def prompt_of(folder, base, **changes):
    saved = dict(base_checkpoint=base, base_sha256=file_sha256(base))
    saved |= dict(class_names=[*"abcdef"], neg_labels=["n"]) | changes
    state = {"prompt.weight": torch.full((1, 1), 3.0)}
    torch.save(dict(state_dict=state, meta=dict(negas=saved)), folder / "prompt.pth")
    return load_checkpoint(folder / "prompt.pth")


def by_torch(model, checkpoint):
    model.load_state_dict(checkpoint["state_dict"], strict=False)


def by_mmengine(model, checkpoint):
    _load_checkpoint_to_model(model, checkpoint)


def as_average(model, checkpoint):
    """As MMEngine's EMAHook resumes the copy that it averages; strict."""
    outer = nn.Module()
    outer.module = copy.deepcopy(model)
    state = {f"module.{key}": value for key, value in checkpoint["state_dict"].items()}
    outer.load_state_dict(state, strict=True)
    model.bbox_head, model.prompt = outer.module.bbox_head, outer.module.prompt


@pytest.mark.parametrize("load", [by_torch, by_mmengine, as_average])
def test_the_base_is_put_under_the_prompt(tmp_path, base, load, capfd):
    model = Tiny(base_checkpoint=base, class_names=[*"abcdef"])
    load(model, prompt_of(tmp_path, base))
    assert (model.bbox_head.weight.item(), model.prompt.weight.item()) == (7, 3)
    assert "missing" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("load", [by_torch, by_mmengine])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(base_sha256="0" * 64), "SHA-256 0000.*use the same file"),
        (dict(class_names=[*"abcdeg"]), "number 6 is 'g' there, 'f' here"),
        (dict(class_names=[*"abcdefg"]), "7 and 6; number 7 is 'g' there, none here"),
        (dict(base_sha256=5, class_names=None), "SHA-256 5"),
    ],
)
def test_what_it_was_not_trained_on_is_refused(tmp_path, base, load, changes, words):
    model = Tiny(base_checkpoint=base, class_names=[*"abcdef"])
    with pytest.raises(RuntimeError, match=words):
        load(model, prompt_of(tmp_path, base, **changes))


def test_classes_given_at_run_time_may_differ(tmp_path, base):
    model = Tiny(base_checkpoint=base, class_names=["other"])
    model.relabelled = True
    by_torch(model, prompt_of(tmp_path, base))
    assert model.prompt.weight.item() == 3
    with pytest.raises(RuntimeError, match="SHA-256"):
        by_torch(model, prompt_of(tmp_path, base, base_sha256="0" * 64))


def test_errors_name_the_file(tmp_path, base):
    torch.save({"prompt.other": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(RuntimeError, match=r"odd\.pth' does not fit Tiny \(1 unexpected"):
        by_torch(Tiny(base_checkpoint=base), load_checkpoint(tmp_path / "odd.pth"))
