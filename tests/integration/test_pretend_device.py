"""Every command that touches a model computes on one device: run on a pretend accelerator."""

import json
import sys

import pytest

from tests.helpers.commands import run_command
from tests.helpers.tiny_coco import EMOJI, EMOJI_GROUNDING_DINO, emoji_project
from tests.helpers.yolo_world import ROOT

TINY_CLIP = ROOT / "data/emoji_world/tiny_clip"
BANK = ROOT / "data/labels/emoji_world/disjoint.json"
SETS = ("id_train", "id_test", "near_ood")


def options(**settings):
    return ["--cfg-options", *(f"{key}={value}" for key, value in settings.items())]


def of_a_detector(folder, base):
    """Train, resume, train in mixed precision, test, and all that follows, as tools and args."""
    small = {} if base == EMOJI else {"model__num_queries": 30}
    config = emoji_project(
        folder, 2, base, train_cfg__max_epochs=1, train_cfg__val_interval=1, **small
    )
    images = folder / "data/emoji_world/scenes/id_val"
    weights, work = folder / "work/epoch_2.pth", folder / "work"
    two = {"train_cfg.max_epochs": 2}
    yield "train", config, *options(experiment_name="one")
    yield "train", config, "--resume", *options(experiment_name="resumed", **two)
    yield "train", config, "--amp", "--work-dir", folder / "amp", *options(experiment_name="amp")
    yield "test", config, weights, "--work-dir", work, *options(experiment_name="test")
    yield "calibrate", config, weights, "--cut", 0.05, "--device", "pretend"
    yield "infer", images, config, weights, "--out-dir", folder / "infer", "--device", "pretend"
    yield (
        *("show_attention", config, weights, images, "--out-dir", folder / "pages"),
        *("--device", "pretend"),
    )


def of_image_level(folder):
    """Every method on crops of scenes; then a bank of labels, filtered by how its words look."""
    (folder / "words.txt").write_text("wolf\nkite\nvase\nlamp\npoodle\n")
    emoji_project(folder, 60)
    scenes = folder / "data/emoji_world/scenes"
    images = {name: f"{scenes}/annotations/{name}.json@{scenes}/{name}" for name in SETS}
    yield (
        *("image_ood", "--id", images["id_test"], "--train", images["id_train"], "--ood"),
        *(f"near={images['near_ood']}", "--bank", BANK, "--encoder", TINY_CLIP),
        *("--view", "gt_crops", "--methods", "all", "--rotations", 1),
        *("--method-options", "ants.min_candidates=1", "--captioner", "names"),
        *("--words", folder / "words.txt", "--device", "pretend", "--batch-size", 32),
        *("--cache", folder / "cache", "--out", folder / "out"),
    )
    yield (
        *("mine_labels", "cat", "dog", "--source", "file", "--candidates", folder / "words.txt"),
        *("--encoder", TINY_CLIP, "--device", "pretend", "--num", 2, "--keep-fraction", 0.5),
        *("--out", folder / "bank.json"),
        *("--work-dir", folder / "mining", "--images", scenes / "id_train"),
        *("--ann", scenes / "annotations/id_train.json"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("part", ["yolo_world", "grounding_dino", "image_level"])
def test_no_tensor_is_left_on_another_device(tmp_path, part):
    base = EMOJI if part == "yolo_world" else EMOJI_GROUNDING_DINO
    made = of_image_level(tmp_path) if part == "image_level" else of_a_detector(tmp_path, base)
    listed = [[str(arg) for arg in command] for command in made]
    (tmp_path / "commands.json").write_text(json.dumps(listed))
    module = [sys.executable, "-m", "tests.helpers.pretend_device", tmp_path / "commands.json"]
    done = run_command(*module, cwd=ROOT, NEGAS_DEBUG="1")
    found = [json.loads(row) for row in done.stdout.splitlines() if row.startswith('{"tool"')]
    told = [(each["tool"], each["code"]) for each in found]
    assert told == [(command[0], 0) for command in listed], done.stderr[-3000:]
    assert all(each["operations"] > 100 for each in found), found


MIX = """
import torch
from tests.helpers import pretend_device as device
kept = device.install()
with device.PretendMode():
    there = torch.ones(3, device="pretend")
    assert (there + there).tolist() == [2, 2, 2] and str(there.device) == "pretend:0"
    assert (there + torch.tensor(1.0)).device == there.to("pretend").device
    there + torch.ones(3)
"""


def test_a_mix_of_devices_is_found():
    done = run_command(sys.executable, "-c", MIX, cwd=ROOT)
    assert "tensors on pretend and on cpu meet" in done.stderr
