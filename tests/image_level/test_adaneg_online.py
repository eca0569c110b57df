"""AdaNeg against the authors' code, and its memory."""

from pathlib import Path

import numpy as np
import pytest
import torch

from negas.image_level.adaneg import AdaNeg, SlotMemory
from negas.image_level.online import score_stream

GOLDEN = Path(__file__).parents[1] / "data" / "image_level" / "adaneg_online.npz"


@pytest.fixture(scope="module")
def data():
    return np.load(GOLDEN)


def build(data, **options):
    feats = data["id_text_features"], data["neg_text_features"], float(data["logit_scale"])
    # the code cuts its beta of 5.5 to 5 and leaves one of its slots empty
    settings = dict(
        static_weight=float(data["lambda_static"]),
        threshold=float(data["threshold"]),
        gap=float(data["gap"]),
        groups=int(data["group_count"]),
        images_per_label=int(data["memory_length"]) - 1,
        beta=int(data["beta"]),
    )
    return AdaNeg(*feats, **(settings | options))


@pytest.mark.parametrize("proxies", ["task", "sample"])
def test_reference_stream(data, proxies):
    scorer, size = build(data, proxies=proxies), int(data["batch_size"])
    batches, filled = [], []
    for start in range(0, len(data["image_features"]), size):
        batches.append(scorer.update(data["image_features"][start : start + size]))
        filled.append(scorer.memory.counts().numpy())
    np.testing.assert_array_equal(filled, data["expected_filled"])
    initial = torch.cat([batch.initial for batch in batches])
    np.testing.assert_allclose(initial, data["expected_static_score"], atol=2e-5, rtol=0)
    scores = torch.cat([batch.scores for batch in batches])
    for key in ("score", "score_float64"):
        np.testing.assert_allclose(scores, data[f"{proxies}_expected_{key}"], atol=2e-5, rtol=0)
    if proxies == "sample":
        predictions = torch.cat([batch.predictions for batch in batches])
        np.testing.assert_array_equal(predictions, data["expected_pred"])


def test_sample_proxies_are_the_weighted_sum_written_out(data):
    scorer = build(data, proxies="sample")
    images = torch.nn.functional.normalize(torch.from_numpy(data["image_features"]), dim=1)
    scorer.update(images)
    texts = torch.cat([scorer.id_feats, scorer.neg_feats])
    logits = scorer._adaptive_logits(images, scorer.scale * images @ texts.T)
    for row, label in enumerate(scorer.memory.labels.tolist()):
        used = int(scorer.memory.filled[row])
        slots = torch.cat([texts[label, None], scorer.memory.feats[row, :used]])
        weights = torch.exp(-5 * (1 - images @ slots.T))
        proxies = torch.nn.functional.normalize(weights @ slots, dim=1)
        expected = scorer.scale * (images * proxies).sum(dim=1)
        torch.testing.assert_close(logits[:, label], expected, atol=1e-3, rtol=1e-4)


def test_batch_size_changes_the_result_but_not_the_static_score(data):
    single, whole = (score_stream(build(data), data["image_features"], n) for n in (1, 80))
    torch.testing.assert_close(single.initial, whole.initial, atol=1e-6, rtol=0)
    assert (single.scores - whole.scores).abs().max() > 1e-3
    assert single.record["batch_size"] == 1
    assert whole.record["batch_size"] == 80


def test_without_room_for_images_it_is_neglabel(data):
    result = score_stream(build(data, images_per_label=0, static_weight=0), data["image_features"])
    torch.testing.assert_close(result.scores, result.initial)


def test_memory_replaces_the_most_doubtful_image_by_a_surer_one():
    memory = SlotMemory(labels=3, slots=2, channels=1, device=torch.device("cpu"))
    taken = [
        memory.offer(1, torch.tensor([value]), entropy)
        for value, entropy in [(1.0, 0.5), (2.0, 0.9), (3.0, 0.9), (4.0, 0.7), (5.0, 0.1)]
    ]
    assert taken == [True, True, False, True, True]
    assert memory.feats[:, :, 0].tolist() == [[1.0, 5.0]]
    assert memory.counts().tolist() == [0, 2, 0]


def test_memory_takes_rows_only_for_labels_in_use():
    memory = SlotMemory(labels=10_000, slots=9, channels=4, device=torch.device("cpu"))
    for label in range(50):
        memory.offer(label * 7, torch.full((4,), float(label)), 0.1)
    assert memory.feats.shape == (50, 9, 4)
    assert memory.labels.tolist() == [label * 7 for label in range(50)]
    assert memory.feats[:, 0, 0].tolist() == list(range(50))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"gap": 2}, r"adaneg: gap must lie in \[0, 1\], got 2"),
        ({"proxies": "mean"}, "adaneg: proxies must be one of task, sample; got 'mean'"),
        ({"images_per_label": -1}, "adaneg: images_per_label must be at least 0"),
        ({"groups": 99}, "23 negative labels cannot fill 99 groups"),
    ],
)
def test_bad_options_are_one_sentence_before_the_stream(data, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(data, **options)
