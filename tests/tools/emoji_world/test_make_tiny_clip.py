"""make_tiny_clip.py on a 30-name teacher: learns, loads with transformers, fails clearly."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from make_vision_tower import make_vision_tower

from negas.datasets.emoji_world.crops import GlyphCrops
from negas.labels.text_tower import seen_by_text_tower

TOOL = Path(__file__).resolve().parents[3] / "tools/emoji_world/make_tiny_clip.py"
SMALL = ["--vocab-size", "700", "--width", "32", "--mlp", "32", "--batch", "30", "--lr", "1e-2"]


def text_command(teacher, out, work, steps=20):
    paths = ["--teacher", str(teacher), "--out", str(out), "--work-dir", str(work)]
    return ["text", *paths, "--steps", str(steps), *SMALL]


@pytest.fixture(scope="module")
def made(tool, teacher, tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    assert tool.main(text_command(teacher, root / "clip", root / "work")) == 0
    return root / "clip"


def encode(directory, texts):
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = CLIPTextModelWithProjection.from_pretrained(directory).float().eval()
    with torch.no_grad():
        return model(**tokenizer(texts, padding=True, return_tensors="pt")).text_embeds


def test_loss_falls_and_the_log_says_how_well(made):
    log = json.loads((made / "text_log.json").read_text())
    assert log["log"][-1]["loss"] < 0.6 * log["log"][0]["loss"]
    assert log["names"] == 30 and log["tokens"] == 700
    assert seen_by_text_tower(["flute", "violins"], made) == (True, False)
    assert set(log["held_out"]) == {"note", "steps", "seen", "unseen"}
    assert -1 <= log["held_out"]["unseen"]["cosine"] <= 1


def test_directory_loads_twice_to_the_same_bits(made):
    texts = ["a photo of cat", "A photo of a Zebra", "unheard-of thing"]
    first = encode(made, texts)
    assert first.shape == (3, 24)
    assert torch.equal(first, encode(made, texts))
    assert torch.isfinite(first).all()


def test_config_describes_both_towers(made):
    from transformers import CLIPConfig

    config = CLIPConfig.from_pretrained(made)
    assert config.projection_dim == config.text_config.projection_dim == 24
    assert config.vision_config.image_size == 64 and config.vision_config.projection_dim == 24
    assert config.text_config.eos_token_id == config.text_config.vocab_size - 1


@pytest.mark.parametrize("kind", ["missing", "broken"])
def test_wrong_teacher_is_one_sentence_and_no_traceback(tool, tmp_path, capsys, kind):
    path = tmp_path / "teacher.npz"
    if kind == "broken":
        path.write_text("not an archive")
    assert tool.main(text_command(path, tmp_path / "clip", tmp_path / "work")) == 2
    error = capsys.readouterr().err
    (said,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert str(path) in said and "Traceback" not in error
    assert not (tmp_path / "clip").exists()


class Squares:
    """Crops whose class is their colour: learnable within a few steps."""

    names = ["cat", "dog", "horse"]
    num_id = 2

    def draw(self, batch, step, held_out=False):
        rng = np.random.default_rng([abs(step), int(step < 0), int(held_out)])
        labels = rng.integers(0, 3, batch)
        images = rng.integers(0, 60, (batch, 64, 64, 3)).astype(np.uint8)
        images[np.arange(batch), :, :, labels] += 150
        return images, labels


@pytest.mark.slow
def test_vision_tower_joins_the_directory(tool, teacher, tmp_path):
    from transformers import CLIPModel, CLIPVisionModelWithProjection

    out, work = tmp_path / "clip", tmp_path / "work"
    assert tool.main(text_command(teacher, out, tmp_path / "text", 6)) == 0
    before = encode(out, ["a photo of cat"])
    options = ["--steps", "30", "--batch", "24", "--out", str(out), "--work-dir", str(work)]
    args = tool.parse_args(["vision", *options])
    summary = make_vision_tower(args, Squares())
    assert summary["log"][-1]["loss"] < summary["log"][0]["loss"]
    assert summary["seen_styles"]["top1"] > 0.6  # chance .33
    assert torch.equal(before, encode(out, ["a photo of cat"]))
    model, loading = CLIPModel.from_pretrained(out, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    assert model.logit_scale.exp().item() == pytest.approx(summary["logit_scale"], rel=0.01)
    vision = CLIPVisionModelWithProjection.from_pretrained(out).float()
    assert vision(pixel_values=torch.zeros(1, 3, 64, 64)).image_embeds.shape == (1, 24)
    assert not list(work.glob("*.pth"))


def test_preprocessor_equals_training_pixels(tool, teacher, tmp_path):
    from clip_directory import write_vision_tower
    from make_vision_tower import build_vision_model, to_pixels
    from PIL import Image
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    assert tool.main(text_command(teacher, tmp_path, tmp_path / "work", 2)) == 0
    write_vision_tower(build_vision_model(tmp_path, 0), torch.tensor(2.0), tmp_path)
    image, _ = Squares().draw(1, 0)
    processor = CLIPImageProcessorPil.from_pretrained(tmp_path)
    pixels = processor(Image.fromarray(image[0]), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(pixels, to_pixels(image), atol=1e-5, rtol=0)


def test_glyph_crops_are_seeded_and_labelled(tool):
    crops = GlyphCrops(str(TOOL.parents[2] / "data" / "emoji_world"), seed=0)
    images, labels = crops.draw(12, 3)
    again, _ = crops.draw(12, 3)
    other, _ = crops.draw(12, -3, held_out=True)
    assert images.shape == other.shape == (12, 64, 64, 3) and images.dtype == np.uint8
    assert np.array_equal(images, again) and not np.array_equal(images, other)
    assert labels.max() < len(crops.names) and crops.names[: crops.num_id][0] == "person"


def test_vision_without_a_text_tower_is_one_sentence(tool, tmp_path, capsys):
    assert tool.main(["vision", "--out", str(tmp_path), "--work-dir", str(tmp_path / "w")]) == 2
    assert "make the text tower first" in capsys.readouterr().err
