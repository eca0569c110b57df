"""Labels of several tokens, over chunks of boxes: numbers and memory."""

import tracemalloc

import numpy as np
import pytest

from negas import token_labels
from negas.token_labels import MIN_PROB, against_tokens


def test_logits_end_where_the_docs_say():
    """docs/grounding_dino.md: clamped to +-13.8."""
    assert np.log((1 - MIN_PROB) / MIN_PROB) == pytest.approx(13.8, abs=0.05)


def make(boxes=50, labels=7, tokens=3, size=8):
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(boxes, size + 1)).astype(np.float32)
    embeddings[3] *= 40  # beyond the clamp
    embeddings[5, :-1] = 0  # a region without a direction
    bank = rng.normal(size=(labels, tokens, size)).astype(np.float32)
    bank[rng.random((labels, tokens)) < 0.4] = np.nan  # rows, not always the last ones
    bank[:, 1] = rng.normal(size=(labels, size))
    return embeddings, bank


def directly(embeddings, bank, reduce):
    """One box and one label at a time, in float64."""
    logits, cosines = np.empty((2, len(embeddings), len(bank)))
    for i, (*region, bias) in enumerate(embeddings.astype(np.float64)):
        for j, label in enumerate(bank.astype(np.float64)):
            real = label[~np.isnan(label[:, 0])]
            probs = 1 / (1 + np.exp(-(real @ region + bias)))
            prob = probs.max() if reduce == "max" else probs.mean()
            prob = min(max(prob, MIN_PROB), 1 - MIN_PROB)
            logits[i, j] = np.log(prob / (1 - prob))
            lengths = np.linalg.norm(region) * np.linalg.norm(real, axis=1)
            cosines[i, j] = (real @ region / np.maximum(lengths, 1e-12)).mean()
    return logits, cosines


@pytest.mark.parametrize("reduce", [None, "mean", "max"])
@pytest.mark.parametrize("chunk_bytes", [1, 700, 64 * 2**20])
def test_chunks_give_the_numbers_of_the_direct_computation(monkeypatch, chunk_bytes, reduce):
    monkeypatch.setattr(token_labels, "CHUNK_BYTES", chunk_bytes)
    embeddings, bank = make()
    assert 7 < (~np.isnan(bank[..., 0])).sum() < 21, "labels of one, two and three tokens"
    logits, cosines = against_tokens(embeddings, bank, reduce)
    want_logits, want_cosines = directly(embeddings, bank, reduce)
    np.testing.assert_allclose(logits, want_logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(cosines, want_cosines, rtol=1e-4, atol=1e-6)
    assert logits.dtype == cosines.dtype == np.float32


def test_memory_follows_the_result_not_the_boxes_times_tokens(monkeypatch):
    monkeypatch.setattr(token_labels, "CHUNK_BYTES", 2**16)
    embeddings, bank = make(boxes=4000, labels=20, tokens=30)
    everything = 4 * len(embeddings) * int((~np.isnan(bank[..., 0])).sum())
    tracemalloc.start()
    logits, cosines = against_tokens(embeddings, bank, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < logits.nbytes + cosines.nbytes + 12 * 2**16 < everything / 2


@pytest.mark.parametrize(("boxes", "labels"), [(0, 3), (4, 0)])
def test_nothing_to_score(boxes, labels):
    embeddings, bank = np.ones((boxes, 9), np.float32), np.ones((labels, 2, 8), np.float32)
    logits, cosines = against_tokens(embeddings, bank, None)
    assert logits.shape == cosines.shape == (boxes, labels)
