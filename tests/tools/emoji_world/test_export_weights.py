"""export_weights.py: half-precision weights without the text encoder, and how they came."""

import json
import runpy
import sys

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.yolo_world import ROOT


@pytest.fixture(scope="module")
def main():
    return runpy.run_path(str(ROOT / "tools/emoji_world/export_weights.py"))["main"]


@pytest.fixture
def export(main, tmp_path, monkeypatch):
    """Callable: (state dict, options) -> exit code; the checkpoint lies in a run's folder."""

    def run(state, *options):
        file = tmp_path / "run" / "epoch_2.pth"
        file.parent.mkdir(exist_ok=True)
        torch.save(dict(state_dict=state, meta=dict(epoch=2, seed=5)), file)
        out = tmp_path / "out" / "weights.safetensors"
        monkeypatch.setattr(sys, "argv", ["export_weights.py", str(file), str(out), *options])
        return main(), out

    return run


STATE = {
    "neck.weight": torch.tensor([0.5, -2.0]),
    "neck.num_batches_tracked": torch.tensor(70_000),
    "language_model.weight": torch.ones(2),
    "backbone.text_model.weight": torch.ones(2),
}


def test_weights_are_halved_and_described(export, tmp_path):
    log = tmp_path / "run/20200101_000000/vis_data/scalars.json"
    log.parent.mkdir(parents=True)
    lines = [dict(loss=1.0, step=1), {"seen/bbox_mAP": 0.4, "seen/bbox_mAP_50": 0.6, "step": 2}]
    log.write_text("\n".join(map(json.dumps, lines)))
    code, out = export(STATE)
    tensors = load_file(out)
    assert code == 0 and set(tensors) == {"neck.weight", "neck.num_batches_tracked"}
    assert tensors["neck.weight"].dtype == torch.float16
    assert tensors["neck.weight"].tolist() == [0.5, -2.0]
    assert int(tensors["neck.num_batches_tracked"]) == 70_000
    summary = json.loads(out.with_suffix(".json").read_text())
    assert (summary["epochs"], summary["seed"], summary["parameters"]) == (2, 5, 3)
    assert summary["validation"] == [lines[1]]
    assert set(load_file(export(STATE, "--keep-text")[1])) == set(STATE)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"prompt.ctx": torch.ones(3, 4)}, "holds a learned prompt and no detector"),
        ({"neck.weight": torch.tensor([1e6])}, "neck.weight does not fit half precision"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(export, capsys, state, sentence):
    code, out = export(state)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(said) == 1 and sentence in said[0]
    assert not out.exists()
