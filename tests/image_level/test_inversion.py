"""Modality inversion through the shipped tiny CLIP: it must come nearer to real images."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from negas.datasets.emoji_world.crops import GlyphCrops
from negas.embeddings.encoders import build_encoder
from negas.image_level.interneg import ModalityInversion

DATA = Path(__file__).resolve().parents[2] / "data" / "emoji_world"


@pytest.fixture(scope="module")
def clip():
    return build_encoder(str(DATA / "tiny_clip"))


@pytest.fixture(scope="module")
def feats(clip):
    crops, _ = GlyphCrops(str(DATA), seed=0).draw(24, step=-1, held_out=True)
    return clip.images([Image.fromarray(crop) for crop in crops], progress=False)


def test_cosine_to_every_image_rises_and_more_steps_raise_it_more(clip, feats):
    short, long = (ModalityInversion.of_encoder(clip, steps=n)(feats) for n in (10, 30))
    assert (short.cosine > short.cosine_start + 0.2).all()
    assert short.cosine.mean() > 0.5  # measured: from -0.02 to 0.58
    assert long.cosine.mean() > short.cosine.mean() + 0.05
    torch.testing.assert_close(short.cosine, (short.feats * feats).sum(dim=1))
    torch.testing.assert_close(short.feats.norm(dim=1), torch.ones(len(feats)))


def test_the_seed_decides_and_the_neighbours_do_not(clip, feats):
    first = ModalityInversion.of_encoder(clip, seed=3)(feats)
    again = ModalityInversion.of_encoder(clip, seed=3)(feats)
    assert torch.equal(first.feats, again.feats)
    other = ModalityInversion.of_encoder(clip, seed=4)(feats)
    assert (first.feats - other.feats).abs().max() > 1e-3
    alone = ModalityInversion.of_encoder(clip, seed=3, batch_size=5)(feats.flip(0))
    torch.testing.assert_close(alone.feats.flip(0), first.feats, atol=1e-5, rtol=0)


def test_global_randomness_and_the_encoder_stay_as_they_are(clip, feats):
    parameters = list(clip.model.text_model.parameters())
    parameters[0].requires_grad_(True)
    before = [parameter.clone() for parameter in parameters]
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    ModalityInversion.of_encoder(clip, templates=["a {}", "an icon of a small {}."])(feats[:2])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    assert parameters[0].requires_grad and not parameters[1].requires_grad
    assert all(parameter.grad is None for parameter in parameters)
    parameters[0].requires_grad_(False)


def test_a_tower_in_training_mode_drops_nothing_out(clip, feats):
    tower, wanted = clip.model.text_model, ModalityInversion.of_encoder(clip)(feats[:2])
    heads = [part for part in tower.modules() if isinstance(getattr(part, "dropout", None), float)]
    kept = [part.dropout for part in heads]
    tower.train()
    for part in heads:
        part.dropout = 0.5
    found = ModalityInversion.of_encoder(clip)(feats[:2])
    assert heads and tower.training, "as it was before"
    tower.eval()
    for part, dropout in zip(heads, kept, strict=True):
        part.dropout = dropout
    torch.testing.assert_close(found.cosine_start, wanted.cosine_start)


@pytest.mark.parametrize("tokens", [1, 3])
def test_several_tokens_and_templates(clip, feats, tokens):
    templates = ["a photo of a {}.", "{}", "an icon of {}"]
    inversion = ModalityInversion.of_encoder(clip, templates=templates, pseudo_tokens=tokens)
    assert len(set(inversion._draws)) > 1
    result = inversion(feats[:6])
    assert (result.cosine > result.cosine_start + 0.2).all()


def test_the_embedding_is_that_of_the_words_when_the_tokens_are_words(clip):
    ids = clip.tokenizer("cat", add_special_tokens=False)["input_ids"]
    inversion = ModalityInversion.of_encoder(
        clip, templates=["a photo of {}"], pseudo_tokens=len(ids)
    )
    word = clip.model.text_model.get_input_embeddings().weight[ids]
    found = inversion._encode(word[None], 0)
    torch.testing.assert_close(
        found, clip.text(["a photo of cat"], progress=False), atol=1e-5, rtol=0
    )


def test_bad_input_is_one_sentence(clip, feats):
    build = ModalityInversion.of_encoder
    with pytest.raises(ValueError, match="modality inversion: steps must be at least 1, got 0"):
        build(clip, steps=0)
    with pytest.raises(ValueError, match="template 'a photo' must contain exactly one '{}'"):
        build(clip, templates=["a photo"])
    with pytest.raises(ValueError, match="templates must be a list, got 'a {}'"):
        build(clip, templates="a {}")
    with pytest.raises(ValueError, match="templates must be a non-empty list"):
        build(clip, templates=[])
    with pytest.raises(ValueError, match="takes 47 tokens, the text encoder 32"):
        build(clip, pseudo_tokens=40)
    with pytest.raises(ValueError, match="image_feats has 8 channels"):
        build(clip)(feats[:, :8])
    with pytest.raises(ValueError, match="image_feats is empty"):
        build(clip)(feats[:0])


def test_other_encoders_are_refused(encoder_dir):
    encoder = build_encoder(str(encoder_dir("siglip")))
    with pytest.raises(ValueError, match="works through a CLIP text encoder"):
        ModalityInversion.of_encoder(encoder)
