"""What all online scorers promise: reset, save and load, one pass with its record."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from negas.image_level.adaneg import AdaNeg
from negas.image_level.ants import ANTS
from negas.image_level.interneg import InterNeg
from negas.image_level.online import score_pair, score_stream
from negas.image_level.tanl import TANL

DATA = Path(__file__).parents[1] / "data" / "image_level"
ANTS_DATA = dict(np.load(DATA / "ants_online.npz"))
IMAGES = ANTS_DATA["image_features"][:80]
LABELS = ANTS_DATA["id_text_features"], ANTS_DATA["neg_text_features"]


def adaneg(**options):
    return AdaNeg(*LABELS, 60.0, **options)


def interneg(**options):
    proxies = LABELS[0] + 0.1
    texts = torch.from_numpy(ANTS_DATA["caption_text_features"])
    table = torch.nn.functional.normalize(torch.from_numpy(ANTS_DATA["image_features"]), dim=1)
    return InterNeg(
        *LABELS,
        proxies,
        lambda feats: texts[(feats @ table.T).argmax(dim=1)],
        60.0,
        **(dict(threshold=0.8, max_extra=7) | options),
    )


def ants(**options):
    def encode(texts):
        rows = [int("".join(filter(str.isdigit, text))) for text in texts]
        return ANTS_DATA["caption_text_features"][rows]

    settings = dict(min_candidates=12, group_length=10, similar_start=2, similar_interval=3)
    return ANTS(
        *LABELS,
        list("abcdef"),
        encode,
        lambda images: [f"caption {image}" for image in images],
        lambda names: [[f"look {ord(name) - 90}"] for name in names],
        60.0,
        **(settings | options),
    )


def tanl(**options):
    return TANL(*LABELS, ANTS_DATA["caption_text_features"][:9], 60.0, **(dict(num=30) | options))


BUILDERS = [adaneg, interneg, ants, tanl]
every_scorer = pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)


def update(scorer, rows):
    return scorer.update(IMAGES[rows], range(80)[rows]).scores


@every_scorer
def test_a_saved_state_continues_the_stream(build, tmp_path):
    straight = build()
    expected = [update(straight, slice(start, start + 20)) for start in (0, 20, 40, 60)]
    first = build()
    for start in (0, 20):
        update(first, slice(start, start + 20))
    first.save(tmp_path / "state.safetensors")
    second = build()
    second.load(tmp_path / "state.safetensors")
    found = [update(second, slice(start, start + 20)) for start in (40, 60)]
    torch.testing.assert_close(found, expected[2:], atol=1e-12, rtol=0)
    assert not torch.allclose(update(build(), slice(40, 60)), expected[2])  # the state matters
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


@every_scorer
def test_a_state_dict_is_a_copy(build):
    scorer = build()
    update(scorer, slice(0, 40))
    state = scorer.state_dict()
    expected = update(scorer, slice(40, 80))
    other = build()
    for _ in range(2):
        other.load_state_dict(state)
        torch.testing.assert_close(update(other, slice(40, 80)), expected, atol=1e-12, rtol=0)


@every_scorer
def test_reset_forgets_the_stream(build):
    scorer = build()
    expected = [update(scorer, slice(start, start + 40)) for start in (0, 40)]
    scorer.reset()
    found = [update(scorer, slice(start, start + 40)) for start in (0, 40)]
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


@every_scorer
def test_scores_are_larger_for_id_images(build):
    is_id = ANTS_DATA["is_id"][:80]
    result = score_stream(build(), IMAGES, 20, images=range(80))
    assert result.scores[is_id].mean() > result.scores[~is_id].mean() + 0.1


@every_scorer
def test_a_pass_records_what_it_depends_on(build):
    result = score_stream(build(), IMAGES, batch_size=20, seed=3, images=range(80))
    record = result.record
    assert json.loads(json.dumps(record)) == record
    assert (record["method"], record["batch_size"], record["seed"]) == (build.__name__, 20, 3)
    assert record["num_images"] == 80
    assert record["settings"]["scale"] == 60.0
    assert len(result.log) == 4
    assert sorted(result.order.tolist()) == list(range(80))
    other = score_stream(build(), IMAGES, batch_size=20, seed=4, images=range(80))
    assert other.record["order_sha1"] != record["order_sha1"]


@every_scorer
def test_rows_come_back_in_the_order_handed_in(build):
    """Shuffled inside, or shuffled before and shown as they are: the same."""
    shuffled = score_stream(build(), IMAGES, batch_size=20, seed=3, images=range(80))
    order = shuffled.order
    before = score_stream(build(), IMAGES[order], 20, seed=None, images=order.tolist())
    torch.testing.assert_close(before.scores, shuffled.scores[order], atol=1e-12, rtol=0)
    assert before.order.tolist() == list(range(80))


def test_a_pass_starts_from_nothing_and_leaves_the_global_randomness():
    scorer = adaneg()
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = score_stream(scorer, IMAGES)
    again = score_stream(scorer, IMAGES)
    assert torch.equal(first.scores, again.scores)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_pair_is_one_shuffled_stream():
    id_scores, ood_scores, result = score_pair(adaneg(), IMAGES[:30], IMAGES[30:], batch_size=20)
    whole = score_stream(adaneg(), IMAGES, batch_size=20)
    torch.testing.assert_close(torch.cat([id_scores, ood_scores]), whole.scores)
    assert (result.record["num_id"], result.record["num_ood"]) == (30, 50)


@pytest.mark.parametrize("build", [adaneg, interneg, tanl], ids=lambda build: build.__name__)
def test_a_state_of_another_scorer_is_refused(build, tmp_path):
    path = tmp_path / "state.safetensors"
    scorer = build()
    update(scorer, slice(0, 20))
    scorer.save(path)
    other = build(seed=5)
    with pytest.raises(ValueError, match="made by another scorer: seed differ"):
        other.load(path)
    fresh = ants() if build is not ants else adaneg()
    with pytest.raises(ValueError, match="made by another scorer: method"):
        fresh.load(path)


def test_a_state_of_other_labels_is_refused():
    state = adaneg().state_dict()
    other = AdaNeg(LABELS[0], LABELS[1][::-1].copy(), 60.0)
    with pytest.raises(ValueError, match="made by another scorer: labels differ"):
        other.load_state_dict(state)


def test_a_damaged_or_missing_state_is_one_sentence(tmp_path):
    path = tmp_path / "state.safetensors"
    scorer = adaneg()
    scorer.save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="cannot be read .* damaged or no saved state"):
        scorer.load(path)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="damaged or no saved state of an online scorer"):
        scorer.load(path)
    with pytest.raises(FileNotFoundError, match="does not exist; give a saved state"):
        scorer.load(tmp_path / "none.safetensors")


def test_loaded_images_that_wait_cannot_be_saved(tmp_path):
    scorer = ants(min_candidates=1000)
    scorer.update(IMAGES[:20], [object()] * 20)
    with pytest.raises(ValueError, match="hand in paths or indices"):
        scorer.save(tmp_path / "state.safetensors")
    assert list(tmp_path.iterdir()) == []


@every_scorer
@pytest.mark.parametrize(
    ("feats", "sentence"),
    [
        (IMAGES[:0], "image_feats is empty"),
        (IMAGES[:, :5], "image_feats has 5 channels where the labels have 32"),
        (np.where(np.arange(80)[:, None] == 3, np.nan, IMAGES), "the first is row 3"),
    ],
)
def test_bad_features_are_one_sentence(build, feats, sentence):
    with pytest.raises(ValueError, match=sentence):
        score_stream(build(), feats, images=range(len(feats)))


def test_bad_settings_are_one_sentence():
    with pytest.raises(ValueError, match="adaneg: batch_size must be at least 1"):
        score_stream(adaneg(), IMAGES, batch_size=0)
    with pytest.raises(ValueError, match="neg_feats is empty"):
        AdaNeg(LABELS[0], LABELS[1][:0])
    with pytest.raises(ValueError, match="neg_feats has 7 channels"):
        AdaNeg(LABELS[0], LABELS[1][:, :7])
    with pytest.raises(ValueError, match="adaneg: scale must be greater than 0, got -1"):
        AdaNeg(*LABELS, scale=-1)
