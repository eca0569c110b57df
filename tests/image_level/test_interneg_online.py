"""InterNeg's online part against the authors' code; what their batches change."""

from pathlib import Path

import numpy as np
import pytest
import torch

from negas.image_level.interneg import InterNeg
from negas.image_level.online import score_stream

GOLDEN = Path(__file__).parents[1] / "data" / "image_level" / "interneg_online.npz"


@pytest.fixture(scope="module")
def data():
    return np.load(GOLDEN)


def stub_inversion(data):
    """The supplied text embedding of each image, found by the image's feature."""
    images = torch.nn.functional.normalize(torch.from_numpy(data["image_features"]), dim=1)
    texts = torch.from_numpy(data["inverted_text_features"])
    return lambda feats: texts[(feats @ images.T).argmax(dim=1)]


def build(data, **options):
    settings = dict(threshold=float(data["threshold"]), max_extra=int(data["max_extra"]))
    return InterNeg(
        data["id_text_features"],
        data["neg_text_features"],
        data["image_proxies"],
        options.pop("invert", stub_inversion(data)),
        float(data["logit_scale"]),
        **(settings | options),
    )


def run(scorer, feats, size):
    """Scores, initial scores and the memory after every batch."""
    batches, memory, accepted = [], [], []
    for start in range(0, len(feats), size):
        batches.append(scorer.update(feats[start : start + size]))
        sources = scorer.extra_source.tolist()
        memory.append(sources + [-1] * (10 - len(sources)))
        accepted.append(scorer.accepted)
    scores, initial = (torch.cat([getattr(b, k) for b in batches]) for k in ("scores", "initial"))
    return scores, initial, memory, accepted, torch.cat([b.predictions for b in batches])


@pytest.mark.parametrize(
    ("prefix", "size", "options"),
    [
        ("per_image", 1, {}),
        ("per_image", 1, {"update": "batch"}),
        ("per_image_g3", 1, {"groups": 3}),
        ("per_image_g3", 1, {"groups": 3, "update": "batch"}),
        ("batch8", 8, {"update": "batch"}),
    ],
)
def test_reference_stream(data, prefix, size, options):
    scorer = build(data, **options)
    scores, initial, memory, accepted, predictions = run(scorer, data["image_features"], size)

    def close(found, key, atol=2e-5):
        np.testing.assert_allclose(found, data[f"{prefix}_{key}"], atol=atol, rtol=0)

    close(initial, "expected_score_initial")
    close(scores, "expected_score")
    close(scores, "expected_score_float64")
    close(scorer.extra_deviation, "expected_memory_deviation_sum_last", atol=1e-5)
    np.testing.assert_array_equal(memory, data[f"{prefix}_expected_memory"])
    np.testing.assert_array_equal(accepted, data[f"{prefix}_accepted_total"])
    np.testing.assert_array_equal(initial < 0.35, data[f"{prefix}_expected_activated"])
    np.testing.assert_array_equal(predictions, data["expected_pred"])
    np.testing.assert_allclose(scorer.base_distance, data["base_distance"], atol=1e-5)


@pytest.mark.parametrize("groups", [1, 3])
def test_the_papers_update_does_not_depend_on_the_batch_size(data, groups):
    single, *others = (
        score_stream(build(data, groups=groups), data["image_features"], size)
        for size in (1, 7, 72)
    )
    assert sum(step["accepted"] for step in single.log) > 10
    for other in others:
        torch.testing.assert_close(other.scores, single.scores, atol=1e-5, rtol=0)
        torch.testing.assert_close(other.initial, single.initial, atol=1e-5, rtol=0)
        assert other.log[-1]["in_memory"] == single.log[-1]["in_memory"]


def test_the_codes_update_does_and_rescores_confident_images_too(data):
    scores, initial, *_ = run(build(data, update="batch"), data["image_features"], 8)
    confident = initial >= 0.35
    assert (scores - initial).abs()[confident].max() > 1e-3
    whole, *_ = run(build(data, update="batch"), data["image_features"], 72)
    assert (whole - scores).abs().max() > 1e-2
    scores, initial, *_ = run(build(data), data["image_features"], 8)
    torch.testing.assert_close(scores[initial > 0.35], initial[initial > 0.35])


def test_memory_keeps_the_largest_deviations_and_the_older_of_equals(data):
    scorer = build(data, max_extra=3)
    far = -scorer.proxies.mean(dim=0, keepdim=True)
    far = far / far.norm()
    for position in range(5):
        scorer._insert(far, torch.tensor([position]))
    assert scorer.extra_source.tolist() == [0, 1, 2]
    assert scorer.accepted == 5


def test_a_text_nearer_to_one_proxy_than_its_label_is_refused(data):
    scorer = build(data)
    scorer._insert(scorer.proxies, torch.arange(len(scorer.proxies)))
    assert scorer.accepted == 0
    assert len(scorer.extra_feats) == 0


def test_no_room_and_no_doubt_leave_neglabel(data):
    never = build(data, threshold=0.0, invert=None)
    none = build(data, max_extra=0)
    for scorer in (never, none):
        result = score_stream(scorer, data["image_features"], 16)
        torch.testing.assert_close(result.scores, result.initial)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"threshold": 2}, r"interneg: threshold must lie in \[0, 1\], got 2"),
        ({"update": "step"}, "interneg: update must be one of image, batch; got 'step'"),
        ({"groups": 25}, "24 negative labels cannot fill 25 groups"),
    ],
)
def test_bad_options_are_one_sentence(data, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(data, **options)


def test_bad_proxies_and_inversions_are_one_sentence(data):
    feats = data["id_text_features"], data["neg_text_features"]
    with pytest.raises(ValueError, match="proxies has 7 rows for 8 ID labels"):
        InterNeg(*feats, data["image_proxies"][:7], stub_inversion(data))
    with pytest.raises(ValueError, match="image_proxies has 9 channels"):
        InterNeg(*feats, data["image_proxies"][:, :9], stub_inversion(data))
    scorer = build(data, threshold=1.0, invert=lambda feats: feats[:1])
    with pytest.raises(ValueError, match="invert returned 1 rows for 72 images"):
        scorer.update(data["image_features"])
