"""The data command: what it prints and returns, for every set."""

import json
from functools import partial

import pytest

from negas.datasets.prepare.owodb import ALL_NAMES
from negas.labels.names import read_names
from tests.datasets.prepare.official_files import (
    CAT,
    ZEBRA,
    bdd_frame,
    box_row,
    coco,
    small_devkit,
    write_image,
    write_json,
    write_openimages,
)
from tests.helpers.commands import tool_said


@pytest.fixture
def command(capsys):
    return partial(tool_said, capsys, "prepare_data")


def test_voc_twice(command, tmp_path):
    args = ["voc", "--devkit", small_devkit(tmp_path / "kit"), "--out", tmp_path / "out"]
    code, out, _ = command(*args, "--link-images", tmp_path / "JPEGImages")
    assert code == 0
    assert "6 new links" in out and "sha256" in out
    assert "images: 4, DIFFERS from the known 16551" in out
    code, out, _ = command(*args, "--strict")
    assert code == 1
    assert "nothing to do" in out and "written" not in out


def test_bdd100k(command, tmp_path):
    box = (0, 0, 9, 9)
    for split in ("train", "val"):
        frames = [bdd_frame(f"{split}{i}.jpg", ("pedestrian", box)) for i in range(3)]
        write_json(tmp_path / "labels" / f"det_{split}.json", frames)
    args = ["bdd100k", "--labels", tmp_path / "labels", "--out", tmp_path / "out"]
    assert command(*args, "--holdout", 1)[0] == 0
    counts = {
        path.stem: len(json.loads(path.read_text())["images"])
        for path in (tmp_path / "out").iterdir()
    }
    assert counts == dict(bdd100k_train=2, bdd100k_train_holdout=1, bdd100k_val=3)
    code, _, err = command(*args)
    assert code == 2 and err.startswith("error: holdout=5000: train has 3 images")


def test_coco_ood_and_custom(command, tmp_path):
    images = {1: ["zebra"], 2: ["person"], 3: ["truck"]}
    ann = write_json(tmp_path / "val.json", coco(images, ["person", "zebra", "truck"]))
    code, out, _ = command("coco-ood", "--ann", ann, "--id", "person", "motortruck")
    assert code == 0
    assert "truck ~ motortruck, synonym" in out
    assert (tmp_path / "val_ood_custom.json").is_file()
    code, out, _ = command("coco-ood", "--ann", ann, "--id", "voc")
    assert "images that pass the rule: 2, DIFFERS from the known at least 930" in out
    assert (tmp_path / "val_ood_voc.json").is_file()
    code, out, _ = command("custom", "--ann", ann, "--id", "zebra", "--out", tmp_path / "mine")
    assert code == 0 and "val_id.json: written" in out and "val_ood.json: written" in out


def test_openimages_ood(command, tmp_path):
    names = [f"{i:016x}" for i in range(2)]
    write_openimages(tmp_path, [box_row(names[0], ZEBRA), box_row(names[1], CAT)])
    args = ["openimages-ood", "--folder", tmp_path, "--id", "voc"]
    code, out, _ = command(*args)
    assert code == 0 and "images: 1" in out and "--images FOLDER" in out
    write_image(tmp_path / "images" / f"{names[0]}.jpg")
    code, out, _ = command(*args, "--images", tmp_path / "images")
    assert code == 0
    assert "validation_ood_voc.images.txt: unchanged" in out
    assert len(json.loads((tmp_path / "validation_ood_voc.json").read_text())["images"]) == 1


def test_owodb(command, tmp_path):
    val = write_json(tmp_path / "val.json", coco({1: ["person", "kite"], 2: ["kite"]}, ALL_NAMES))
    args = ["owodb", "--variant", "s", "--val", val, "--out", tmp_path / "out"]
    code, out, _ = command(*args)
    assert code == 0 and "test images: 2, DIFFERS from the known 4952" in out
    assert len(read_names(str(tmp_path / "out/t2_known.txt"))) == 40
    assert len(json.loads((tmp_path / "out/t1_test_ood.json").read_text())["images"]) == 1
    code, out, _ = command(*args, "--strict")
    assert code == 1 and "nothing to do" in out
    code, _, err = command(*args, "--list", val)
    assert code == 2 and err.startswith("error: variant s has images of COCO alone")


@pytest.mark.parametrize(
    "args",
    [
        ["voc", "--devkit", "nowhere"],
        ["owodb", "--variant", "s", "--val", "nowhere.json"],
        ["bdd100k", "--labels", "nowhere"],
        ["coco-ood", "--ann", "nowhere.json", "--id", "voc"],
        ["openimages-ood", "--folder", "nowhere", "--id", "voc"],
        ["custom", "--ann", "nowhere.json", "--id", "cat", "--out", "out"],
    ],
)
def test_missing_files_are_one_sentence_and_two(command, tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    code, out, err = command(*args)
    assert code == 2 and not out
    assert err.startswith("error: ") and "nowhere" in err and "get it from" in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())
