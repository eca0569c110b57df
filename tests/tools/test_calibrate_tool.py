"""The command that calibrates: what it prints, where it writes, what it refuses."""

import json

import pytest
from mmengine.logging import MMLogger

from negas.apis.calibration import default_path
from negas.metrics import wilson_interval
from tests.helpers.commands import run_tool
from tests.helpers.shipped_emoji import CONFIG, copy_weights, draw_scenes
from tests.helpers.yolo_world import ROOT


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return draw_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    MMLogger._instance_dict.clear()  # writes to the standard error of the test that made it
    return copy_weights(tmp_path)


def calibrate(scenes, weights, *args, **options):
    images = ["--ann-file", scenes / "annotations/id_val.json", "--img-dir", scenes / "id_val"]
    no_workers = {
        "val_dataloader": "None",
        "test_dataloader.num_workers": 0,
        "test_dataloader.persistent_workers": False,
    }
    return run_tool("calibrate", CONFIG, weights, *images, *args, options=no_workers | options)


def test_the_calibration_lies_beside_the_checkpoint(scenes, weights, capsys):
    assert calibrate(scenes, weights, "--tpr", 0.9) == 0
    out = capsys.readouterr().out
    data = json.loads(default_path(weights).read_text())
    assert data["wanted_tpr"] == 0.9 and data["reached_tpr"] >= 0.9
    assert f"confidence cut {data['cut']:.4f} (best F1), tau {data['tau']:.4f} (negs)" in out
    assert f"of {data['counts']['detections']} detections on 24 ID images are known" in out
    assert str(default_path(weights)) in out


def test_few_detections_are_told_with_an_interval(scenes, weights, tmp_path, capsys):
    for cut, few in ((0.05, False), (0.9, True)):
        out = tmp_path / f"{cut}.json"
        assert calibrate(scenes, weights, "--cut", cut, "--out", out) == 0
        data, said = json.loads(out.read_text()), capsys.readouterr().out
        assert (data["counts"]["detections"] < 100) == ("Few samples (under 100)" in said) == few
    low, high = wilson_interval(data["reached_tpr"], data["counts"]["detections"])
    assert f"{low:.0%} to {high:.0%} may be known (95% interval)" in said


def test_unknown_objects_are_part_of_it(scenes, weights, capsys):
    words = scenes.parent / "words.txt"
    words.write_text("kite\nfork\nhat\npiano\nlamp\nlion\n")
    limits = ("--unknown-boxes", 1, "--unknown-known", 0.3, "--hot-words", 0.9)
    assert calibrate(scenes, weights, "--unknown", words, *limits) == 0
    section = json.loads(default_path(weights).read_text())["unknown"]
    assert section["words"] == ["kite", "fork", "hat", "piano", "lamp", "lion"]
    assert (section["a"], section["b"], section["hot_share"]) == (1, 0.3, 0.9)
    assert section["vocabulary"]["source"] == str(words)
    out, err = capsys.readouterr()
    assert "no calibration says" not in out + err, "one is being made"
    lines = out.splitlines()
    text = " ".join(line.strip() for line in lines)
    assert "unknown objects: 0 of 6 words are hot" in text
    assert f"unknown objects from a score of {section['score_thr']:.4f} (calibrated)" in text
    assert "1 allowed)" in text and "30% allowed), 24 images of id_val" in text
    start = next(i for i, line in enumerate(lines) if line.startswith("unknown objects"))
    assert max(map(len, lines[start:-1])) <= 80


def test_another_place_bank_and_cut_can_be_chosen(scenes, weights, tmp_path):
    out = tmp_path / "mine.json"
    code = calibrate(
        scenes, weights, "--cut", 0.5, "--negatives", "fox, wolf", "goat", "--out", out
    )
    data = json.loads(out.read_text())
    assert code == 0 and data["cut"] == 0.5 and data["source"]["cut_rule"] == "fixed"
    assert data["fitted_for"]["neg_labels"] == ["fox", "wolf", "goat"]
    assert not default_path(weights).exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--tpr", 0], "--tpr must lie in (0, 1], got 0.0"),
        (["--cut", 0.999], "no ID validation box is over the confidence cut"),
        (["--cut", 0.001], "cut=0.001 is below 0.01, so boxes would be missing"),
        (["--records", "lost.npz"], "lost.npz: no such record file"),
        (["--negatives", "lost.json"], "lost.json: no such label bank"),
        (["--unknown", "lost.txt"], "lost.txt: no such vocabulary"),
        (["--unknown-boxes", -1], "--unknown-boxes must be at least 0, got -1.0"),
        (["--unknown-known", 2], "--unknown-known must lie in [0, 1], got 2.0"),
        (["--hot-words", 2], "--hot-words must lie in [0, 1], got 2.0"),
        (["--unknown-boxes", 0, "--unknown-known", 0], "give --unknown none"),
    ],
)
def test_mistakes_are_one_sentence(scenes, weights, capsys, args, message):
    assert calibrate(scenes, weights, *args) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err
    assert not default_path(weights).exists()


def test_a_word_that_cannot_be_encoded_is_named_before_the_detector_runs(
    scenes, weights, tmp_path, capsys, monkeypatch
):
    words = tmp_path / "words.txt"
    words.write_text("kite\n" + "very " * 300 + "long kite\n")
    monkeypatch.setattr("negas.apis.fit._run", lambda *_: pytest.fail("the detector runs"))
    assert calibrate(scenes, weights, "--unknown", words) == 2
    err = capsys.readouterr().err
    assert "error: model.test_cfg.unknown.vocabulary: " in err and "shorten the label" in err


def test_classes_are_matched_with_the_annotations_by_name(scenes, weights, tmp_path, capsys):
    """The README's third command, with a verdict; all in one file of their own."""
    labels = ["--classes", "dog", "cat", "--negatives", "wolf", "statue"]
    assert calibrate(scenes, weights, *labels, "--unknown", "none") == 0
    assert not default_path(weights).exists(), "it is for the config's labels"
    [file] = tmp_path.glob("*.calibration.json")
    data = json.loads(file.read_text())
    assert data["fitted_for"]["class_names"] == ["dog", "cat"]
    assert data["fitted_for"]["neg_labels"] == ["wolf", "statue"]
    assert data["reached_tpr"] >= 0.95 and 0 < data["counts"]["detections"] < 40
    infer = ("infer", scenes / "id_val", CONFIG, weights, "--out-dir", tmp_path / "out", "--no-vis")
    capsys.readouterr()
    assert run_tool(*infer, *labels) == 0
    out = capsys.readouterr().out
    assert f"24 pictures, {data['counts']['detections']} boxes: " in out and "verdict" not in out
    assert run_tool(*infer, *labels, "--tau", 9) == 0
    assert ": 0 known" in capsys.readouterr().out
    assert run_tool(*infer, *labels[:4], "fox") == 0
    out = capsys.readouterr().out
    assert "boxes, no verdict" in out and "the lowest scores (larger = known):" in out


def test_a_class_that_the_annotations_lack_is_named(scenes, weights, capsys):
    assert calibrate(scenes, weights, "--classes", "dog, unicorn", "--negatives", "wolf") == 2
    out, err = capsys.readouterr()
    assert "has no category 'unicorn' (1 of 2 classes are missing; it has " in err
    assert "--classes" in err and "Loads checkpoint" not in out
    assert calibrate(scenes, weights, "--classes", "dog") == 2
    assert "give negatives for yours, too" in capsys.readouterr().err


def test_unknown_objects_need_not_be_sought(scenes, weights):
    assert calibrate(scenes, weights, "--unknown", "none") == 0
    assert json.loads(default_path(weights).read_text())["unknown"] is None


def test_a_config_may_have_no_test_cfg(scenes, weights, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("kite\nfork\nhat\n")
    given = {"model.test_cfg": "None"}
    assert calibrate(scenes, weights, "--unknown", words, **given) == 0


def test_an_image_set_that_is_not_read_whole_is_named_as_the_config_has_it(weights, capsys):
    indices = {"test_cfg.id_val_dataloader.dataset.indices": 8}
    assert run_tool("calibrate", CONFIG, weights, options=indices) == 2
    assert "error: test_cfg.id_val_dataloader.dataset.indices leaves" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_named_before_the_detector_runs(
    scenes, weights, tmp_path, capsys
):
    (tmp_path / "file").touch()
    assert calibrate(scenes, weights, "--out", tmp_path / "file/c.json") == 2
    out, err = capsys.readouterr()
    assert "cannot be written" in err and "Loads checkpoint" not in out


def test_images_without_annotations_and_lost_files_are_named(weights, capsys):
    assert run_tool("calibrate", CONFIG, weights, "--img-dir", "somewhere") == 2
    assert "--ann-file and --img-dir belong together" in capsys.readouterr().err
    assert run_tool("calibrate", CONFIG, "lost.pth") == 2
    assert "checkpoint 'lost.pth' does not exist" in capsys.readouterr().err
    images = ["--ann-file", "lost.json", "--img-dir", "somewhere"]
    assert run_tool("calibrate", CONFIG, weights, *images) == 2
    assert "lost.json" in capsys.readouterr().err
