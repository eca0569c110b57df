"""What all scores promise: kinds and shapes, errors, behaviour at large logits, monotonicity."""

import itertools

import numpy as np
import pytest
import torch

from negas.scores import SCORES, MaxLogit, ScoreRegistry, get_score

RNG = np.random.default_rng(9)
IDS = RNG.normal(0, 2, (4, 5))
NEGS = RNG.normal(0, 2, (4, 3))
EMBEDDINGS = RNG.normal(0, 2, (4, 6))
NEEDS = {name for name, score in SCORES.items() if score.needs_negatives}
OF_LOGITS = [name for name, score in SCORES.items() if not score.needs_embeddings]
RTOL = {name: 1e-4 if score.needs_fit else 1e-12 for name, score in SCORES.items()}  # float32
FIT = dict(embeddings=RNG.normal(0, 2, (60, 6)), id_logits=RNG.normal(0, 2, (60, 5)))
BOUNDED = ("msp", "max_sigmoid", "mcm", "neglabel", "eoe", "negs", "negs_product")


def ready(name):
    """The score of a name, fitted where it has to be."""
    score = get_score(name)
    return score.with_state(score.fit(FIT, np.arange(60) % 5)) if score.needs_fit else score


@pytest.mark.parametrize("name", SCORES)
def test_kinds_and_shapes(name):
    score = ready(name)
    array = score(IDS, NEGS, EMBEDDINGS)
    tensor = score(*map(torch.from_numpy, (IDS, NEGS, EMBEDDINGS)))
    assert isinstance(array, np.ndarray) and array.shape == (4,) and array.dtype == np.float64
    assert isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64
    np.testing.assert_array_equal(tensor.numpy(), array)
    np.testing.assert_allclose(score(IDS[0], NEGS[0], EMBEDDINGS[0]), array[0], rtol=RTOL[name])
    nested = score(*(each.reshape(2, 2, -1) for each in (IDS, NEGS, EMBEDDINGS)))
    np.testing.assert_allclose(nested, array.reshape(2, 2), rtol=RTOL[name])
    assert score(*(np.empty((0, size)) for size in (5, 3, 6))).shape == (0,)
    assert score(*(torch.zeros(2, size).bfloat16() for size in (5, 3, 6))).shape == (2,)


@pytest.mark.parametrize("name", SCORES)
def test_inputs_stay_untouched_and_order_of_labels_does_not_matter(name):
    ids, negs = IDS.copy(), NEGS.copy()
    ids.setflags(write=False)
    score = ready(name)
    scores = score(ids, negs, EMBEDDINGS)
    turned = score(ids[:, ::-1], negs[:, ::-1], EMBEDDINGS)
    np.testing.assert_allclose(turned, scores, rtol=RTOL[name])
    np.testing.assert_array_equal(ids, IDS)


@pytest.mark.parametrize("name", SCORES)
def test_needs_negatives(name):
    assert {"neglabel", "eoe", "negs", "negs_product"} <= NEEDS
    score = ready(name)
    if name in NEEDS:
        with pytest.raises(ValueError, match=f"'{name}' needs neg_logits.*label bank"):
            score(IDS, None, EMBEDDINGS)
    else:
        without = score(IDS, None, EMBEDDINGS)
        np.testing.assert_array_equal(without, score(IDS, NEGS, EMBEDDINGS))


@pytest.mark.parametrize("name", sorted(NEEDS & {*OF_LOGITS}))
def test_raising_the_best_negative_lowers_the_score(name):
    higher = NEGS.copy()
    higher[np.arange(4), NEGS.argmax(1)] += 1.5
    score = get_score(name)
    assert (score(IDS, higher) < score(IDS, NEGS)).all()


@pytest.mark.parametrize("name", OF_LOGITS)
def test_raising_the_best_id_logit_raises_the_score(name):
    higher = IDS.copy()
    higher[np.arange(4), IDS.argmax(1)] += 0.5
    score = get_score(name)
    assert (score(higher, NEGS) > score(IDS, NEGS)).all()


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("level", [-3000.0, -50.0, 40.0, 3000.0])
def test_large_logits_stay_finite(name, level):
    for negs in (NEGS - level, NEGS + level):
        assert np.isfinite(ready(name)(IDS + level, negs, EMBEDDINGS)).all()


@pytest.mark.parametrize("name", BOUNDED)
def test_log_odds_tells_40_from_41(name):
    ids = np.array([[40.0, -40.0], [41.0, -40.0]], dtype=np.float32)
    negs = np.array([[-40.0], [-40.0]], dtype=np.float32)
    low, high = get_score(name, log_odds=True)(ids, negs)
    assert high > low
    assert get_score(name)(ids, negs).max() <= 1.0


def test_unbounded_scores_tell_40_from_41():
    for name in ("max_logit", "energy", "joint_energy"):
        low, high = get_score(name)(np.array([[40.0, 0.0], [41.0, 0.0]]))
        assert high > low


def test_negs_is_exact_where_both_sigmoids_round_to_one():
    ids, negs = np.array([[41.0], [40.0], [40.0]]), np.array([[40.0], [41.0], [40.0]])
    expected = np.exp(-40) - np.exp(-41)
    np.testing.assert_allclose(get_score("negs")(ids, negs), [expected, -expected, 0.0], rtol=1e-12)


def test_softmax_scores_ignore_a_common_shift():
    for name in ("msp", "mcm", "neglabel", "eoe"):
        score = get_score(name)
        np.testing.assert_allclose(score(IDS + 30, NEGS + 30), score(IDS, NEGS), rtol=1e-9)


def test_max_sigmoid_ranks_as_max_logit():
    order = np.argsort(get_score("max_logit")(IDS))
    np.testing.assert_array_equal(np.argsort(get_score("max_sigmoid")(IDS)), order)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_logits_are_refused(value):
    bad = IDS.copy()
    bad[1, 2] = value
    with pytest.raises(ValueError, match="id_logits holds NaN or infinite"):
        get_score("msp")(bad)
    with pytest.raises(ValueError, match="neg_logits holds NaN or infinite"):
        get_score("negs")(IDS, np.full((4, 3), value))


@pytest.mark.parametrize(
    ("ids", "negs", "message"),
    [
        (np.empty((4, 0)), NEGS, "id_logits must hold one logit per label"),
        (IDS, np.empty((4, 0)), "neg_logits must hold one logit per label"),
        (IDS, NEGS[:3], "must agree in all axes but the last"),
        (np.float64(1), NEGS, "must be a torch tensor or a numpy array"),
        (IDS.tolist(), NEGS, "must be a torch tensor or a numpy array, got list"),
    ],
)
def test_wrong_inputs(ids, negs, message):
    with pytest.raises(ValueError, match=message):
        get_score("negs")(ids, negs)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("msp", {"temperature": 0}, "temperature must be a positive number"),
        ("msp", {"beta": 1}, "has no option 'beta'; it takes: temperature, log_odds"),
        ("eoe", {"beta": -1}, "beta must be at least 0"),
        ("negs", {"weight": -0.5}, "weight must be at least 0"),
        ("negs", {"neg_reduce": "median"}, "one of max, mean, lse, got 'median'"),
        ("neglabel", {"groups": 0}, "groups must be at least 1"),
        ("neglabel", {"groups": 2, "group_length": 3}, "exclude each other"),
        ("joint_energy", {"top_k": 0}, "top_k must be at least 1"),
    ],
)
def test_wrong_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_score(name, **options)


def test_neglabel_refuses_more_groups_than_negatives_and_bad_permutations():
    with pytest.raises(ValueError, match="3 negative labels cannot fill 4 groups"):
        get_score("neglabel", groups=4)(IDS, NEGS)
    for permutation in ([0, 1, 2], [0, 0]):
        with pytest.raises(ValueError, match=r"each of 0\.\.1 once"):
            get_score("neglabel", groups=2, permutation=permutation)(IDS, NEGS)


def test_unknown_name_lists_the_names():
    with pytest.raises(KeyError, match="'negz'; choose one of: energy, eoe, joint_energy"):
        get_score("negz")


def test_every_score_has_a_title_of_its_own():
    titles = {name: SCORES[name].title for name in SCORES}
    assert titles["negs"] == "NegS" and titles["max_sigmoid"] == "max sigmoid"
    assert all(titles.values()) and len(set(titles.values())) == len(titles)
    untitled = ScoreRegistry().register("x")(type("Fresh", (MaxLogit,), {}))
    assert untitled.title == "x"


def test_registering_twice_warns():
    registry = ScoreRegistry()

    def fresh():
        return type("Fresh", (MaxLogit,), {})

    registry.register("x")(fresh())
    with pytest.warns(UserWarning, match="score 'x' was .*Fresh and is now"):
        registry.register("x")(fresh())
    assert set(registry) == {"x"}


def test_gradients_pass():
    for name, log_odds in itertools.product(BOUNDED, (False, True)):
        ids = torch.from_numpy(IDS).requires_grad_()
        get_score(name, log_odds=log_odds)(ids, torch.from_numpy(NEGS)).sum().backward()
        assert torch.isfinite(ids.grad).all() and ids.grad.abs().sum() > 0
