"""LocalChat on a tiny random Qwen3 with a chat template: the plumbing, not the sense."""

import shutil

import pytest
import torch

from negas.labels.generate import ChatError, ChatModel, LocalChat
from tests.helpers.tiny_qwen3 import write_tiny_qwen3

ASK = [{"role": "user", "content": "list things"}]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return write_tiny_qwen3(tmp_path_factory.mktemp("qwen3"))


def test_seeded_answers_leave_the_global_generator_alone(model_dir):
    model = LocalChat(model_dir, max_new_tokens=12, temperature=1.0, top_p=0.95, progress=False)
    assert isinstance(model, ChatModel)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (model.chat(ASK, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert first == again != other and first
    assert model.settings == {
        "model": model_dir,
        "thinking": False,
        "temperature": 1.0,
        "max_new_tokens": 12,
        "top_p": 0.95,
    }


def test_temperature_zero_ignores_the_seed_and_the_bar_is_drawn(model_dir, capsys):
    model = LocalChat(model_dir, max_new_tokens=12, temperature=0)
    assert model.chat(ASK, 1) == model.chat(ASK, 2)
    assert "answer" in capsys.readouterr().err


def test_thinking_reaches_the_template_and_thoughts_are_cut_off(model_dir, monkeypatch):
    model = LocalChat(model_dir, max_new_tokens=4, progress=False, thinking=True)
    seen = []
    real = model._network.generate

    def spy(input_ids, **options):
        seen.append(model._tokenizer.decode(input_ids[0]))
        return real(input_ids=input_ids, **options)

    monkeypatch.setattr(model._network, "generate", spy)
    model.chat(ASK, 0)
    model.thinking = False
    model.chat(ASK, 0)
    assert "<think>" not in seen[0] and seen[1].endswith("<think>\n\n</think>\n\n")
    decode = model._tokenizer.decode
    thought = '<think>is it [a]?</think>\n["tent"]'
    monkeypatch.setattr(model._tokenizer, "decode", lambda ids, **o: decode(ids, **o) and thought)
    assert model.chat(ASK, 0) == '["tent"]'


def test_a_prompt_that_does_not_fit(model_dir):
    model = LocalChat(model_dir, progress=False)
    with pytest.raises(ChatError, match="the model reads 256; ask for fewer"):
        model.chat([{"role": "user", "content": "x" * 300}], 0)


def test_bad_models_and_options(model_dir, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="expected temperature >= 0"):
        LocalChat(model_dir, top_p=0)
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(ValueError, match="'cuda:0': no CUDA device is available"):
            LocalChat(model_dir, device="cuda:0")
    with pytest.raises(ValueError, match="cannot be loaded .*give a directory"):
        LocalChat(str(tmp_path))
    from transformers import AutoTokenizer

    for file in ("config.json", "model.safetensors"):
        shutil.copy(f"{model_dir}/{file}", tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no chat template"):
        LocalChat(str(tmp_path))
