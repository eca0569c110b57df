"""SIREN's head: the slope of its normalizer, what training makes of embeddings, seeds, options."""

import numpy as np
import pytest
import torch

from negas.metrics import ood_metrics
from negas.scores import get_score
from negas.scores.fitted.siren_head import LogNormalizer, project, vmf_logits


def boxes(count, seed, signal=3.0):
    """Classes on axes of their own, beside twenty channels of noise that say nothing."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    feats = rng.normal(size=(count, 24)).astype(np.float32)
    feats[:, :4] *= 0.3
    feats[np.arange(count), labels] += signal
    embeddings = np.c_[feats, np.zeros(count, np.float32)]
    images = np.arange(count) // 3
    return dict(embeddings=embeddings, id_logits=np.eye(4)[labels % 4], images=images)


def fitted(name, data, **options):
    score = get_score(name, **options)
    return score.with_state(score.fit(data))


def scored(score, data):
    return score(data["id_logits"], None, data["embeddings"])


@pytest.mark.parametrize("size", [4, 64])
def test_slope_of_the_normalizer(size):
    kappas = torch.tensor([0.5, 10.0, 300.0], dtype=torch.float64, requires_grad=True)
    values = LogNormalizer.apply(kappas, size)
    (slopes,) = torch.autograd.grad(values.sum(), kappas)
    step = 1e-4
    with torch.no_grad():
        above, below = (LogNormalizer.apply(kappas + s, size) for s in (step, -step))
    torch.testing.assert_close(slopes, (above - below) / (2 * step), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["siren_vmf", "siren_knn"])
def test_boxes_of_no_class_score_lower(name):
    """They have the noise only, which is most of every embedding."""
    score = fitted(name, boxes(1000, 0))
    known, unknown = boxes(300, 1), boxes(300, 2, signal=0)
    assert ood_metrics(scored(score, known), scored(score, unknown)).auroc > 0.62


def test_training_raises_the_likelihood_of_the_right_class():
    fit, fresh = boxes(600, 0), boxes(200, 3)
    right = fresh["id_logits"].argmax(1)
    losses = []
    for epochs in (1, 30):
        state = get_score("siren_vmf", epochs=epochs).fit(fit)
        units = project(state, torch.as_tensor(fresh["embeddings"][:, :-1]))
        logits = vmf_logits(units, state["directions"], state["kappas"], state["constants"])
        losses.append(float(torch.nn.functional.cross_entropy(logits, torch.as_tensor(right))))
        accuracy = float((logits.argmax(1) == torch.as_tensor(right)).double().mean())
    assert losses[1] < losses[0] / 2 and accuracy > 0.9 and state["directions"].shape == (4, 64)
    assert (state["kappas"] != 10).all(), "concentrations are learned"


def test_the_seed_decides():
    fit, fresh = boxes(100, 0), boxes(20, 3)
    first, again, other = (
        scored(fitted("siren_vmf", fit, seed=s, epochs=2), fresh) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(dim=1), "dim must be a whole number of at least 2, got 1"),
        (dict(epochs=0), "epochs must be a whole number of at least 1"),
        (dict(lr=0), "lr must be over 0, got 0"),
        (dict(k=0), "k must be a whole number of at least 1"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"score 'siren_knn': {message}"):
        get_score("siren_knn", **options)
