"""Where the slider of tau stops, and what is known there."""

import numpy as np
import pytest

from negas.metrics import ood_metrics
from negas.reports.html.slider import tau_slider


def made(num_id, num_ood, seed=0):
    rng = np.random.default_rng(seed)
    return dict(near=rng.normal(0, 1, num_ood), id=rng.normal(1, 1, num_id).round(2))


@pytest.mark.parametrize(("num_id", "num_ood"), [(1, 1), (50, 30), (3000, 900)])
def test_shares_are_exact_at_every_stop(num_id, num_ood):
    values = made(num_id, num_ood)
    found = ood_metrics(values["id"], values["near"])
    slider = tau_slider(values, found.threshold)
    assert [(one.title, one.rate, one.total) for one in slider.sets] == [
        ("ID test", "TPR", num_id),
        ("near", "FPR", num_ood),
    ]
    assert (np.diff(slider.taus) > 0).all() and slider.taus[slider.start] == found.threshold
    for one, name in zip(slider.sets, ("id", "near"), strict=True):
        assert one.known == [(values[name] >= tau).sum() for tau in slider.taus]
    first, second = (one.known[slider.start] / one.total for one in slider.sets)
    assert (first, second) == (found.tpr, found.fpr95)


def test_it_goes_from_all_known_to_none_known_in_small_steps():
    slider = tau_slider(made(50, 30), 0.123)  # a tau that is no box's score
    assert 0.123 in slider.taus
    assert [(one.known[0], one.known[-1]) for one in slider.sets] == [(50, 0), (30, 0)]
    large = tau_slider(made(20_000, 100_000), 0.5)
    assert len(large.taus) <= 2 * 401 + 2
    for one in large.sets:
        assert -np.diff(one.known).min() <= 0.0125 * one.total  # 0.25% and ties of rounded scores


def test_a_set_without_boxes():
    values = made(5, 3) | dict(far=np.empty(0))
    slider = tau_slider(values, 0.0)
    assert (slider.sets[2].title, slider.sets[2].total) == ("far", 0)
    assert set(slider.sets[2].known) == {0}
