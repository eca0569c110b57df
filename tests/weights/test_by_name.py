"""Released weights by name: in commands, in the Inferencer, in errors and in data/README.md."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.config import Config

from negas.apis import Inferencer
from negas.compat.checkpoint import load_checkpoint
from negas.experiments.preflight import check_checkpoint
from negas.models.checkpoint import check_base
from negas.weights import by_name, released
from negas.weights.by_name import local_weights, named_detector
from negas.weights.released import RELEASED, find_released, how_to_get
from tests.helpers.commands import run_tool, tool_said
from tests.helpers.file_server import file_server
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS, draw_scenes
from tests.helpers.tiny_coco import emoji_project
from tests.helpers.yolo_world import ROOT

PAGE = (ROOT / "data/README.md").read_text().partition("## Weights")[2]


def each(*items):
    return pytest.mark.parametrize("one", items or RELEASED, ids=lambda one: one.name)


def test_names_and_files_are_distinct_and_addresses_official():
    assert len({one.name for one in RELEASED}) == len({one.file for one in RELEASED})
    assert len({one.file.lower() for one in RELEASED}) == len(RELEASED)
    for one in RELEASED:
        assert re.fullmatch("[0-9a-f]{8}", one.sha256)
        assert one.address.startswith(
            ("https://huggingface.co/wondervictor/", "https://download.openmmlab.com/")
        )


@each()
def test_config_takes_this_file_and_the_page_lists_it(one):
    cfg = Config.fromfile(one.config)
    assert cfg.model.base_checkpoint == f"checkpoints/{one.file}"
    folder, _, file = one.address.rpartition("/")
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{one.name}` ")]
    assert f"`{file}`" in row
    if "openmmlab" in folder:
        assert folder.removeprefix("https://download.openmmlab.com/mmdetection/v3.0/") in row
        assert one.file == file
    else:
        assert f"`{one.file}`" in row and folder.removeprefix("https://").split("/res")[0] in PAGE


def test_the_page_lists_nothing_else():
    names = re.findall(r"^\| `([\w.-]+)` \|", PAGE, flags=re.MULTILINE)
    assert sorted(names) == sorted(one.name for one in RELEASED)


@pytest.mark.parametrize("look", [check_checkpoint, load_checkpoint, check_base])
@each(RELEASED[0], RELEASED[-1])
def test_missing_released_files_name_the_command(look, one):
    for file in {one.file, one.address.rpartition("/")[2]}:
        with pytest.raises(FileNotFoundError, match=f"negas download {one.name}`"):
            look(f"elsewhere/{file}")


def test_other_names():
    assert "negas download" not in how_to_get("epoch_30.pth")
    with pytest.raises(ValueError, match="; did you mean yolo-world-v2-s or "):
        find_released("yolo-world-v2-ss")


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A name whose weights a local server has, in a folder of its own."""
    monkeypatch.chdir(ROOT)  # the config's own files
    monkeypatch.setattr(by_name, "FOLDER", str(tmp_path / "checkpoints"))
    for key in ("WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(key, raising=False)
    with file_server(WEIGHTS.read_bytes()) as server:
        server.one = replace(RELEASED[0], name="tiny", file="tiny.pth", address=server.address)
        monkeypatch.setattr(released.Released, "sha256", "")
        monkeypatch.setattr(released, "RELEASED", (server.one,))
        monkeypatch.setattr(released.Released, "config", ROOT / CONFIG)
        yield server


def test_a_name_becomes_a_file_that_is_fetched_once_and_said(tiny, capsys, tmp_path):
    path = str(tmp_path / "checkpoints/tiny.pth")
    for _ in range(2):
        assert local_weights("tiny") == path
    said = capsys.readouterr().out
    assert len(tiny.asked) == 1 and said.startswith(f"downloading {tiny.address} (")
    assert f"written to {path}" in said
    assert named_detector("tiny") == (str(ROOT / CONFIG), "tiny")


def test_paths_and_addresses_stay(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").write_bytes(b"")
    for text in ("tiny", "other", "a/b.pth", "http://127.0.0.1/x.pth"):
        assert local_weights(text) == text
    assert tiny.asked == []


@pytest.mark.parametrize("key", ["WORLD_SIZE", "SLURM_NTASKS"])
def test_one_of_several_processes_fetches_nothing(tiny, monkeypatch, key):
    monkeypatch.setenv(key, "2")
    with pytest.raises(FileNotFoundError, match="negas download tiny`"):
        local_weights("tiny")
    assert tiny.asked == []


def test_a_config_that_is_not_installed(tiny, monkeypatch):
    monkeypatch.setattr(released.Released, "config", Path("none.py"))
    with pytest.raises(FileNotFoundError, match="none.py' is not here; give a config"):
        named_detector("tiny")
    assert tiny.asked == []


def test_the_command(tiny, capsys, tmp_path):
    code, out, _ = tool_said(capsys, "download", "--list", "--dir", tmp_path)
    assert (code, out) == (0, f"tiny: tiny.pth\n  {tiny.address}\n") and tiny.asked == []
    code, out, _ = tool_said(capsys, "download", "tiny", "--dir", tmp_path / "here")
    assert code == 0 and (tmp_path / "here/tiny.pth").read_bytes() == tiny.data
    code, out, _ = tool_said(capsys, "download", "--list", "--dir", tmp_path / "here")
    assert "tiny.pth, is there" in out
    code, _, err = tool_said(capsys, "download")
    assert code == 2 and "give some of --list" in err
    code, _, err = tool_said(capsys, "download", "tiny", "tinny", "--dir", tmp_path)
    assert code == 2 and "did you mean tiny?" in err and len(tiny.asked) == 1


def test_the_command_refuses_a_wrong_sum(tiny, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(released.Released, "sha256", "0" * 8)
    code, _, err = tool_said(capsys, "download", "tiny", "--dir", tmp_path)
    assert code == 2 and "its SHA-256 begins with" in err and "--no-check" in err
    code, out, _ = tool_said(capsys, "download", "tiny", "--dir", tmp_path, "--no-check")
    assert code == 0 and "warning" in out and len(tiny.asked) == 1


def test_the_inferencer_takes_a_name_alone_or_as_weights(tiny, tmp_path):
    image = draw_scenes(tmp_path / "scenes", 1) / "id_val"
    options = dict(device="cpu", show_progress=False)
    whole = Inferencer(CONFIG, WEIGHTS, **options)(str(image))["predictions"][0]
    for given in (("tiny",), (CONFIG, "tiny")):
        found = Inferencer(*given, **options)
        assert found.weights == str(tmp_path / "checkpoints/tiny.pth")
        (one,) = found(str(image))["predictions"]
        assert len(one) == len(whole) > 0 and (one.id_score == whole.id_score).all()
    assert len(tiny.asked) == 1
    with pytest.raises(ValueError, match="'x.py' .*; there are emoji-world, tiny"):
        Inferencer("x.py", **options)
    with pytest.raises(ValueError, match="give a checkpoint"):
        Inferencer(Config(), **options)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            ("infer", "a.png", "emoji-wrld"),
            "'emoji-wrld' (a config takes a checkpoint beside it); did you mean emoji",
        ),
        (("test", "yolo-world-v2-sm"), "did you mean yolo-world-v2-s or yolo-world-v2-"),
        (("calibrate", CONFIG), "no detector is called 'configs"),
        (("infer", "emoji-world", "a.png"), "comes first: negas infer a.png emoji-world"),
    ],
)
def test_a_wrong_name_is_one_sentence_with_the_near_ones(capsys, line, says):
    code, _, error = tool_said(capsys, *line)
    assert code == 2 and error.startswith("error: ") and says in error.splitlines()[0]


@pytest.mark.slow
def test_commands_take_a_name_alone_from_any_folder(tmp_path, monkeypatch, tiny):
    monkeypatch.chdir(tmp_path)
    scenes = draw_scenes(tmp_path / "scenes", 4)
    for name in ("emoji-world", "tiny"):
        assert run_tool("infer", scenes / "id_val", name, "--out-dir", name) == 0
        assert '"image_id"' in Path(name, "predictions.json").read_text()
    assert len(tiny.asked) == 1
    found = ("--ann-file", scenes / "annotations/id_val.json", "--img-dir", scenes / "id_val")
    loader = {"test_dataloader.num_workers": 0, "test_dataloader.persistent_workers": False}
    loader |= {"val_dataloader": "None"}
    given = ("calibrate", "emoji-world", *found, "--out", "a.json")
    assert run_tool(*given, options=loader) == 0 and Path("a.json").is_file()
    for split in ("id_val", "id_val_clean", "id_test", "near_ood", "far_ood"):
        draw_scenes(tmp_path / "data/emoji_world/scenes", 2, split)
    assert run_tool("test", "--work-dir", "work", "emoji-world") == 0
    assert Path("work/ood_results.json").is_file()


@pytest.mark.slow
def test_commands_take_a_name_as_checkpoint(tiny, tmp_path):
    image = draw_scenes(tmp_path / "scenes", 4) / "id_val"
    boxes = ("--ann-file", tmp_path / "scenes/annotations/id_val.json", "--img-dir", image)
    loader = {"test_dataloader.num_workers": 0, "test_dataloader.persistent_workers": False}
    loader |= {"val_dataloader": "None"}
    assert run_tool("calibrate", CONFIG, "tiny", *boxes, options=loader) == 0
    assert (tmp_path / "checkpoints/tiny.pth.calibration.json").is_file()
    assert run_tool("infer", image, CONFIG, "tiny", "--out-dir", tmp_path / "out") == 0
    assert '"calibrated": true' in (tmp_path / "out/predictions.json").read_text()
    assert len(tiny.asked) == 1


@pytest.mark.slow
def test_the_test_takes_a_name_as_checkpoint(tiny, tmp_path):
    config = emoji_project(tmp_path, count=3)
    assert run_tool("test", config, "tiny", "--work-dir", tmp_path / "work") == 0
    assert (tmp_path / "work/ood_results.json").is_file() and len(tiny.asked) == 1
