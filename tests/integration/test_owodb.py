"""S-OWODB from COCO's annotations to the table: prepared, tested, scored again."""

import json

import pytest
from mmengine.config import Config

from negas.datasets.prepare.owodb import ALL_NAMES, TASKS, prepare_owodb
from tests.datasets.prepare.official_files import coco, write_image, write_json
from tests.helpers.commands import run_tool, tool_said
from tests.helpers.tiny_coco import user_config, write_base
from tests.helpers.yolo_world import ROOT

CONFIG = ROOT / "configs/negas/stock_yolo-world-v2-s_owodb-s-t1.py"
IMAGES = {1: ["person", "chair"], 2: ["kite"], 3: ["cat"], 4: ["cup", "bed"], 5: []}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    val = write_json(tmp_path / "instances_val2017.json", coco(IMAGES, ALL_NAMES))
    prepare_owodb("s", val, tmp_path / "data/owodb/s")
    for image in IMAGES:
        write_image(tmp_path / f"data/coco/val2017/{image:012d}.jpg", (64, 48))
    config = user_config(CONFIG, tmp_path, size=64, test_evaluator__presets=["val_f1", "owod"])
    write_base(Config.fromfile(config).model, tmp_path / "base.pth")
    return tmp_path, config


def test_from_cocos_annotations_to_the_table(project, capsys):
    folder, config = project
    work = folder / "work"
    assert run_tool("test", config, folder / "base.pth", "--work-dir", work) == 0
    report = json.loads((work / "ood_results.json").read_text())
    assert {name: about["images"] for name, about in report["sets"].items()} == {
        "id": 2,
        "unknown": 2,
    }
    (row,) = [r for r in report["rows"] if r["score"] == "max_sigmoid" and "owod" in r]
    numbers = row["owod"]
    assert (numbers["benchmark"], numbers["task"]) == ("S-OWODB", 1)
    assert (numbers["num_known"], numbers["num_unknown"]) == (2, 4), "each object once"
    how = ("--preset", "owod", "--scores", "max_sigmoid", "--bootstrap", 0)
    code, out, _ = tool_said(capsys, "score", work, *how)
    assert code == 0 and "open-world detection of S-OWODB, task 1" in out
    assert "YOLO-UniOW" in out and "84.5" in out


def test_the_whole_test_set_beside_its_half_is_refused_at_once(project, capsys):
    folder, config = project
    whole = {"test_dataloader.dataset.ann_file": "owodb/s/t1_test.json"}
    work = folder / "twice"
    run = ("test", config, folder / "base.pth", "--work-dir", work)
    assert run_tool(*run, options=whole) == 2
    assert "2 images are in the sets 'id' and 'unknown'" in capsys.readouterr().err
    assert not (work / "records").exists() and not (work / "records.part").exists()


def test_it_is_no_training(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert run_tool("train", CONFIG, "--work-dir", tmp_path) == 2
    assert "negas test only" in capsys.readouterr().err


def test_classes_and_files_are_those_that_are_prepared():
    cfg = Config.fromfile(CONFIG)
    assert tuple(cfg.class_names) == TASKS["s"][0] == tuple(cfg.model.class_names)
    sets = [cfg.test_dataloader.dataset, cfg.test_cfg.ood_dataloaders.unknown.dataset]
    text = (ROOT / "data/README.md").read_text()
    for dataset, half in zip(sets, ("id", "ood"), strict=True):
        assert dataset.data_root + dataset.ann_file == f"data/owodb/s/t1_test_{half}.json"
        assert dataset.data_root + dataset.data_prefix.img == "data/coco/val2017/"
        assert list(dataset.metainfo.classes) == list(cfg.class_names) and dataset.test_mode
    assert "data/owodb/s/t1_test_{id,ood}.json" in text
