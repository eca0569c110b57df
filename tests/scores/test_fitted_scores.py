"""Scores that are fitted on ID boxes: outside references, what is left out, what is refused."""

import warnings

import numpy as np
import pytest
import torch
from scipy.special import gammaln, ive
from sklearn.covariance import OAS

from negas.records import BoxRecords
from negas.scores import SCORES, get_score
from negas.scores.fitted import FitBoxes, neighbors
from negas.scores.fitted.mahalanobis import Gaussians, whitening
from negas.scores.fitted.sampling import per_class, shares
from negas.scores.fitted.vmf import log_bessel
from tests.helpers.yolo_world import ROOT

FITTED = [name for name, score in SCORES.items() if score.needs_fit]
OF_NEIGHBORS = [name for name in FITTED if issubclass(SCORES[name], neighbors.NeighborScore)]
GOLDEN = ROOT / "tests/data/scores/fitted.npz"


def boxes(count=200, size=8, classes=3, per_image=4, seed=0, spread=0.6):
    """Arrays of fit boxes about one direction a class, with logits of a linear head."""
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(99).normal(size=(classes, size))
    labels = np.arange(count) % classes
    feats = spread * rng.normal(size=(count, size)) + weights[labels]
    return dict(
        embeddings=np.c_[feats, np.full(count, -0.5)].astype(np.float32),
        id_logits=(feats @ weights.T - 0.5).astype(np.float32),
        neg_logits=rng.normal(size=(count, 2)).astype(np.float32),
        images=np.arange(count) // per_image,
    )


def fitted(name, data, labels=None, **options):
    score = get_score(name, **options)
    return score.with_state(score.fit(data, labels))


def scored(score, data, images=None):
    return score(data["id_logits"], data["neg_logits"], data["embeddings"], images)


# --- outside references ---------------------------------------------------------------------------
@pytest.fixture(scope="module")
def golden():
    """Arrays and what pytorch-ood makes of them, see tools/dev/fitted_goldens.py."""
    with np.load(GOLDEN) as file:
        return dict(file)


def linear(golden, feats):
    embeddings = np.c_[feats, np.full(len(feats), golden["bias"][0])]
    return dict(
        embeddings=embeddings.astype(np.float32),
        id_logits=feats @ golden["weights"].T + golden["bias"],
        neg_logits=np.zeros((len(feats), 1)),
    )


@pytest.mark.parametrize(
    ("name", "options", "as_theirs"),
    [
        # theirs is Euclidean; float16 would round
        ("knn", dict(k=7, dtype="float32"), lambda s, n: np.sqrt(-2 * s)),
        # theirs takes half of the distance, and the scatter matrix (plus 1e-6) for the covariance
        ("mahalanobis", dict(shrinkage=0.0), lambda s, n: -s / (2 * n)),
        ("relative_mahalanobis", dict(shrinkage=0.0), lambda s, n: -s / n),
        ("vim", dict(dim=8, match="mean"), lambda s, n: -s),  # W from the logits alone
        ("nnguide", dict(k=7, dtype="float32", confidence="energy"), lambda s, n: -s),
    ],
)
def test_agrees_with_pytorch_ood(golden, name, options, as_theirs):
    fit, queries = (linear(golden, golden[key]) for key in ("feats", "queries"))
    ours = scored(fitted(name, fit, golden["labels"], **options), queries)
    np.testing.assert_allclose(as_theirs(ours, len(golden["feats"])), golden[name], rtol=1e-3)
    assert len(set(golden[name].round(4))) > 45


def test_vmf_is_the_density_of_the_sphere():
    data, query = boxes(seed=1), boxes(40, seed=2)
    labels = data["id_logits"].argmax(1)
    units = [e[:, :-1] / np.linalg.norm(e[:, :-1], axis=1, keepdims=True) for e in
             (data["embeddings"].astype(float), query["embeddings"].astype(float))]  # fmt: skip
    best = np.full(40, -np.inf)
    for c in range(3):
        own = units[0][labels == c]
        n, total, d = len(own), own.sum(0), own.shape[1]
        r2 = (total @ total - n) / (n * (n - 1))
        kappa = np.sqrt(r2) * (d - r2) / (1 - r2)
        order = d / 2 - 1
        constant = order * np.log(kappa) - d / 2 * np.log(2 * np.pi)
        constant -= np.log(ive(order, kappa)) + kappa
        mean = total / np.linalg.norm(total)
        best = np.maximum(best, constant + kappa * (units[1] @ mean))
    np.testing.assert_allclose(scored(fitted("vmf", data), query), best, rtol=1e-5)


@pytest.mark.parametrize("order", [0.0, 1.5, 31.0, 255.0])
@pytest.mark.parametrize("kappa", [0.01, 3.0, 700.0, 9000.0])
def test_log_bessel_is_exact(order, kappa):
    with np.errstate(divide="ignore"):
        want = np.log(ive(order, kappa)) + kappa
    if not np.isfinite(want):  # scipy underflows: two terms are nearly all there is
        want = order * np.log(kappa / 2) - gammaln(order + 1)
        want += np.log1p((kappa / 2) ** 2 / (order + 1))
    assert log_bessel(order, kappa) == pytest.approx(want, rel=1e-6, abs=1e-4)


def test_shrinkage_is_that_of_scikit_learn():
    data = boxes(40, size=20)
    found = FitBoxes.of(data)
    one_class = FitBoxes(found.embeddings, found.id_logits, 0 * found.labels, found.images, ("a",))
    white = whitening(Gaussians.of(one_class).within, 40, None)
    want = OAS().fit(data["embeddings"][:, :-1].astype(np.float64))
    np.testing.assert_allclose(white @ white.T, want.precision_, rtol=1e-5, atol=1e-6)
    assert 0.01 < want.shrinkage_ < 0.99


def test_a_singular_covariance_has_a_pseudo_inverse():
    data = boxes(10, size=20)
    white = whitening(Gaussians.of(FitBoxes.of(data)).total, 10, 0.0)
    cov = np.cov(data["embeddings"][:, :-1].astype(np.float64).T, bias=True)
    assert white.shape == (20, 9)
    np.testing.assert_allclose(white @ white.T, np.linalg.pinv(cov, 1e-9), rtol=1e-4, atol=1e-6)


# --- what is left out -----------------------------------------------------------------------------
@pytest.mark.parametrize("options", [dict(), dict(reduce="mean")])
def test_the_fit_set_is_judged_without_the_boxes_own_image(options):
    data = boxes(60)
    score = fitted("knn", data, k=5, dtype="float32", **options)
    units = data["embeddings"][:, :-1].astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    products = units @ units.T
    products[data["images"][:, None] == data["images"]] = -np.inf
    nearest = np.sort(products, axis=1)[:, -5:]
    want = (nearest.mean(1) if options else nearest[:, 0]) - 1
    np.testing.assert_allclose(scored(score, data, data["images"]), want, rtol=1e-5, atol=1e-6)
    assert (scored(score, data) > want).all(), "without its image's name a box meets itself"


def test_fewer_other_images_than_neighbors():
    data = boxes(6, per_image=3)
    values = scored(fitted("knn", data, k=5, dtype="float32"), data, data["images"])
    units = data["embeddings"][:, :-1] / np.linalg.norm(data["embeddings"][:, :-1], axis=1)[:, None]
    np.testing.assert_allclose(values[:3], (units[:3] @ units[3:].T).min(1) - 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["mahalanobis", "relative_mahalanobis", "vim", "vmf"])
def test_parameters_judge_the_fit_set_by_folds_of_images(name):
    """Each fifth image together; a box of another set is judged by all of them."""
    data = boxes(80)
    values = scored(fitted(name, data), data, data["images"])
    for fold in range(5):
        rows = data["images"] % 5 == fold
        rest = {key: value[~rows] for key, value in data.items()}
        own = {key: value[rows] for key, value in data.items()}
        np.testing.assert_allclose(values[rows], scored(fitted(name, rest), own), rtol=1e-9)
    others = scored(fitted(name, data), data, data["images"] + 1000)
    np.testing.assert_array_equal(others, scored(fitted(name, data), data))


@pytest.mark.parametrize("name", FITTED)
def test_self_judgement_is_that_of_fresh_boxes(name):
    """The share of fresh ID boxes over the fit set's own 5% quantile is about 95%."""
    data, fresh = boxes(300, size=24, seed=3), boxes(1000, size=24, seed=4)
    score = fitted(name, data)
    tau = np.quantile(scored(score, data, data["images"]), 0.05)
    assert np.mean(scored(score, fresh) >= tau) == pytest.approx(0.95, abs=0.04)


def test_records_name_the_images_by_themselves():
    data = boxes(60)
    records = [
        BoxRecords(
            image_ids=data["images"],
            bboxes=np.tile([0, 0, 9, 9], (60, 1)),
            labels=data["id_logits"].argmax(1),
            scores=1 / (1 + np.exp(-data["id_logits"].max(1))),
            id_logits=data["id_logits"],
            embeddings=data["embeddings"],
            meta=dict(ann_file=name),
        )
        for name in ("val.json", "test.json")
    ]
    score = get_score("knn", k=1)
    score = score.with_state(score.fit(records[0]))
    own, other = (each.score_with(score) for each in records)
    assert other.min() > -1e-3 and own.max() < -1e-3
    np.testing.assert_allclose(
        records[0].score_with(score, np.array([7, 3])), own[[7, 3]], atol=1e-6
    )


# --- options --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FITTED)
def test_negatives_are_taken_off_in_standard_deviations(name):
    data, query = boxes(), boxes(20, seed=5)
    plain, mixed = fitted(name, data), fitted(name, data, neg_weight=0.5)
    assert mixed.needs_negatives and not plain.needs_negatives
    best = data["neg_logits"].max(1).astype(np.float64)
    want = scored(plain, query)
    if not plain.with_logit:  # it is standardised already
        own = scored(plain, data, data["images"])
        want = (want - own.mean()) / own.std()
    want = want - 0.5 * (query["neg_logits"].max(1) - best.mean()) / best.std()
    np.testing.assert_allclose(scored(mixed, query), want, rtol=1e-5, atol=1e-5)
    again = mixed.with_negatives(mixed.fit(data), 2 * data["neg_logits"])
    assert float(again["negative_std"]) == pytest.approx(2 * best.std(), rel=1e-5)


@pytest.mark.parametrize("part", ["knn", "mahalanobis"])
def test_logit_and_distance_are_standardised(part):
    data, query = boxes(), boxes(20, seed=6)
    distance, logit = fitted(part, data), data["id_logits"].max(1).astype(np.float64)
    own = scored(distance, data, data["images"])
    want = (scored(distance, query) - own.mean()) / own.std()
    want += (query["id_logits"].max(1) - logit.mean()) / logit.std()
    np.testing.assert_allclose(
        scored(fitted(f"logit_{part}", data), query), want, rtol=1e-5, atol=1e-6
    )


def test_boxes_are_drawn_evenly_and_the_draw_repeats():
    labels = torch.tensor([0] * 5 + [1] * 100 + [2] * 50)
    assert shares(labels, 65) == {0: 5, 1: 30, 2: 30}
    assert shares(labels, 2) == {0: 0, 1: 1, 2: 1}
    rows = per_class(labels, 65, 1)
    assert torch.bincount(labels[rows]).tolist() == [5, 30, 30] and len(rows.unique()) == 65
    assert torch.equal(rows, per_class(labels, 65, 1))
    assert not torch.equal(rows, per_class(labels, 65, 2))


@pytest.mark.parametrize("name", OF_NEIGHBORS)
def test_centroids_take_the_place_of_boxes(name):
    data, far = boxes(300, spread=0.1), boxes(30, seed=7, spread=3)
    options = dict(k=1, store="centroids", max_boxes=9)
    score = fitted(name, data, **options)
    (bank,) = [v for key, v in score.fit(data).items() if key == "bank"]
    assert bank.shape == (9, 8) and bank.dtype == torch.float16
    assert scored(score, data).mean() > scored(score, far).mean()
    exact = scored(fitted(name, data, k=1), boxes(30, seed=8, spread=0.1))
    near = scored(score, boxes(30, seed=8, spread=0.1))
    assert np.corrcoef(exact, near)[0, 1] > 0.5


def test_half_precision_moves_a_cosine_little():
    data, query = boxes(size=64), boxes(50, size=64, seed=9)
    half, full = (scored(fitted("knn", data, dtype=d), query) for d in ("float16", "float32"))
    assert 0 < np.abs(half - full).max() < 5e-4


@pytest.mark.parametrize("k", [1, 5, 700])
def test_blocks_find_what_a_whole_product_has(monkeypatch, k):
    monkeypatch.setattr(neighbors, "QUERIES", 7)
    monkeypatch.setattr(neighbors, "BANK", 64)
    turn = torch.Generator().manual_seed(0)
    queries, bank = (torch.randn(n, 6, generator=turn) for n in (50, 600))
    found = neighbors.largest_products(queries, bank, k)
    want = (queries @ bank.T).topk(min(k, 600), dim=1).values
    torch.testing.assert_close(found, want)


# --- refused --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("knn", dict(k=0), "k must be a whole number of at least 1, got 0"),
        ("knn", dict(k=2.5), "k must be a whole number"),
        ("knn", dict(reduce="median"), "reduce must be one of kth, mean"),
        ("knn", dict(store="disk"), "store must be one of boxes, centroids"),
        ("knn", dict(dtype="int8"), "dtype must be one of float16, float32"),
        ("knn", dict(store="centroids"), "store='centroids' needs max_boxes"),
        ("knn", dict(max_boxes=0), "max_boxes must be a whole number of at least 1"),
        ("knn", dict(seed=-1), "seed must be a whole number of at least 0"),
        ("vmf", dict(neg_weight=-1.0), "neg_weight must be at least 0"),
        ("mahalanobis", dict(shrinkage=1.5), r"shrinkage must lie in \[0, 1\]"),
        ("vim", dict(dim=0), "dim must be a whole number of at least 1"),
        ("vim", dict(match="max"), "match must be one of spread, mean"),
        ("nnguide", dict(confidence="msp"), "confidence must be one of joint_energy, energy"),
    ],
)
def test_wrong_options(name, options, message):
    with pytest.raises(ValueError, match=f"score '{name}': {message}"):
        get_score(name, **options)


def test_what_cannot_be_fitted_or_scored_is_refused():
    data = boxes()
    with pytest.raises(ValueError, match=r"'knn' is fitted on ID boxes and has no state yet"):
        scored(get_score("knn"), data)
    small = boxes(size=5)
    with pytest.raises(ValueError, match="on embeddings of the size 9, got 6: they are another"):
        scored(fitted("knn", data), small)
    one = {key: value[:4] for key, value in data.items()}
    for found in (one, {key: value[:0] for key, value in data.items()}):
        with pytest.raises(ValueError, match="boxes of at least two ID images"):
            get_score("vmf").fit(found)
    with pytest.raises(ValueError, match="neg_weight=1.0 needs negative logits of the fit boxes"):
        get_score("vmf", neg_weight=1.0).fit(data | dict(neg_logits=None))
    with pytest.raises(ValueError, match="dim must be below the 8 channels"):
        get_score("vim", dim=8).fit(data)
    with pytest.raises(ValueError, match="needs the embeddings of ID boxes and got none"):
        get_score("knn").fit(dict(id_logits=data["id_logits"]))
    with pytest.raises(ValueError, match="labels has 3 rows for 200 embeddings"):
        get_score("knn").fit(data, np.zeros(3, int))


def test_small_classes_warn():
    data = boxes(60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        get_score("knn").fit(data, np.arange(60) % 3)
    labels = np.repeat([0, 2], [51, 9])
    said = r"2 of 3 classes have fewer than 10 boxes to fit .*: 1 \(0\), 2 \(9\)"
    with pytest.warns(UserWarning, match=said):
        get_score("knn").fit(data, labels)
