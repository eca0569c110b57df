"""Unknown objects by the command for one's own images: options, mistakes, what it says."""

import json

import pytest
from mmengine.logging import MMLogger

from negas.apis.labels import VocabularyOptions
from negas.command_line import CommandLine
from tests.helpers.commands import run_tool
from tests.helpers.shipped_emoji import CONFIG, copy_weights, draw_scenes
from tests.helpers.yolo_world import ROOT
from tools.infer import InferOptions


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return sorted((draw_scenes(tmp_path_factory.mktemp("scenes"), 4) / "id_val").glob("*.png"))[1]


@pytest.fixture
def infer(image, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    MMLogger._instance_dict.clear()  # writes to the standard error of the test that made it
    weights = copy_weights(tmp_path)

    def run(*args):
        return run_tool("infer", image, CONFIG, weights, "--out-dir", tmp_path / "out", *args)

    return run


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ([], None),
        (["--unknown"], {}),
        (["--unknown=none"], False),
        (["--unknown=common"], dict(vocabulary="common")),
        (["--unknown", "--unknown-thr", "0.3"], dict(score_thr=0.3)),
        (["--unknown-thr", "0"], dict(score_thr=0.0)),
        (["--unknown=a.txt", "--unknown-thr", "0.3"], dict(vocabulary="a.txt", score_thr=0.3)),
    ],
)
def test_what_the_options_ask_for(args, wanted):
    assert VocabularyOptions.parse(args).wanted() == wanted


def test_the_flag_takes_no_picture_for_its_words(capsys):
    files = ["a.jpg", "config.py", "b.pth"]
    for args in (["--unknown", *files], [*files, "--unknown"], [*files, "--unknown=auto"]):
        parser = CommandLine()
        InferOptions.add_to(parser)
        options = InferOptions.from_args(parser.parse_args(args))
        assert (options.input, options.config, options.checkpoint, options.unknown) == (
            *files,
            "auto",
        )
    with pytest.raises(SystemExit):
        parser.parse_args([*files, "--unknown", "common"])
    err = capsys.readouterr().err
    assert "unrecognized arguments: common; a value of --unknown stands behind '='" in err


def test_objects_are_counted_and_written(infer, tmp_path, capsys):
    given = ("--unknown=common", "--unknown-thr", 0.1, "--score-thr", 0.9)
    assert infer(*given, "--label-studio=https://x.org/") == 0
    rows = json.loads((tmp_path / "out/predictions.json").read_text())["annotations"]
    found = [row for row in rows if row["label"] == "unknown"]
    out = capsys.readouterr().out
    assert found and f"{len(found)} unknown objects beside them" in out
    assert f"1 picture, {len(rows) - len(found)} boxes" in out
    (task,) = json.loads((tmp_path / "out/label_studio.json").read_text())
    assert task["data"]["image"].startswith("https://x.org/")
    assert len(task["predictions"][0]["result"]) == len(found), "boxes without verdict are none"
    assert infer("--no-vis") == 0
    assert "unknown objects" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--unknown"], "unknown objects need a threshold"),
        (["--unknown-thr", 1], "--unknown-thr must lie in [0, 1)"),
        (["--unknown-thr", -0.1], "--unknown-thr must lie in [0, 1)"),
        (["--unknown=none", "--unknown-thr", 0.1], "--unknown=none finds no unknown objects"),
        (["--unknown=lost.txt", "--unknown-thr", 0.1], "lost.txt: no such vocabulary"),
        (["--unknown=data/emoji_world/id_names.txt", "--unknown-thr", 0.1], "names an ID class"),
        (["--unknown=data/emoji_world/atlas.json", "--unknown-thr", 0.1], "a vocabulary is a"),
    ],
)
def test_mistakes_are_one_sentence(infer, capsys, args, message):
    assert infer(*args) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err and "Loads checkpoint" not in err


def test_an_empty_vocabulary_is_named(infer, tmp_path, capsys):
    file = tmp_path / "empty.txt"
    file.touch()
    assert infer(f"--unknown={file}", "--unknown-thr", 0.1) == 2
    err = capsys.readouterr().err
    assert "empty.txt" in err and "Traceback" not in err
