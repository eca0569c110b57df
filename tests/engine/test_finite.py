"""A diverged training ends at once; the others of a distributed run end with it."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import negas.register  # noqa: F401
from negas.engine import FiniteHook

NAN, INF = float("nan"), float("inf")


def step(weight=1.0, allow_nan=False, **losses):
    """One training step of a model with a trained and a frozen weight."""
    model = nn.ParameterDict(dict(prompt=nn.Parameter(torch.tensor([1.0, weight]))))
    model["frozen"] = nn.Parameter(torch.tensor(NAN), requires_grad=False)
    wrapper = SimpleNamespace(get_lr=lambda: dict(lr=[0.1, 5.0]))
    runner = SimpleNamespace(model=model, iter=11, epoch=1, optim_wrapper=wrapper)
    outputs = {key: torch.tensor(value) for key, value in losses.items()}
    FiniteHook(allow_nan).after_train_iter(runner, 0, outputs=outputs)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (dict(loss=NAN, loss_cls=1.0, loss_bbox=NAN), "infinite loss, loss_bbox;"),
        (dict(loss=INF), "infinite loss;"),
        (dict(loss=-INF), "infinite loss;"),
        (dict(loss=1.0, weight=NAN), "infinite prompt;"),
        (dict(loss=1.0, weight=1e28), "infinite prompt;"),
        (dict(loss=NAN, weight=INF, allow_nan=True), "infinite prompt;"),
    ],
)
def test_the_error_names_the_place_and_the_terms(case, words):
    with pytest.raises(RuntimeError, match=rf"iteration 12 \(epoch 2\).*{words}") as caught:
        step(**case)
    assert "(it is 5; " in str(caught.value) and "--resume" in str(caught.value)
    assert ("--allow-nan" in str(caught.value)) == ("prompt" not in words)


@pytest.mark.parametrize("case", [dict(loss=1.0), dict(loss=NAN, allow_nan=True), dict()])
def test_it_goes_on(case):
    step(**case)


def test_another_process_has_it(monkeypatch):
    monkeypatch.setattr("negas.engine.finite.get_world_size", lambda: 2)
    monkeypatch.setattr("negas.engine.finite.all_reduce", lambda flag, op: flag.fill_(1.0))
    monkeypatch.setattr(
        "negas.engine.finite.all_gather_object", lambda names: [names, ["loss_ood"]]
    )
    with pytest.raises(RuntimeError, match="infinite loss_ood;"):
        step(loss=1.0)
