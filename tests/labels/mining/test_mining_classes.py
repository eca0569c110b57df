"""Where class names come from: config, COCO json, text file, command line."""

import json
from pathlib import Path

import pytest

from negas.labels.mining.classes import read_classes
from tests.helpers.yolo_world import ROOT


def test_names_on_the_command_line():
    source = read_classes(["dog, potted plant", "bus"])
    assert source.names == ("dog", "potted plant", "bus")
    assert (source.ann_file, source.img_dir) == (None, None)


def test_a_text_file_and_a_coco_json(tmp_path):
    (tmp_path / "names.txt").write_text("dog\npotted plant\n")
    assert read_classes([str(tmp_path / "names.txt")]).names == ("dog", "potted plant")
    coco = tmp_path / "train.json"
    coco.write_text(json.dumps({"categories": [{"id": 1, "name": "dog"}], "images": []}))
    source = read_classes([str(coco)])
    assert source.names == ("dog",) and source.ann_file == str(coco)


@pytest.mark.parametrize(
    ("config", "first", "count", "ann"),
    [
        ("negas_yolo-world-v2-s_8xb20-30e_voc", "person", 20, "data/VOC/annotations/voc0712_tr"),
        ("negas_yolo-world-v2-s_8xb20-30e_bdd100k", "pedestrian", 10, "data/bdd100k/annotations/"),
        ("coop_yolo-world-tiny_1xb16-8e_emoji-world", "person", 19, "data/emoji_world/scenes/ann"),
    ],
)
def test_a_config_names_classes_and_training_images(monkeypatch, config, first, count, ann):
    monkeypatch.chdir(ROOT)
    source = read_classes([f"configs/negas/{config}.py"])
    assert (source.names[0], len(source.names)) == (first, count)
    assert source.ann_file.startswith(ann) and source.img_dir


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["no.txt"], FileNotFoundError, "no such file"),
        (["no.py"], FileNotFoundError, "config 'no.py' does not exist"),
        (["dog", "Dog"], ValueError, "the name 'Dog' stands there twice"),
        ([" , "], ValueError, "no class names in command line"),
        (["bytes.txt"], ValueError, "classes='bytes.txt': not UTF-8 text"),
        (["number.json"], ValueError, "expected a list of names or a COCO json"),
        (["nameless.json"], ValueError, "entry 0 is None, expected a non-empty name"),
        (["deep.json"], ValueError, "classes='deep.json': not valid JSON"),
    ],
)
def test_bad_sources(monkeypatch, tmp_path, given, error, message):
    monkeypatch.chdir(tmp_path)
    Path("bytes.txt").write_bytes(b"\xff\xfe")
    Path("number.json").write_text("5")
    Path("nameless.json").write_text('{"categories": [{"id": 1}]}')
    Path("deep.json").write_text("[" * 100_000)
    with pytest.raises(error, match=message):
        read_classes(given)


def test_a_config_without_classes(tmp_path):
    path = tmp_path / "config.py"
    path.write_text('model = dict(type="X")\n')
    with pytest.raises(ValueError, match="names no classes .*give the names themselves"):
        read_classes([str(path)])
