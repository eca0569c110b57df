"""The wrapper against transformers used by hand, for every architecture, and its refusals."""

import json
import shutil
import sys

import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from negas.embeddings.encoders import build_encoder
from negas.embeddings.templates import TEMPLATES, resolve_templates
from tests.helpers.tiny_encoders import SETTINGS

MODELS = {
    "clip": "CLIPModel",
    "align": "AlignModel",
    "altclip": "AltCLIPModel",
    "groupvit": "GroupViTModel",
    "siglip": "SiglipModel",
}
LABELS = ["cat", "potted plant", "washing machine"]


@pytest.fixture(scope="module")
def encoders(encoder_dir):
    made = {}

    def get(family):
        if family not in made:
            made[family] = build_encoder(encoder_dir(family), batch_size=4)
        return made[family]

    return get


def close(first, second, atol=1e-5):
    torch.testing.assert_close(first, second, rtol=0, atol=atol)


@pytest.mark.parametrize("family", SETTINGS)
def test_same_features_as_transformers(family, encoders, encoder_dir, pictures):
    encoder = encoders(family)
    model = getattr(transformers, MODELS[family]).from_pretrained(encoder_dir(family)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder_dir(family))
    wanted = []
    with torch.no_grad():
        for label in LABELS:  # one by one: no padding but SigLIP's
            inputs = tokenizer(
                [f"a photo of a {label}."],
                padding="max_length" if family == "siglip" else False,
                return_tensors="pt",
            )
            ids = {"input_ids": inputs["input_ids"]}
            wanted.append(model.get_text_features(**ids).pooler_output)
        pixels = torch.stack([torch.from_numpy(encoder.preprocess(p)) for p in pictures])
        images = model.get_image_features(pixel_values=pixels).pooler_output
        logits = model(input_ids=ids["input_ids"], pixel_values=pixels).logits_per_image[:, 0]
    text_feats, image_feats = encoder.text(LABELS, "clip"), encoder.images(pictures)
    close(text_feats, torch.nn.functional.normalize(torch.cat(wanted), dim=-1))
    close(image_feats, torch.nn.functional.normalize(images, dim=-1))
    for feats in (text_feats, image_feats):
        assert feats.dtype == torch.float32 and feats.device.type == "cpu"
        close(feats.norm(dim=-1), torch.ones(len(feats)))
    close(encoder.logit_scale * image_feats @ text_feats[-1] + encoder.logit_bias, logits, 1e-4)


@pytest.mark.parametrize("family", SETTINGS)
def test_batch_size_does_not_matter(family, encoders, encoder_dir, pictures):
    single = build_encoder(encoder_dir(family), batch_size=1, workers=1)
    close(single.text(LABELS), encoders(family).text(LABELS))
    close(single.images(iter(pictures)), encoders(family).images(pictures))


def test_ensembles(encoders):
    encoder = encoders("clip")
    one, two = encoder.text(LABELS, "a photo of a {}"), encoder.text(LABELS, "the nice {}")
    unit = torch.nn.functional.normalize
    close(encoder.text(LABELS, ["a photo of a {}", "the nice {}"]), unit(one + two, dim=-1))
    assert torch.equal(encoder.text(LABELS), encoder.text(LABELS, "{}"))
    assert torch.equal(encoder.text(LABELS, "neglabel"), two)
    raw = encoder.text(LABELS, ["a photo of a {}", "the nice {}"], normalize_each=False)
    assert not torch.allclose(raw, unit(one + two, dim=-1), atol=1e-4)
    close(encoder.text(LABELS, "the nice {}", normalize_each=False), two)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stays_inside(encoders, encoder_dir, pictures, dtype):
    half = build_encoder(encoder_dir("clip"), dtype=dtype)
    feats = half.images(pictures)
    assert feats.dtype == torch.float32 and half.model.dtype == getattr(torch, dtype)
    close(feats.norm(dim=-1), torch.ones(len(feats)))
    full = encoders("clip").images(pictures)
    assert 1e-6 < (feats - full).abs().max() < 0.1
    assert half.fingerprint != encoders("clip").fingerprint


def test_fingerprint_follows_the_weights(encoders, encoder_dir, tmp_path):
    same = build_encoder(encoder_dir("clip"))
    assert same.fingerprint == encoders("clip").fingerprint
    shutil.copytree(encoder_dir("clip"), tmp_path / "other")
    weights = load_file(tmp_path / "other/model.safetensors")
    weights["visual_projection.weight"][0, 0] += 1e-3
    save_file(weights, tmp_path / "other/model.safetensors", metadata={"format": "pt"})
    assert build_encoder(tmp_path / "other").fingerprint != same.fingerprint


def test_a_long_text_is_refused_or_cut(encoders):
    encoder = encoders("clip")
    long = " ".join(["cat"] * 40)
    with pytest.raises(ValueError, match="needs 42 tokens.*takes 16.*truncate=True"):
        encoder.text(["dog", long])
    cut = encoder.text([long], truncate=True)
    close(cut, encoder.text([" ".join(["cat"] * 14)]))  # begin and end stay


@pytest.mark.parametrize(
    ("texts", "template", "words"),
    [
        ([], None, "at least one text"),
        ("cat", None, "at least one text"),
        (["cat", " "], None, "text 1"),
        (["cat"], "a photo", "neither a sentence"),
        (["cat"], "{} and {}", "exactly one"),
        (["cat"], [], "is empty"),
    ],
)
def test_bad_texts(encoders, texts, template, words):
    with pytest.raises(ValueError, match=words):
        encoders("clip").text(texts, template)


def test_templates_are_sentences_with_one_gap():
    for name, sentences in TEMPLATES.items():
        assert resolve_templates(name) == resolve_templates(list(sentences)) == sentences
        assert len(set(sentences)) == len(sentences)


def test_an_unreadable_image_is_named(encoders, pictures, tmp_path):
    pictures[0].save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "good.png").read_bytes()[:80])
    files = [tmp_path / "good.png"] * 9 + [tmp_path / "bad.png"] + [tmp_path / "good.png"] * 9
    with pytest.raises(ValueError, match=r"bad\.png: not a readable image"):
        encoders("clip").images(files)
    with pytest.raises(FileNotFoundError, match=r"none\.png: no such image"):
        encoders("clip").images([tmp_path / "none.png"])
    with pytest.raises(ValueError, match="no image to encode"):
        encoders("clip").images([])
    left_out = []
    batches = encoders("clip").image_batches(files, lambda place, _: left_out.append(place))
    assert sum(map(len, batches)) == 18
    assert left_out == [9]


def test_models_that_do_not_fit(encoder_dir, tmp_path):
    with pytest.raises(ValueError, match="no-such-model'.*hub name or directory"):
        build_encoder(tmp_path / "no-such-model")
    with pytest.raises(ValueError, match="dtype must be one of"):
        build_encoder(encoder_dir("clip"), dtype="int8")
    with pytest.raises(ValueError, match="batch_size"):
        build_encoder(encoder_dir("clip"), batch_size=0)
    bert = tmp_path / "bert"
    bert.mkdir()
    (bert / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="type 'bert'; supported are clip, align"):
        build_encoder(bert)


def test_missing_weights_are_not_filled_with_noise(encoder_dir, tmp_path):
    shutil.copytree(encoder_dir("clip"), tmp_path / "text-only")
    path = tmp_path / "text-only/model.safetensors"
    weights = {k: v for k, v in load_file(path).items() if not k.startswith("vision")}
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks \d+ of the model's weights.*vision"):
        build_encoder(tmp_path / "text-only")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="cannot be loaded"):
        build_encoder(tmp_path / "text-only")


def test_torchvision_is_not_needed(encoder_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # importing it raises
    encoder = build_encoder(encoder_dir("clip"))
    assert encoder.images([Image.new("RGB", (40, 30))]).shape == (1, 12)
