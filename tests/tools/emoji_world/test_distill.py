"""Targets, losses and measures of the text distillation against hand-made cases."""

import pytest
import torch
from distill import (
    TEMPLATES,
    TextPairs,
    build_text_model,
    distill_loss,
    encode_template,
    quality,
    start_at_axes,
    template_shifts,
    warmup_cosine,
)
from teacher import target_directions
from torch.nn.functional import normalize

NAMES = ["cat", "dog", "potted plant", "zebra", "tv"]


@pytest.fixture(scope="module")
def directions():
    return target_directions(torch.randn(5, 24, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def pairs(tokenizer, directions):
    return TextPairs(tokenizer, NAMES, directions, template_shifts(directions, seed=0))


def test_templates_shift_the_target_by_their_share(pairs, directions):
    plain = pairs.of("a photo of {}")
    torch.testing.assert_close(plain, directions)
    shifted = pairs.of("an icon of {}")
    assert not torch.allclose(shifted, directions, atol=0.05)
    # at worst the shift is orthogonal or opposed: the name keeps most of the direction
    assert (shifted * directions).sum(-1).min() > 0.95
    assert {0.0, 0.25} == set(TEMPLATES.values())


def test_shifts_are_seeded_and_inside_the_span_of_the_names(directions):
    shifts = template_shifts(directions, seed=0)
    assert torch.equal(shifts, template_shifts(directions, seed=0))
    assert not torch.equal(shifts, template_shifts(directions, seed=1))
    basis = torch.linalg.qr(directions.T).Q
    torch.testing.assert_close(shifts @ basis @ basis.T, shifts, atol=1e-5, rtol=0)


def test_texts_are_what_the_tokenizer_makes_of_them(pairs, tokenizer):
    index = list(TEMPLATES).index("a photo of {}")
    one, name = torch.tensor([index]), torch.tensor([NAMES.index("potted plant")])
    for plural, text in ((0, "a photo of potted plant"), (1, "a photo of potted plants")):
        ids = pairs.pick(name, one, torch.tensor([plural]))
        assert ids[0].tolist() == tokenizer(text)["input_ids"]


def test_sampling_is_seeded_distinct_and_within_the_pool(pairs):
    pool = torch.tensor([0, 2, 4])
    first = pairs.sample(pool, 8, torch.Generator().manual_seed(1))
    second = pairs.sample(pool, 8, torch.Generator().manual_seed(1))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert first[1].shape == (3, 24)  # each name of the pool once
    torch.testing.assert_close(first[1].norm(dim=-1), torch.ones(3))


def test_loss_is_zero_only_at_the_target(directions):
    loss, cosine = distill_loss(3 * directions, directions, relation=20)
    assert loss.item() == pytest.approx(0, abs=1e-6) and cosine.item() == pytest.approx(1, abs=1e-6)
    rotated = directions @ torch.linalg.qr(torch.randn(24, 24, generator=seeded())).Q
    relation_free, _ = distill_loss(rotated, directions, relation=0)
    with_relation, _ = distill_loss(rotated, directions, relation=20)
    assert relation_free > 0.5
    torch.testing.assert_close(relation_free, with_relation, atol=1e-4, rtol=0)


def seeded():
    return torch.Generator().manual_seed(7)


def test_quality_of_perfect_and_of_swapped_features(directions):
    everything = torch.arange(5)
    perfect = quality(directions, directions, everything)
    assert perfect["cosine"] == perfect["top1"] == perfect["relation"] == 1
    assert perfect["median_rank"] == 1
    swapped = quality(directions[[1, 0, 3, 4, 2]], directions, everything)
    assert swapped["top1"] == 0 and swapped["median_rank"] > 1
    assert swapped["cosine"] == pytest.approx(
        (directions * directions[[1, 0, 3, 4, 2]]).sum(-1).mean().item(), abs=1e-4
    )


def test_tower_starts_in_the_span_of_the_targets(pairs, tokenizer, directions):
    model = build_text_model(len(tokenizer), 32, dim=24, width=16, layers=1, mlp=16, seed=0)
    state = torch.get_rng_state()
    again = build_text_model(len(tokenizer), 32, dim=24, width=16, layers=1, mlp=16, seed=0)
    assert torch.equal(state, torch.get_rng_state())
    for first, second in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(first, second)
    assert start_at_axes(model, directions) == pytest.approx(1, abs=1e-5)  # 5 names, 16 channels
    feats = encode_template(model, pairs, "a {}")
    torch.testing.assert_close(feats, normalize(feats, dim=-1))
    assert feats.shape == (5, 24)


def test_learning_rate_rises_then_falls_to_zero():
    factor = warmup_cosine(1000)
    values = [factor(step) for step in range(1001)]
    assert values[0] == pytest.approx(0.01) and max(values) > 0.97
    assert values[1000] == pytest.approx(0, abs=1e-9)
    assert all(later <= earlier for earlier, later in zip(values[101:], values[102:], strict=False))
