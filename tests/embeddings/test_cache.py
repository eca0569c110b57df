"""TextFeatureCache: one encoder call per labels and prompt version, counted with a spy."""

import pytest
import torch
from torch import nn

from negas.embeddings import PromptLearner, TextFeatureCache, encode_labels, fingerprint


class Spy:
    """Counts calls; returns one row per label that requires grad."""

    def __init__(self):
        self.calls = []

    def __call__(self, labels):
        self.calls.append(labels)
        return torch.full((len(labels), 2), float(len(self.calls)), requires_grad=True)


def test_encoded_once_per_labels_and_version():
    cache, spy = TextFeatureCache(), Spy()
    first = cache.get(["cat", "dog"], spy, version=1)
    assert cache.get(("cat", "dog"), spy, version=1) is first
    assert spy.calls == [["cat", "dog"]]
    assert not first.requires_grad
    cache.get(["dog", "cat"], spy, version=1)
    assert len(spy.calls) == 2
    assert not torch.equal(cache.get(["cat", "dog"], spy, version=2), first)
    assert len(spy.calls) == 3
    assert len(cache) == 2  # the stale version went


def test_prompt_changes_are_seen_in_every_way_of_writing(text_model, tokenizer):
    prompt = PromptLearner(text_model, tokenizer)
    calls = []
    cache = TextFeatureCache()

    def encode(labels):
        calls.append(labels)
        return encode_labels(text_model, tokenizer, labels, prompt=prompt)

    def get():
        return cache.get(["cat", "zebra"], encode, version=fingerprint(prompt.ctx))

    start = get()
    assert get() is start and len(calls) == 1
    with torch.no_grad():
        prompt.ctx.add_(0.1)
    get()
    assert len(calls) == 2
    prompt.ctx.data.mul_(1.5)  # what averaging hooks do; no version counter moves
    get()
    assert len(calls) == 3
    prompt.load_state_dict({"ctx": prompt.ctx.detach() + 1})
    get()
    assert get().shape == start.shape and len(calls) == 4


def test_least_recently_used_goes_first():
    cache, spy = TextFeatureCache(max_entries=2), Spy()
    for name in ("a", "b", "a", "c", "a"):
        cache.get([name], spy)
    assert [labels[0] for labels in spy.calls] == ["a", "b", "c"]
    cache.get(["b"], spy)
    assert len(spy.calls) == 4
    cache.clear()
    assert len(cache) == 0


def test_device_of_the_result():
    cache, spy = TextFeatureCache(), Spy()
    cache.get(["a"], spy)
    assert cache.get(["a"], spy, device="meta").device.type == "meta"
    assert len(spy.calls) == 1


def test_fingerprint_sees_values_shape_and_type():
    zeros = torch.zeros(2, 3)
    same = fingerprint(nn.Parameter(zeros), "a {}")
    assert same == fingerprint(zeros.clone(), "a {}")
    others = [(zeros, "the {}"), (zeros.view(3, 2), "a {}"), (zeros.half(), "a {}")]
    assert same not in [fingerprint(*parts) for parts in others]
    assert fingerprint(torch.tensor([1.0], dtype=torch.bfloat16))


def test_bad_size():
    with pytest.raises(ValueError, match="max_entries must be >= 1"):
        TextFeatureCache(max_entries=0)
