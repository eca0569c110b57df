"""Folders of models that transformers loads: whole, or one sentence that names the folder."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from negas.embeddings.encoders import load_parts
from negas.image_level.mllm import LocalVisionChat
from negas.labels.generate.local_chat import LocalChat
from negas.models.grounding_dino.language import BertTextModel
from negas.models.yolo_world.backbone import CLIPTextBackbone
from tests.helpers.tiny_coco import TINY_BERT, TINY_CLIP
from tests.helpers.tiny_qwen3 import write_tiny_qwen3
from tests.helpers.tiny_vlm import write_tiny_llava


class Code:
    def __reduce__(self):
        return print, ("code ran",)


def edit(folder, change):
    file = folder / "model.safetensors"
    if change == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    elif change == "code":
        file.unlink()
        torch.save(dict(a=Code()), folder / "pytorch_model.bin")
    elif change == "no config":
        (folder / "config.json").write_text('{"model_type": "odd"}')
    else:
        weights = load_file(file)
        key = next(key for key in weights if key.endswith("position_embedding.weight")
                   or key.endswith("position_embeddings.weight"))  # fmt: skip
        if change == "nan":
            weights[key] = weights[key] * float("nan")
        else:
            del weights[key]
        save_file(weights, file, metadata=dict(format="pt"))


CHANGES = ("cut", "code", "no config", "nan", "lacks")
LOADERS = (
    *((CLIPTextBackbone, TINY_CLIP, change) for change in CHANGES),
    *((load_parts, TINY_CLIP, change) for change in CHANGES),
    *((BertTextModel, TINY_BERT, change) for change in CHANGES),
)


@pytest.mark.parametrize(("load", "source", "change"), LOADERS)
def test_a_broken_folder_is_one_sentence(tmp_path, capfd, load, source, change):
    folder = tmp_path / "model"
    shutil.copytree(source, folder)
    edit(folder, change)
    with pytest.raises(ValueError, match=str(folder)) as caught:
        load(str(folder))
    assert "\n" not in str(caught.value) and "code ran" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("write", "chat"), [(write_tiny_qwen3, LocalChat), (write_tiny_llava, LocalVisionChat)]
)
def test_a_chat_whose_files_lack_weights_is_refused(tmp_path, write, chat):
    folder = tmp_path / "model"
    write(folder)
    chat(str(folder))
    weights = load_file(folder / "model.safetensors")
    del weights[min(key for key in weights if "mlp" in key)]
    save_file(weights, folder / "model.safetensors", metadata=dict(format="pt"))
    with pytest.raises(ValueError, match=rf"{folder}' cannot be loaded \(it lacks 1 of the model"):
        chat(str(folder))
