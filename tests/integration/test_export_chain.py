"""From training to a file that judges, through the commands that a user gives."""

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import pytest

from negas.apis import Inferencer
from negas.apis.calibration import Calibration, default_path
from negas.runtime import Detector
from tests.helpers.commands import call_tool, run_tool
from tests.helpers.shipped_emoji import WEIGHTS, draw_scenes
from tests.helpers.tiny_coco import EMOJI, user_config

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_root")]
WORDS = ("harpsichord", "tent", "latte", "apricot", "air conditioner", "stew", "cabbage")


def test_train_calibrate_export_verify_run(tmp_path, capsys):
    scenes = tmp_path / "data/emoji_world/scenes"
    for split in ("id_train", "id_val"):
        draw_scenes(scenes, 12, split)
    once = dict(train_cfg__max_epochs=1, train_cfg__val_interval=1)
    config = user_config(EMOJI, tmp_path, size=160, model__base_checkpoint=str(WEIGHTS), **once)
    words, model = tmp_path / "words.txt", tmp_path / "model.onnx"
    words.write_text("\n".join(WORDS))
    assert run_tool("train", config) == 0
    checkpoint = tmp_path / "work/epoch_1.pth"

    val = ("--ann-file", scenes / "annotations/id_val.json", "--img-dir", scenes / "id_val")
    limits = ("--unknown-boxes", 4, "--unknown-known", 1, "--hot-words", 1)
    assert call_tool("calibrate", config, checkpoint, *val, "--unknown", words, *limits) == 0
    fitted = Calibration.load(default_path(checkpoint))
    assert call_tool("export", config, checkpoint, "--out", model) == 0
    said = capsys.readouterr().out
    assert f"tau {fitted.tau:.4f} (calibrated)" in said
    assert f"by 7 words, threshold {fitted.unknown['score_thr']:.4f} (calibrated)" in said
    data = ("--data", scenes / "id_val", "--images", 12)
    assert call_tool("verify_export", model, config, checkpoint, *data) == 0
    said = capsys.readouterr().out
    assert "verdicts: 0 turn unknown, 0 turn known; 0 other nearest words" in said

    pictures = sorted(map(str, (scenes / "id_val").glob("*.*")))
    inferencer = Inferencer(str(config), checkpoint, "cpu", show_progress=False)
    found = inferencer(pictures)["predictions"]
    verdicts = [verdict for one in found for verdict in one.known]
    assert {True, False} <= set(verdicts) and any((one.labels < 0).any() for one in found)
    for theirs, ours in zip(found, Detector(model)(pictures), strict=True):
        assert ours.known.tolist() == theirs.known.tolist()
        assert ours.names.tolist() == theirs.names.tolist()
        assert ours.unknown_like.tolist() == theirs.unknown_like.tolist()

    # a threshold of other words is none for these
    words.write_text("kite\nfork")
    other = ("--out", tmp_path / "other.onnx", f"--unknown={words}")
    assert call_tool("export", config, checkpoint, *other) == 2
    assert "has a threshold for other words" in capsys.readouterr().err
    assert not (tmp_path / "other.onnx").exists()
