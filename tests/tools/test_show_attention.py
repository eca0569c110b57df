"""The command that draws attention: pages, choices, mistakes."""

import pytest
from mmengine.logging import MMLogger
from PIL import Image

from tests.helpers.commands import run_tool
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS, draw_scenes
from tests.helpers.yolo_world import ROOT


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sorted((draw_scenes(tmp_path_factory.mktemp("scenes"), 2) / "id_val").glob("*.png"))


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    MMLogger._instance_dict.clear()  # writes to the standard error of the test that made it


def show(*args, config=CONFIG, weights=WEIGHTS):
    return run_tool("show_attention", config, weights, *args)


def test_a_page_for_each_image_of_a_folder(images, tmp_path, capsys):
    out = tmp_path / "out"
    assert show(images[0].parent, "--out-dir", out, "--words", "--device", "cpu") == 0
    assert "2 pages are in" in capsys.readouterr().out
    pages = sorted(out.iterdir())
    assert [page.name for page in pages] == [f"{file.stem}_attention.png" for file in images]
    wide, high = Image.open(pages[0]).size
    assert show(images[0], "--out-dir", out, "--path", "all", "--no-difference", "--cells") == 0
    wider, lower = Image.open(pages[0]).size
    assert "1 page is in" in capsys.readouterr().out
    assert wider > wide and lower < high, "four layers in place of three, two rows of three"


def test_labels_can_be_given_and_negatives_left_out(images, tmp_path, capsys):
    words = ["--classes", "dog", "cat", "--negatives", "fox", "--head", "0", "--range", "0", "1"]
    assert show(images[0], "--out-dir", tmp_path / "a", *words) == 0
    without = ["--negatives", "none", "--no-difference"]
    assert show(images[0], "--out-dir", tmp_path / "b", *without) == 0
    both, one = (Image.open(next((tmp_path / name).iterdir())).size[1] for name in "ab")
    assert one < both / 2


def test_files_of_one_name_and_unreadable_ones(images, tmp_path, capsys):
    first, second = tmp_path / "a.png", tmp_path / "a.jpg"
    first.write_bytes(images[0].read_bytes())
    Image.open(images[1]).convert("RGB").save(second)
    broken = tmp_path / "b.png"
    broken.write_bytes(first.read_bytes()[:300])
    strip = tmp_path / "strip.png"
    Image.new("RGB", (2000, 3)).save(strip)
    out = tmp_path / "out"
    assert show(first, broken, strip, second, "--out-dir", out) == 1
    err = capsys.readouterr().err
    assert f"{broken}: the file is truncated" in err
    assert f"{strip}: 2000x3 pixels, which the test pipeline cannot prepare" in err
    assert sorted(page.name for page in out.iterdir()) == [
        "a.jpg_attention.png",
        "a_attention.png",
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--head", "7"], "head 7 does not exist"),
        (["--range", "1", "0"], "must be rising"),
        (["--negatives", "lost.json"], "lost.json: no such label bank"),
        (["--classes", "dog"], "give negatives for yours"),
    ],
)
def test_mistakes_are_one_sentence(images, tmp_path, capsys, args, message):
    assert show(images[0], "--out-dir", tmp_path / "out", *args) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_lost_files_and_a_folder_in_the_way_are_named(images, tmp_path, capsys):
    assert show(tmp_path / "lost.png") == 2
    assert "lost.png' does not exist" in capsys.readouterr().err
    assert show(images[0], weights="lost.pth") == 2
    assert "'lost.pth' does not exist" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert show(images[0], "--out-dir", tmp_path / "file/out") == 2
    out, err = capsys.readouterr()
    assert "cannot be written" in err
