"""Inference that is stopped, file names of any bytes, and outputs beside inputs."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from mmengine.logging import MMLogger

from negas.apis.outputs import Journal, Painted
from negas.predictions.file import PredictionsFile
from tests.helpers.commands import environment, run_tool
from tests.helpers.killed import Killed as DiskKilled
from tests.helpers.killed import killed_at
from tests.helpers.made_results import make
from tests.helpers.shipped_emoji import CONFIG, copy_weights, draw_scenes
from tests.helpers.yolo_world import ROOT


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    files = sorted((draw_scenes(tmp_path_factory.mktemp("scenes")) / "id_val").glob("*.png"))[:5]
    folder = tmp_path_factory.mktemp("few")
    for file in files:
        shutil.copy(file, folder)
    return folder


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    MMLogger._instance_dict.clear()  # writes to the standard error of the test that made it
    return copy_weights(tmp_path)


def infer(source, weights, out, *args):
    return run_tool("infer", source, CONFIG, weights, "--out-dir", out, "--calibration=none", *args)


def stop_after(count, monkeypatch, error):
    """Stop when so many pictures are painted."""
    done = []
    paint = Painted.add

    def add(self, picture, drawn):
        if len(done) == count:
            raise error
        done.append(picture.name)
        paint(self, picture, drawn)

    monkeypatch.setattr(Painted, "add", add)
    return done


class Killed(BaseException):
    """What stands for SIGKILL here."""


def test_what_is_made_before_a_kill_is_kept_and_gone_on_with(
    images, weights, tmp_path, monkeypatch, capsys
):
    assert infer(images, weights, tmp_path / "whole", "--resume") == 0  # nothing there: from 0
    whole = (tmp_path / "whole/predictions.json").read_bytes()
    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(PredictionsFile, "save", lambda *args: None)
        stop_after(3, patch, Killed())
        infer(images, weights, out)
    assert sorted(os.listdir(out)) == [".infer.lock", "predictions.jsonl", "vis"]
    with (out / "predictions.jsonl").open("a") as file:
        file.write('{"size": [')  # a kill may leave half a line
    with monkeypatch.context() as patch:
        done = stop_after(9, patch, Killed())
        assert infer(images, weights, out, "--resume") == 0
    assert len(done) == 2 and (out / "predictions.json").read_bytes() == whole
    assert sorted(os.listdir(out)) == [".infer.lock", "predictions.json", "vis"]
    assert len(os.listdir(out / "vis")) == 5
    capsys.readouterr()


def test_ctrl_c_writes_both_files_and_resume_refuses_other_settings(
    images, weights, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_after(2, patch, KeyboardInterrupt())
        assert infer(images, weights, out) == 130
    found = json.loads((out / "predictions.json").read_text())
    assert len(found["images"]) == 3 and found["info"]["complete"] is False
    for other, said in (
        (["--score-thr", "0.7"], "another confidence cut"),
        (["--negatives", "zebra,tram"], "another neg labels"),
    ):
        capsys.readouterr()
        assert infer(images, weights, out, "--resume", *other) == 2
        err = capsys.readouterr().err
        assert said in err and "predictions.jsonl" in err and "without --resume" in err
    changed = tmp_path / "changed"
    shutil.copytree(images, changed)
    with monkeypatch.context() as patch:
        stop_after(2, patch, KeyboardInterrupt())
        infer(changed, weights, out)
    first = min(changed.iterdir())
    shutil.copyfile(max(changed.iterdir()), first)  # not the picture it was
    with monkeypatch.context() as patch:
        done = stop_after(9, patch, KeyboardInterrupt())
        assert infer(changed, weights, out, "--resume") == 0
    assert first.name in done and len(done) == 4
    capsys.readouterr()


def test_one_strange_name_does_not_lose_the_others(images, weights, tmp_path, capsys):
    folder = tmp_path / "in"
    shutil.copytree(images, folder)
    source = os.fsencode(min(images.iterdir()))
    names = [b"bad\xff\x1b[31m.png", b"y" * 251 + b".png", "日本.JFIF".encode()]
    for name in names:
        shutil.copy(source, os.path.join(os.fsencode(folder), name))
    (folder / "note.txt").touch()
    (folder / "cut.png").write_bytes(b"\x89PNG")
    (folder / os.fsdecode(b"cut\xff\x1b.png")).touch()
    (folder / "dead.jpg").symlink_to("nowhere")
    assert infer(folder, weights, tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert "left out: 1 .txt, 1 dead link" in err and "\x1b" not in err and r"cut\udcff\x1b" in err
    found = json.loads((tmp_path / "out/predictions.json").read_text(encoding="utf-8"))
    assert len(found["images"]) == 8
    assert all(os.path.isfile(image["file_name"]) for image in found["images"])
    assert len(found["info"]["unreadable"]) == 2
    assert len(os.listdir(tmp_path / "out/vis")) == 8


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_pictures_are_not_painted_over(images, weights, tmp_path, capsys, link):
    folder = tmp_path / "out/vis"
    if link is None:
        shutil.copytree(images, folder)
        source = folder
    else:
        folder.mkdir(parents=True)
        source = tmp_path / "in"
        shutil.copytree(images, source)
        link(max(source.iterdir()), folder / max(source.iterdir()).name)
    before = {file.name: file.read_bytes() for file in source.iterdir()}
    assert infer(source, weights, tmp_path / "out") == 2
    assert "--out-dir: " in (err := capsys.readouterr().err) and "is an input" in err
    assert {file.name: file.read_bytes() for file in source.iterdir()} == before
    assert infer(source, weights, tmp_path / "out", "--no-vis") == 0
    capsys.readouterr()


def test_pages_of_attention_do_not_land_on_pictures(images, weights, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "a_attention.png"):
        shutil.copy(min(images.iterdir()), folder / name)
    before = (folder / "a_attention.png").read_bytes()
    assert run_tool("show_attention", CONFIG, weights, folder, "--out-dir", folder) == 2
    assert "is an input" in capsys.readouterr().err
    assert (folder / "a_attention.png").read_bytes() == before


def test_a_label_that_is_too_long_is_not_blamed_on_the_pictures(images, weights, tmp_path, capsys):
    label = "very " * 90 + "cat"
    args = ["--classes", f"dog,{label}", "--negatives", "none", "--no-vis"]
    assert infer(images, weights, tmp_path / "out", *args) == 2
    err = capsys.readouterr().err
    assert "tokens" in err and "no input" not in err and ".png" not in err


def test_what_a_kill_leaves_of_the_journal_is_never_in_the_way(tmp_path):
    about = dict(checkpoint_sha256="a")
    picture = tmp_path / "a.png"
    picture.write_bytes(b"x")
    Journal(tmp_path, about, resume=False).add(make(file_name=str(picture)))
    kept = (tmp_path / "predictions.jsonl").read_bytes()
    for left, rows in [
        (b"", 0),  # killed between the opening and the first line
        (kept[:5], 0),
        (kept, 1),
        (kept + b'3\n"x"\n{"stamp": 1}\n{"results": {}}\n{"res', 1),
    ]:
        (tmp_path / "predictions.jsonl").write_bytes(left)
        assert len(Journal(tmp_path, about, resume=True).results) == rows, left
    with killed_at(0), pytest.raises(DiskKilled):
        Journal(tmp_path, about, resume=True)
    assert len(Journal(tmp_path, about, resume=True).results) == 1, "nothing was lost"


def test_two_runs_do_not_write_to_one_folder(images, weights, tmp_path, capsys):
    code = "import sys, time; from negas.files.locks import lock_file; lock_file(sys.argv[1], '')"
    code += "; print('held', flush=True); time.sleep(60)"
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", code, str(tmp_path / "out/.infer.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as first:
        try:
            assert first.stdout.readline() == b"held\n"
            assert infer(images, weights, tmp_path / "out") == 2
            assert f"process {first.pid}" in (err := capsys.readouterr().err) and "writes to" in err
        finally:
            first.kill()
    assert infer(images, weights, tmp_path / "out", "--no-vis") == 0
    capsys.readouterr()
