"""gaussian_noise: strength, seeding, gradients, errors."""

import pytest
import torch

from negas.embeddings import gaussian_noise


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_strength_is_sigma_per_element():
    feats = torch.nn.functional.normalize(torch.randn(400, 512, generator=seeded(1)), dim=-1)
    noise = gaussian_noise(feats, 0.05, seeded()) - feats
    assert noise.std().item() == pytest.approx(0.05, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=1e-3)
    assert noise.norm(dim=-1).mean().item() == pytest.approx(1.13, abs=0.02)


def test_relative_strength_follows_each_embedding():
    feats = torch.ones(2, 20000)
    feats[1] *= 10
    noise = gaussian_noise(feats, 0.1, seeded(), relative=True) - feats
    assert noise[0].std().item() == pytest.approx(0.1, rel=0.05)
    assert noise[1].std().item() == pytest.approx(1.0, rel=0.05)


def test_same_seed_same_noise_and_fresh_noise_per_call():
    feats = torch.zeros(3, 8)
    generator = seeded(4)
    first, second = gaussian_noise(feats, 0.05, generator), gaussian_noise(feats, 0.05, generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, gaussian_noise(feats, 0.05, seeded(4)))


def test_global_random_state_is_untouched():
    state = torch.get_rng_state()
    gaussian_noise(torch.zeros(3, 8), 0.05, seeded())
    assert torch.equal(state, torch.get_rng_state())


def test_zero_draws_nothing():
    feats = torch.randn(3, 8, generator=seeded())
    generator = seeded(2)
    state = generator.get_state()
    assert gaussian_noise(feats, 0.0, generator) is feats
    assert gaussian_noise(feats, 0.0) is feats
    assert torch.equal(state, generator.get_state())


def test_renormalised_rows_and_gradient():
    feats = torch.randn(3, 8, generator=seeded()).requires_grad_()
    noisy = gaussian_noise(feats, 0.05, seeded(), renormalize=True)
    torch.testing.assert_close(noisy.norm(dim=-1), torch.ones(3))
    plain = gaussian_noise(feats, 0.05, seeded(), relative=True)
    assert torch.equal(torch.autograd.grad(plain.sum(), feats)[0], torch.ones(3, 8))


@pytest.mark.parametrize("sigma", [-0.1, float("nan")])
def test_bad_sigma(sigma):
    with pytest.raises(ValueError, match="sigma must be >= 0"):
        gaussian_noise(torch.zeros(1, 2), sigma, seeded())


def test_missing_generator():
    with pytest.raises(ValueError, match="needs a generator"):
        gaussian_noise(torch.zeros(1, 2), 0.05)
