"""The `bert` command of tools/emoji_world/make_tiny_clip.py on a 30-name teacher."""

import json

import pytest
import torch

from negas.labels.names import read_names
from negas.labels.text_tower import NAMES_FILE

SMALL = ["--vocab-size", "300", "--width", "32", "--mlp", "32", "--batch", "30", "--lr", "1e-2"]


def command(teacher, root, *more):
    paths = ["--teacher", str(teacher), "--out", str(root / "bert"), "--work-dir", str(root / "w")]
    return ["bert", *paths, "--steps", "30", *SMALL, *more]


@pytest.fixture(scope="module")
def made(tool, teacher, tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    assert tool.main(command(teacher, root)) == 0
    return root / "bert"


def test_directory_loads_with_transformers_in_float32(made):
    from transformers import AutoTokenizer, BertModel

    tokenizer = AutoTokenizer.from_pretrained(made)
    model, loading = BertModel.from_pretrained(
        made, add_pooling_layer=False, output_loading_info=True
    )
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    hidden = model(**tokenizer("zebra. unheard-of thing.", return_tensors="pt")).last_hidden_state
    assert hidden.dtype == torch.float32 and hidden.shape[-1] == 32
    assert torch.isfinite(hidden).all()


def test_loss_falls_and_the_log_says_how_well(made):
    log = json.loads((made / "bert_log.json").read_text())
    assert len(read_names(str(made / NAMES_FILE))) == log["names"]
    assert log["log"][-1]["loss"] < 0.6 * log["log"][0]["loss"]
    assert log["names"] == 30 and log["tokens"] <= 300
    assert log["quality"]["a photo of {}"]["single_tokens"]["mean"] > 0.6
    assert log["prompt_shift"]["a photo of {}"] == 1
    assert log["held_out"]["seen"]["cosine"] > log["held_out"]["unseen"]["cosine"]


def test_interrupted_run_continues_to_the_same_weights(tool, teacher, made, tmp_path, monkeypatch):
    import distill
    import distill_bert

    clock = iter(range(0, 10**6, 1000))  # every step is a minute: a checkpoint after each one
    loss, calls = distill_bert.distill_loss, iter(range(20))

    def interrupted(*args):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return loss(*args)

    with monkeypatch.context() as patch:
        patch.setattr(distill.time, "monotonic", lambda: next(clock))
        patch.setattr(distill_bert, "distill_loss", interrupted)
        assert tool.main(command(teacher, tmp_path)) == 130
    assert list((tmp_path / "w").glob("*.pth"))
    assert tool.main(command(teacher, tmp_path, "--layers", "1")) == 2  # another run
    assert tool.main(command(teacher, tmp_path)) == 0
    assert not list((tmp_path / "w").glob("*.pth"))
    again = (tmp_path / "bert" / "model.safetensors").read_bytes()
    assert again == (made / "model.safetensors").read_bytes()


def test_too_small_a_vocabulary_is_one_sentence(tool, teacher, tmp_path, capsys):
    assert tool.main(command(teacher, tmp_path, "--vocab-size", "100")) == 2
    assert "need 149 WordPiece tokens, --vocab-size is 100" in capsys.readouterr().err
    assert not (tmp_path / "bert").exists()
