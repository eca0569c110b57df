"""Every score against its formula written out in plain float64, and against reference vectors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from negas.scores import SCORES, get_score

DATA = Path(__file__).parents[1] / "data" / "scores"
RNG = np.random.default_rng(3)
IDS = RNG.normal(0, 3, (5, 7, 6))
NEGS = RNG.normal(-1, 3, (5, 7, 11))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True)


def both(temperature=1.0):
    return softmax(np.concatenate([IDS, NEGS], -1) / temperature)


def neglabel(ids, negs):
    positive = np.exp(ids).sum(-1)
    return positive / (positive + np.exp(negs).sum(-1))


def neg_s(ids, negs, weight=1.0, reduce=lambda g: sigmoid(g).max(-1)):
    return sigmoid(ids).max(-1) - weight * reduce(negs)


CASES = [
    ("msp", {}, softmax(IDS).max(-1)),
    ("msp", {"temperature": 2.0}, softmax(IDS / 2).max(-1)),
    ("max_logit", {}, IDS.max(-1)),
    ("max_sigmoid", {}, sigmoid(IDS).max(-1)),
    ("energy", {}, np.log(np.exp(IDS).sum(-1))),
    ("energy", {"temperature": 3.0}, 3 * np.log(np.exp(IDS / 3).sum(-1))),
    ("joint_energy", {}, np.log1p(np.exp(IDS)).sum(-1)),
    ("joint_energy", {"top_k": 2}, np.sort(np.log1p(np.exp(IDS)), -1)[..., -2:].sum(-1)),
    ("joint_energy", {"top_k": 99}, np.log1p(np.exp(IDS)).sum(-1)),
    ("mcm", {"temperature": 0.5}, softmax(IDS / 0.5).max(-1)),
    ("neglabel", {}, neglabel(IDS, NEGS)),
    ("neglabel", {"temperature": 4.0}, neglabel(IDS / 4, NEGS / 4)),
    (
        "neglabel",
        {"groups": 2, "shuffle": False},
        (neglabel(IDS, NEGS[..., :5]) + neglabel(IDS, NEGS[..., 5:10])) / 2,
    ),
    ("eoe", {}, both()[..., :6].max(-1) - 0.25 * both()[..., 6:].max(-1)),
    (
        "eoe",
        {"beta": 0.7, "temperature": 2.0},
        both(2.0)[..., :6].max(-1) - 0.7 * both(2.0)[..., 6:].max(-1),
    ),
    ("negs", {}, neg_s(IDS, NEGS)),
    ("negs", {"weight": 0.5}, neg_s(IDS, NEGS, 0.5)),
    ("negs", {"weight": 0.0}, sigmoid(IDS).max(-1)),
    ("negs", {"neg_reduce": "mean"}, neg_s(IDS, NEGS, reduce=lambda g: sigmoid(g).mean(-1))),
    (
        "negs",
        {"neg_reduce": "lse", "weight": 1.5},
        neg_s(IDS, NEGS, 1.5, lambda g: sigmoid(np.log(np.exp(g).sum(-1)))),
    ),
    ("negs_product", {}, sigmoid(IDS).max(-1) * both()[..., :6].max(-1)),
]
LOG_ODDS = {
    "msp": lambda s: np.log(s / (1 - s)),
    "max_sigmoid": lambda s: np.log(s / (1 - s)),
    "mcm": lambda s: np.log(s / (1 - s)),
    "neglabel": lambda s: np.log(s / (1 - s)),
    "negs_product": lambda s: np.log(s / (1 - s)),
    "eoe": lambda s: np.log((s + 0.25) / (1 - s)),
    "negs": lambda s: np.log((s + 1) / (1 - s)),
}


@pytest.mark.parametrize(("name", "options", "expected"), CASES)
def test_formula(name, options, expected):
    np.testing.assert_allclose(get_score(name, **options)(IDS, NEGS), expected, rtol=1e-10)


def test_every_score_of_logits_has_a_formula_case():
    of_logits = {name for name, score in SCORES.items() if not score.needs_embeddings}
    assert {name for name, _, _ in CASES} == of_logits


@pytest.mark.parametrize("name", LOG_ODDS)
def test_log_odds_is_the_documented_transform(name):
    plain = get_score(name)(IDS, NEGS)
    odds = get_score(name, log_odds=True)(IDS, NEGS)
    np.testing.assert_allclose(odds, LOG_ODDS[name](plain), rtol=1e-8, atol=1e-10)


def test_grouped_neglabel_log_odds():
    plain = get_score("neglabel", groups=3)(IDS, NEGS)
    odds = get_score("neglabel", groups=3, log_odds=True)(IDS, NEGS)
    np.testing.assert_allclose(odds, np.log(plain / (1 - plain)), rtol=1e-8)


def unit(x):
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_mcm_reference_vectors():
    data = np.load(DATA / "mcm.npz")
    cosines = unit(data["image_features"]) @ unit(data["text_features"]).T
    for temperature, expected, official in zip(
        data["temperatures"], data["expected_scores_float64"], data["expected_scores"], strict=True
    ):
        scores = get_score("mcm", temperature=float(temperature))(cosines)
        np.testing.assert_allclose(scores, expected, atol=1e-9)
        np.testing.assert_allclose(scores, official, atol=2e-5)


def test_eoe_reference_vectors():
    data = np.load(DATA / "eoe_score.npz")
    images = unit(data["image_features"])
    ids = images @ unit(data["id_text_features"]).T
    negs = images @ unit(data["outlier_text_features"]).T
    for t, temperature in enumerate(data["temperatures"]):
        for b, beta in enumerate(data["betas"]):
            score = get_score("eoe", temperature=float(temperature), beta=float(beta))
            np.testing.assert_allclose(
                score(ids, negs), data["expected_scores_float64"][t, b], atol=1e-9
            )
            np.testing.assert_allclose(score(ids, negs), data["expected_scores"][t, b], atol=2e-5)


@pytest.fixture(scope="module")
def neglabel_data():
    data = np.load(DATA / "neglabel_score.npz")
    images = unit(data["image_features"]) * float(data["logit_scale"])
    ids = images @ unit(data["id_text_features"]).T
    negs = images @ unit(data["neg_text_features"]).T
    return data, ids, negs


def test_neglabel_reference_without_groups(neglabel_data):
    data, ids, negs = neglabel_data
    scores = get_score("neglabel")(ids, negs)
    np.testing.assert_allclose(scores, data["expected_score_nogroup_float64"], atol=1e-9)


@pytest.mark.parametrize("groups", [4, 7, 12])
def test_neglabel_reference_with_groups(neglabel_data, groups):
    data, ids, negs = neglabel_data
    in_order = get_score("neglabel", groups=groups, shuffle=False)(ids, negs)
    np.testing.assert_allclose(in_order, data[f"expected_score_g{groups}"], atol=2e-5)
    shuffled = get_score("neglabel", groups=groups)(ids, negs)
    np.testing.assert_allclose(shuffled, data[f"expected_score_g{groups}_perm"], atol=2e-5)
    explicit = get_score("neglabel", groups=groups, permutation=data[f"perm_g{groups}"].tolist())
    np.testing.assert_array_equal(explicit(ids, negs), shuffled)


@pytest.mark.parametrize("length", [40, 96, 200])
def test_neglabel_reference_with_group_length(neglabel_data, length):
    data, ids, negs = neglabel_data
    in_order = get_score("neglabel", group_length=length, shuffle=False)(ids, negs)
    np.testing.assert_allclose(in_order, data[f"expected_score_grouplen{length}"], atol=2e-5)
    shuffled = get_score("neglabel", group_length=length)(ids, negs)
    np.testing.assert_allclose(shuffled, data[f"expected_score_grouplen{length}_perm"], atol=2e-5)


def test_neglabel_generator_is_local_and_repeatable():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    score = get_score("neglabel", groups=3, generator=11)
    np.testing.assert_array_equal(score(IDS, NEGS), score(IDS, NEGS))
    assert torch.equal(torch.random.get_rng_state(), before)
    own = get_score("neglabel", groups=3, generator=torch.Generator().manual_seed(11))
    np.testing.assert_array_equal(own(IDS, NEGS), score(IDS, NEGS))
