"""ANTS against the authors' code (language model and text encoder are tables), and its variants."""

from pathlib import Path

import numpy as np
import pytest
import torch

from negas.image_level.ants import ANTS, AntsOptions
from negas.image_level.online import score_stream

GOLDEN = Path(__file__).parents[1] / "data" / "image_level" / "ants_online.npz"
SMALL = dict(
    min_candidates=12,
    max_updates=4,
    group_length=10,
    similar_limit=2,
    similar_start=2,
    similar_interval=3,
)


class Model:
    """Image i is captioned "caption i", class k looks like "look k 0" and "look k 1"."""

    def __init__(self, data):
        captions, similar = data["caption_text_features"], data["similar_label_text_features"]
        self.feats = {f"caption {i}": row for i, row in enumerate(captions)}
        for k in range(len(similar)):
            self.feats |= {f"the nice look {k} {j}": similar[k, j] for j in range(2)}
            self.feats |= {f"The nice look {k} {j}.": similar[k, j] for j in range(2)}
        self.captioned, self.asked = [], []

    def encode(self, texts):
        return np.stack([self.feats[text] for text in texts])

    def caption(self, images):
        self.captioned.append(list(images))
        return [f"caption {image}." for image in images]

    def similar(self, names):
        self.asked += names
        return [[f"look {name[-1]} {j}" for j in range(2)] for name in names]


@pytest.fixture(scope="module")
def data():
    return np.load(GOLDEN)


def build(data, model=None, options=None, **changes):
    model = model or Model(data)
    names = [f"class {k}" for k in range(6)]
    arguments = dict(encode_text=model.encode, caption=model.caption, similar_labels=model.similar)
    return ANTS(
        data["id_text_features"],
        data["neg_text_features"],
        names,
        **(arguments | changes),
        scale=float(data["logit_scale"]),
        **(SMALL | (options or {})),
    )


def test_reference_stream(data):
    model = Model(data)
    scorer = build(data, model, {"authors_code": True})
    batches, captioned, similar = [], [], []
    for start in range(0, 120, 10):
        before = len(model.captioned)
        rows = slice(start, start + 10)
        batches.append(scorer.update(data["image_features"][rows], list(range(start, start + 10))))
        captioned.append(model.captioned[before] if len(model.captioned) > before else [])
        labels = [text.split()[1:] for text in scorer.similar_words]
        similar.append([2 * int(k) + int(j) for k, j in labels])

    def padded(rows, width):
        return [row + [-1] * (width - len(row)) for row in rows]

    np.testing.assert_array_equal(padded(captioned, 15), data["expected_caption_update"])
    np.testing.assert_array_equal(padded(similar, 4), data["expected_near_labels"])
    log = {key: [batch.log[key] for batch in batches] for key in batches[0].log}
    np.testing.assert_array_equal(log["captions"], data["expected_queue_size"])
    np.testing.assert_allclose(log["threshold"], data["expected_threshold"], atol=1e-5)
    np.testing.assert_allclose(log["weight"], data["expected_lambda"], atol=1e-5)
    for key, expected in (("initial", "base_score"), ("scores", "final"), ("predictions", "pred")):
        found = torch.cat([getattr(batch, key) for batch in batches])
        np.testing.assert_allclose(found, data[f"expected_{expected}"], atol=2e-5, rtol=0)


def test_the_authors_code_gives_way_to_what_is_given():
    found = AntsOptions.from_settings({"authors_code": True, "max_updates": 3}, "ants")
    assert (found.max_updates, found.similar_limit, found.weight_from) == (3, 40, "all")
    assert found.authors_code and AntsOptions().max_updates == 20


def test_newest_captions_stand_in_front_and_the_oldest_leave(data):
    scorer = build(data, options=dict(max_captions=20))
    score_stream(scorer, data["image_features"], 10, seed=None, images=range(120))
    numbers = [int(text.split()[1]) for text in scorer.captions]
    assert len(numbers) == len(scorer.far_feats) == 20
    assert numbers[0] == 51  # the first of the last update, in the order of arrival
    assert set(numbers[14:]) <= set(range(21, 48))  # of the update before; the first one is gone
    expected = torch.from_numpy(data["caption_text_features"][numbers])
    torch.testing.assert_close(scorer.far_feats, torch.nn.functional.normalize(expected, dim=1))


def test_the_papers_weight_is_that_of_all_negative_images_with_the_present_banks(data):
    scorer = build(data)
    result = score_stream(scorer, data["image_features"], 10, seed=None, images=range(120))
    # written out: which images were below the threshold of their time
    thresholds = [0.8] + [step["threshold"] for step in result.log[:-1]]
    negative = result.initial < torch.tensor(thresholds).repeat_interleave(10)
    feats = torch.nn.functional.normalize(torch.from_numpy(data["image_features"]), dim=1)[negative]
    logits = scorer.scale * feats @ scorer.id_feats.T
    means = [
        scorer._score(logits, scorer.scale * feats @ bank.T).mean()
        for bank in (scorer.far_feats, scorer.near_feats)
    ]
    expected = (1 - means[0]) / ((1 - means[0]) + (1 - means[1]))
    assert result.log[-1]["weight"] == pytest.approx(float(expected), abs=1e-6)
    assert result.log[0]["weight"] == 0.5


def test_similar_classes_are_those_of_negative_images_or_of_all(data):
    chosen = {}
    for source in ("negatives", "all"):
        options = dict(similar_from=source)
        scorer = build(data, options=options)
        result = score_stream(scorer, data["image_features"], 10, seed=None, images=range(120))
        seen = result.predictions[:20]  # the classes of the first choice, in batch 2
        if source == "negatives":
            seen = seen[result.initial[:20] < 0.8]
        counts = torch.bincount(seen, minlength=6)
        chosen[source] = counts
        early = build(data, options=options)
        early.update(data["image_features"][:10], range(10))
        early.update(data["image_features"][10:20], range(10, 20))
        assert sorted(counts[list(early.similar)].tolist()) == sorted(counts.tolist())[-2:]
    assert not torch.equal(chosen["negatives"], chosen["all"])


@pytest.mark.parametrize(
    ("mode", "missing", "weight"),
    [("far_only", "similar_labels", 1.0), ("near_only", "caption", 0.0)],
)
def test_one_kind_of_negatives_needs_one_kind_of_model(data, mode, missing, weight):
    scorer = build(data, options=dict(mode=mode), **{missing: None})
    images = None if mode == "near_only" else range(120)
    result = score_stream(scorer, data["image_features"], 10, images=images)
    assert {step["weight"] for step in result.log} == {weight}
    assert (result.scores - result.initial).abs().max() > 1e-3
    with pytest.raises(ValueError, match=f"ants: this mode needs {missing}"):
        build(data, **{missing: None})


def test_id_labels_never_become_negatives(data):
    model = Model(data)
    model.caption = lambda images: ["Class 3."] * len(images)
    model.similar = lambda names: [["class 1", "CLASS 2"] for _ in names]
    scorer = build(data, model)
    result = score_stream(scorer, data["image_features"], 10, images=range(120))
    assert scorer.captions == []
    assert scorer.similar_words == []
    torch.testing.assert_close(result.scores, result.initial)


def test_a_captioner_that_fails_loses_no_image(data):
    model = Model(data)
    working, model.caption = model.caption, lambda images: ["too few"]
    scorer = build(data, model)
    feats = data["image_features"]
    scorer.update(feats[:10], range(10))
    with pytest.raises(ValueError, match="caption returned 1 sentences for 14 images"):
        scorer.update(feats[10:20], range(10, 20))
    scorer._caption = working
    scorer.update(feats[20:30], range(20, 30))
    assert model.captioned[0][:14] == [0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 14, 15, 17, 19]


def test_bad_input_is_one_sentence(data):
    with pytest.raises(ValueError, match="ants: update needs images"):
        build(data).update(data["image_features"])
    with pytest.raises(ValueError, match="3 images came with 120 rows"):
        build(data).update(data["image_features"], range(3))
    with pytest.raises(ValueError, match=r"eta must lie in \(0, 1\), got 0"):
        AntsOptions(eta=0)
    with pytest.raises(ValueError, match="mode must be one of adaptive, far_only, near_only"):
        AntsOptions(mode="both")
    with pytest.raises(ValueError, match="similar_template must be one {} in a text"):
        AntsOptions(similar_template="nice")
    with pytest.raises(ValueError, match="1 class names came with 6 rows"):
        ANTS(data["id_text_features"], data["neg_text_features"], ["a"], Model(data).encode)
