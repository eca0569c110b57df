"""Offline scores of images: reference vectors, chunks, precision, sentences for bad input."""

from pathlib import Path

import numpy as np
import pytest
import torch

from negas.image_level.scorers import OFFLINE, get_image_score
from negas.scores import get_score
from tests.helpers.memory import LargestTensor

DATA = Path(__file__).parents[1] / "data" / "scores"
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(37, 16, generator=GENERATOR)
IDS = torch.randn(5, 16, generator=GENERATOR)
NEGATIVES = torch.randn(23, 16, generator=GENERATOR)
SCORE_OF = {method.name: method.name for method in OFFLINE} | {"csp": "neglabel"}


def test_eoe_reference_vectors():
    data = np.load(DATA / "eoe_score.npz")
    feats = [data[f"{name}_features"] for name in ("image", "id_text", "outlier_text")]
    for t, temperature in enumerate(data["temperatures"].tolist()):
        for b, beta in enumerate(data["betas"].tolist()):
            found = get_image_score("eoe", temperature=temperature, beta=beta)(*feats)
            np.testing.assert_allclose(found, data["expected_scores"][t, b], atol=2e-5, rtol=0)
        found = get_image_score("eoe", temperature=temperature, rule="max")(*feats)
        np.testing.assert_allclose(found, data["expected_scores_max_variant"][t], atol=2e-5, rtol=0)
        found = get_image_score("eoe", temperature=temperature, rule="energy")(*feats)
        np.testing.assert_allclose(
            found, data["expected_scores_energy_variant"][t], atol=1e-4, rtol=0
        )


@pytest.mark.parametrize("name", [*SCORE_OF, "negs", "negs_product", "max_sigmoid"])
def test_equals_the_score_of_scaled_cosines_in_any_chunks(name):
    images, ids, negatives = (
        torch.nn.functional.normalize(x.double(), dim=1) for x in (IMAGES, IDS, NEGATIVES)
    )
    options = {"groups": 4, "temperature": 3.0} if name in ("neglabel", "csp") else {}
    scorer = get_image_score(name, **options)
    plain = get_score(SCORE_OF.get(name, name), **options)
    expected = plain(scorer.scale * images @ ids.T, scorer.scale * images @ negatives.T)
    for chunk in (None, 1, 5, 100):
        found = get_image_score(name, chunk=chunk, **options)(IMAGES, IDS, NEGATIVES)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_arrays_lengths_and_precisions_of_features_do_not_matter():
    score = get_image_score("neglabel")
    expected = score(IMAGES, IDS, NEGATIVES)
    found = score(IMAGES.numpy() * 7, IDS.double().numpy(), (NEGATIVES * 0.1).numpy())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 3])
def test_scores_near_one_stay_apart(groups):
    """A float32 probability is 1.0 from log-odds of 17 on; these are at 40 and above."""
    angles = torch.linspace(0, 0.5, 9)
    images = torch.stack([angles.cos(), angles.sin(), torch.zeros(9)], dim=1)
    ids = torch.tensor([[1.0, 0, 0]])
    negatives = torch.tensor([[-1.0, 0, 0]]).repeat(3, 1)
    score = get_image_score("neglabel", groups=groups, log_odds=True)
    found = score(images, ids, negatives)
    assert (found > 40).all()
    assert (found.diff() < 0).all()


def test_a_generator_moves_on_once_per_call_and_not_per_chunk():
    calls = []
    for chunk in (4, 100):
        generator = torch.Generator().manual_seed(7)
        score = get_image_score("neglabel", chunk=chunk, groups=4, generator=generator)
        calls.append([score(IMAGES, IDS, NEGATIVES) for _ in range(2)])
    torch.testing.assert_close(calls[0], calls[1], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(calls[0][0], calls[0][1])


@pytest.mark.parametrize("method", ["neglabel", "eoe"])
def test_no_tensor_of_images_times_labels_is_made(method):
    images, negatives = torch.randn(20_000, 4), torch.randn(3_000, 4)
    with LargestTensor() as largest:
        found = get_image_score(method)(images, IDS[:, :4], negatives)
    assert len(found) == 20_000
    assert largest.numel <= 2**22  # 16 MB, where all logits are 240 MB


@pytest.mark.parametrize(
    ("feats", "options", "sentence"),
    [
        ((IMAGES[:0], IDS, NEGATIVES), {}, "image_feats is empty"),
        ((IMAGES, IDS, NEGATIVES[:0]), {}, "neg_feats is empty"),
        ((IMAGES, IDS), {}, "needs neg_logits"),
        (
            (IMAGES[:, :9], IDS, NEGATIVES),
            {},
            "image_feats has 9 channels where the labels have 16",
        ),
        ((IMAGES, IDS, NEGATIVES[:, :9]), {}, "neg_feats has 9 channels"),
        (
            (IMAGES.log(), IDS, NEGATIVES),
            {},
            r"image_feats holds NaN .* rows \(the first is row 0\)",
        ),
        ((IMAGES * 0, IDS, NEGATIVES), {}, "image_feats is all zero in row 0"),
        ((IMAGES[0], IDS, NEGATIVES), {}, r"image_feats must be a tensor or array \[N, D\]"),
        ((IMAGES, IDS, NEGATIVES), {"groups": 24}, "23 negative labels cannot fill 24 groups"),
    ],
)
def test_bad_features_are_one_sentence(feats, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        get_image_score("neglabel", **options)(*feats)


def test_bad_options_are_one_sentence():
    with pytest.raises(KeyError, match="there is no score 'clip'"):
        get_image_score("clip")
    with pytest.raises(ValueError, match="mcm: scale must be greater than 0, got 0"):
        get_image_score("mcm", scale=0)
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        get_image_score("mcm", chunk=0)
    with pytest.raises(ValueError, match="rule must be one of difference, max, energy"):
        get_image_score("eoe", rule="min")
