"""Questions about images: to a real HTTP server, and to tiny random models (the plumbing)."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from negas.image_level.mllm import LocalVisionChat, image_message
from negas.labels.generate import ChatError, ChatModel, OpenAIChat
from tests.helpers.chat_server import chat_server, error
from tests.helpers.tiny_vlm import write_tiny_llava, write_tiny_qwen2_vl

KEY = "sk-test-0123456789abcdef"


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return write_tiny_llava(tmp_path_factory.mktemp("llava"))


def noise(seed, size=(40, 30)):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def decoded(message):
    url = message["content"][0]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def test_the_pixels_of_an_image_and_nothing_else_are_sent(tmp_path):
    source = noise(0)
    exif = Image.Exif()
    exif[270] = "a private remark"
    source.save(tmp_path / "a.png", exif=exif)
    message = image_message(Image.open(tmp_path / "a.png"), "what?")
    assert message["role"] == "user"
    assert message["content"][1] == {"type": "text", "text": "what?"}
    sent = decoded(message)
    np.testing.assert_array_equal(np.asarray(sent), np.asarray(source))
    assert not sent.getexif() and not sent.info


@pytest.mark.parametrize(("size", "sent"), [((900, 300), (100, 33)), ((50, 40), (50, 40))])
def test_large_images_are_scaled_down(size, sent):
    image = noise(1, size)
    assert decoded(image_message(image, "?", max_side=100)).size == sent
    assert image.size == size  # the caller's image is left alone


def test_a_server_gets_the_image_in_the_clients_way():
    with chat_server(error(500, f"boom {KEY}"), "a red bus") as server:
        notes = []
        chat = OpenAIChat(
            "m", server.url, KEY, temperature=0.0, sleep=lambda s: None, notify=notes.append
        )
        assert chat.chat([image_message(noise(2), "what?")], 0) == "a red bus"
    assert len(server.requests) == 2 and KEY not in "".join(notes)
    content = server.requests[-1]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]


def test_llava_reads_the_image(llava):
    model = LocalVisionChat(llava, max_new_tokens=8)
    assert isinstance(model, ChatModel)
    first, same, other = (model.chat([image_message(noise(i), "what is it")], 0) for i in (0, 0, 1))
    assert first == same
    prompts = [model._inputs([image_message(noise(i), "what is it")]) for i in (0, 1)]
    text = model._tokenizer.decode(prompts[0]["input_ids"][0])
    assert text.startswith("USER: <image>") and text.endswith("what is it ASSISTANT:")
    assert prompts[0]["pixel_values"].shape == (1, 3, 32, 32)
    with torch.inference_mode():
        logits = [model._network(**one).logits[0, -1] for one in prompts]
    assert not torch.allclose(*logits, atol=1e-6)  # other pixels, another answer
    assert model.settings["model"] == llava and model.settings["temperature"] == 0.0
    assert isinstance(other, str)


def test_sampling_is_seeded_and_text_alone_is_fine(llava):
    model = LocalVisionChat(llava, max_new_tokens=12, temperature=1.0, top_p=0.95)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    ask = [{"role": "user", "content": "name five animals"}]
    assert model.chat(ask, 1) == model.chat(ask, 1) != model.chat(ask, 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", [ImportError, ValueError])
def test_a_processor_with_a_video_part_needs_no_torchvision(tmp_path, monkeypatch, kind):
    def without_torchvision(*args, **kwargs):
        raise kind("the video processor requires the Torchvision library")

    monkeypatch.setattr("transformers.AutoProcessor.from_pretrained", without_torchvision)
    model = LocalVisionChat(write_tiny_qwen2_vl(tmp_path), max_new_tokens=4)
    inputs = model._inputs([image_message(noise(0), "what")])
    assert "image_grid_thw" in inputs
    assert isinstance(model.chat([image_message(noise(0), "what")], 0), str)


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (
            {"type": "image_url", "image_url": {"url": "http://x/y.png"}},
            "neither text nor an image",
        ),
        ({"type": "audio"}, "neither text nor an image"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, "be decoded"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,*"}}, "be decoded"),
    ],
)
def test_parts_that_are_no_image_are_refused(llava, part, sentence):
    model = LocalVisionChat(llava, max_new_tokens=2)
    with pytest.raises(ChatError, match=sentence):
        model.chat([{"role": "user", "content": [part]}], 0)


def test_a_question_that_does_not_fit_is_refused(tmp_path):
    model = LocalVisionChat(write_tiny_llava(tmp_path, context=30), max_new_tokens=2)
    with pytest.raises(ChatError, match="the model reads 30"):
        model.chat([image_message(noise(0), "a question that is too long")], 0)


def test_what_is_no_such_model_is_said_in_one_sentence(tmp_path, encoder_dir):
    for directory in (tmp_path, encoder_dir("clip")):
        with pytest.raises(ValueError, match="cannot be loaded"):
            LocalVisionChat(str(directory))
