"""The command for one's own images: verdicts, unreadable files, mistakes."""

import json

import pytest
from mmengine.logging import MMLogger

from negas.apis.calibration import default_path
from tests.helpers.commands import run_tool
from tests.helpers.shipped_emoji import CONFIG, copy_weights, draw_scenes
from tests.helpers.yolo_world import ROOT


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return draw_scenes(tmp_path_factory.mktemp("scenes")) / "id_val"


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    MMLogger._instance_dict.clear()  # writes to the standard error of the test that made it
    return copy_weights(tmp_path)


def copy_images(images, folder, count):
    """A folder of the first images, to be added to."""
    folder.mkdir()
    for file in sorted(images.glob("*.png"))[:count]:
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def infer(source, weights, out, *args, config=CONFIG):
    return run_tool("infer", source, config, weights, "--out-dir", out, *args)


def test_calibrate_then_infer(images, weights, tmp_path, capsys):
    annotations = images.parent / "annotations/id_val.json"
    found = ["--ann-file", annotations, "--img-dir", images, "--device", "cpu"]
    loader = {"test_dataloader.num_workers": 0, "test_dataloader.persistent_workers": False}
    loader |= {"val_dataloader": "None"}
    assert run_tool("calibrate", CONFIG, weights, *found, options=loader) == 0
    fitted = json.loads(default_path(weights).read_text())
    capsys.readouterr()
    assert infer(images, weights, tmp_path / "out", "--batch-size", 8) == 0
    out, err = capsys.readouterr()
    rows = json.loads((tmp_path / "out/predictions.json").read_text())["annotations"]
    objects = [row for row in rows if row["label"] == "unknown"]
    rows = [row for row in rows if row["label"] != "unknown"]
    assert objects and f"{len(objects)} unknown objects beside them" in out
    assert {row["unknown_like"] for row in objects} <= {*fitted["unknown"]["words"]}
    assert min(row["score"] for row in objects) >= fitted["unknown"]["score_thr"]
    known = sum(row["known"] for row in rows)
    assert f"24 pictures, {len(rows)} boxes: {known} known, {len(rows) - known} unknown" in out
    assert "warning" not in err
    # the same images as in the fit: the same detections, the same share of known ones
    assert len(rows) == fitted["counts"]["detections"]
    assert known / len(rows) == pytest.approx(fitted["reached_tpr"])
    assert len(list((tmp_path / "out/vis").iterdir())) == 24


def test_a_truncated_image_among_many_is_named_and_the_rest_is_judged(
    images, weights, tmp_path, capsys
):
    folder = copy_images(images, tmp_path / "mine", 3)
    broken = folder / "000000.png"
    broken.write_bytes((folder / "000002.png").read_bytes()[:400])
    assert infer(folder, weights, tmp_path / "out", "--no-vis") == 1
    out, err = capsys.readouterr()
    assert "3 pictures" in out and "no verdict" in out and "negas calibrate" in out
    assert "warning: unreadable inputs, left out: 1" in err
    assert f"{broken}: the file is truncated" in err
    data = json.loads((tmp_path / "out/predictions.json").read_text())
    assert data["info"]["unreadable"] == [dict(path=str(broken), reason="the file is truncated")]
    assert not (tmp_path / "out/vis").exists()


def test_nothing_readable_is_an_error(images, weights, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    assert infer(folder, weights, tmp_path / "out") == 2
    assert f"folder '{folder}' holds no image or video" in capsys.readouterr().err
    (folder / "a.png").write_bytes(b"nothing")
    assert infer(folder, weights, tmp_path / "out") == 2
    assert "no input can be read" in capsys.readouterr().err
    assert not (tmp_path / "out/predictions.json").exists()


def test_labels_at_run_time_need_no_training(images, weights, tmp_path, capsys):
    words = ["--classes", "dog,cat", "bus", "--negatives", "fox", "truck", "--score-thr", 0.01]
    assert infer(images, weights, tmp_path / "out", *words, "--no-vis") == 0
    data = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [category["name"] for category in data["categories"]] == ["dog", "cat", "bus"]
    assert data["info"]["neg_labels"] == ["fox", "truck"] and data["annotations"]
    assert infer(images, weights, tmp_path / "out", "--classes", "dog") == 2
    assert "give negatives for yours, too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--calibration", "lost.json"], "calibration 'lost.json' does not exist"),
        (["--calibration", "data/labels/voc.json"], "so it is no calibration"),
        (["--batch-size", 0], "--batch-size must be at least 1"),
        (["--score-thr", 30], "--score-thr must lie in [0, 1]"),
        (["--device", "gpu"], "device 'gpu' cannot be used"),
    ],
)
def test_mistakes_are_one_sentence(images, weights, tmp_path, capsys, args, message):
    assert infer(images, weights, tmp_path / "out", *args) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_a_lost_input_and_a_folder_in_the_way_are_named(weights, images, tmp_path, capsys):
    assert infer(tmp_path / "lost.jpg", weights, tmp_path / "out") == 2
    assert "lost.jpg' does not exist" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert infer(images, weights, tmp_path / "file/out") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_config_that_cannot_be_tested_and_a_foreign_detector(images, weights, tmp_path, capsys):
    config = tmp_path / "mine.py"
    base = f"_base_ = {str(ROOT / CONFIG)!r}\n"
    config.write_text(base + "test_dataloader = None\n")
    assert infer(images, weights, tmp_path / "out", config=config) == 2
    assert "no test_dataloader.dataset.pipeline" in capsys.readouterr().err
    head = dict(type="mmdet.YOLOXHead", num_classes=3, in_channels=24, feat_channels=24)
    detector = dict(
        _delete_=True,
        type="mmdet.YOLOX",
        backbone=dict(type="mmdet.CSPDarknet", deepen_factor=0.33, widen_factor=0.09375),
        neck=dict(type="mmdet.YOLOXPAFPN", in_channels=[24, 48, 96], out_channels=24),
        bbox_head=head,
    )
    config.write_text(f"{base}model = {detector!r}\n")
    assert infer(images, weights, tmp_path / "out", config=config) == 2
    assert "is no open-vocabulary detector of negas" in capsys.readouterr().err
