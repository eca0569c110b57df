"""Phrases, masks and losses of the BERT distillation against hand-made cases."""

import pytest
import torch
from distill import encode_template, template_shifts
from distill_bert import PHRASE_TEMPLATES, PhrasePairs, PhraseTower, build_bert
from teacher import target_directions
from tiny_tokenizer import load_tokenizer
from torch.nn.functional import normalize
from wordpiece_tokenizer import build_vocabulary, write_tokenizer

NAMES = ["cat", "dog", "potted plant", "st. bernard", "tv"]


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wordpiece")
    write_tokenizer(build_vocabulary(NAMES, list(PHRASE_TEMPLATES), 200), directory)
    return load_tokenizer(directory)


@pytest.fixture(scope="module")
def directions():
    return target_directions(torch.randn(5, 24, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def pairs(wordpiece, directions):
    shifts = template_shifts(directions, 0, PHRASE_TEMPLATES)
    return PhrasePairs(wordpiece, NAMES, directions, shifts)


@pytest.fixture(scope="module")
def tower(wordpiece, directions):
    return PhraseTower(build_bert(len(wordpiece), 16, 1, 16, seed=0), directions).eval()


def pick(pairs, name, template, plural=0):
    index = list(PHRASE_TEMPLATES).index(template)
    values = (NAMES.index(name), index, plural)
    return pairs.pick(*(torch.tensor([value]) for value in values))


@pytest.mark.parametrize(
    ("name", "template", "plural", "before", "inside"),
    [
        ("potted plant", "{}", 0, [], ["potted", "plant"]),
        ("potted plant", "a photo of {}", 0, ["a", "photo", "of"], ["potted", "plant"]),
        ("st. bernard", "an icon of {}", 0, ["an", "icon", "of"], ["st", "bernard"]),
        ("dog", "a {}", 1, ["a"], ["dog", "##s"]),
    ],
)
def test_phrase_is_prefix_name_and_period(wordpiece, pairs, name, template, plural, before, inside):
    ids, mask = pick(pairs, name, template, plural)
    assert wordpiece.convert_ids_to_tokens(ids[0]) == [*before, *inside, "."]
    assert wordpiece.convert_ids_to_tokens(ids[mask]) == inside


def test_bare_name_and_photo_have_the_same_target(pairs, directions):
    torch.testing.assert_close(pairs.of("{}"), directions)
    torch.testing.assert_close(pairs.of("a photo of {}"), directions)
    assert not torch.allclose(pairs.of("an icon of {}"), directions, atol=0.05)


def test_padding_changes_nothing(pairs, tower):
    together = encode_template(tower, pairs, "{}")
    alone = normalize(pairs.encode(tower, pick(pairs, "cat", "{}")), dim=-1)
    torch.testing.assert_close(together[:1], alone)


def test_shipped_channels_have_the_geometry_that_is_trained(pairs, tower):
    ids, mask = pick(pairs, "potted plant", "a photo of {}")
    with torch.no_grad():
        hidden = tower.bert(ids).last_hidden_state[mask]
        projected = tower(ids)[mask]
    # 5 centred names span 5 axes at most: of these the projection keeps every inner product
    kept = hidden[:, :5]
    torch.testing.assert_close(projected @ projected.T, kept @ kept.T, atol=1e-5, rtol=1e-5)


def test_loss_counts_means_and_single_tokens(pairs, directions):
    targets = directions[[2, 0]]

    class Fixed(torch.nn.Module):
        def forward(self, ids):
            feats = targets[:, None].repeat(1, ids.shape[1], 1)
            feats[0, 0], feats[0, 1] = targets[0] + turn, targets[0] - turn
            return feats

    turn = torch.zeros(24)
    templates = torch.full((2,), list(PHRASE_TEMPLATES).index("{}"))
    texts = pairs.pick(torch.tensor([2, 0]), templates, torch.zeros(2, dtype=torch.long))
    loss, cosine = pairs.loss(Fixed(), texts, targets, relation=20)
    assert loss.item() == pytest.approx(0, abs=1e-5) and cosine.item() == pytest.approx(1)
    # tokens that cancel in the mean are seen: orthogonal and of length 1, each is at cosine .707
    turn = normalize(torch.linalg.svd(targets).Vh[-1], dim=0)
    loss, cosine = pairs.loss(Fixed(), texts, targets, relation=20)
    assert cosine.item() == pytest.approx(1)
    assert loss.item() == pytest.approx((1 - 0.5**0.5) / 2, abs=1e-3)


def test_start_is_seeded_and_leaves_the_global_generator_alone(wordpiece):
    state = torch.get_rng_state()
    first, second = (build_bert(len(wordpiece), 16, 1, 16, seed=0) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_single_tokens_of_a_perfect_tower_have_cosine_one(pairs):
    class Perfect(torch.nn.Module):
        def forward(self, ids):
            return pairs.directions[:, None].repeat(1, ids.shape[1], 1)

    assert pairs.measure(Perfect(), "{}")["single_tokens"] == {"mean": 1.0, "min": 1.0}
