"""Stored splits: byte-for-byte repeatable, checked by hash, repaired, clear errors."""

import hashlib
import json
from pathlib import Path

import cv2
import pytest

from negas.datasets.emoji_world.dataset import ID_NAMES
from negas.datasets.emoji_world.splits import SPLITS, SplitWriter
from negas.datasets.emoji_world.store import ensure_split
from tests.helpers.commands import call_tool

DATA = Path("data/emoji_world")


def writer(name="near_ood", num=5, seed=0):
    return SplitWriter(SPLITS[name], DATA, num, seed)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_two_generations_are_equal(tmp_path):
    for folder in ("a", "b"):
        assert ensure_split(writer(), tmp_path / folder) == "made"
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    ensure_split(writer(seed=1), tmp_path / "c")
    assert not digests(tmp_path / "a").items() <= digests(tmp_path / "c").items()


def test_intact_sets_are_not_touched(tmp_path):
    ensure_split(writer(), tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert ensure_split(writer(), tmp_path) == "intact"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_unlabelled_objects_stand_beside_the_annotations(tmp_path):
    """No reader of COCO meets them, and they are where the scene has them."""
    ensure_split(writer("id_test", 4), tmp_path)
    stored = json.loads((tmp_path / "annotations/id_test.json").read_text())
    made = writer("id_test", 4)
    scenes = {i: made.scene(i) for i in range(1, 5)}
    expected = [
        (i, name, box.tolist())
        for i, scene in scenes.items()
        for name, box in zip(scene.unlabelled_names, scene.unlabelled_boxes, strict=True)
    ]
    found = [
        (o["image_id"], o["name"], [x, y, x + w, y + h])
        for o in stored["unlabelled"]
        for x, y, w, h in [o["bbox"]]
    ]
    assert found == expected and expected
    assert len(stored["annotations"]) == sum(len(scene.names) for scene in scenes.values())
    ensure_split(writer("id_test_clean", 1), tmp_path)
    assert "unlabelled" not in json.loads((tmp_path / "annotations/id_test_clean.json").read_text())


@pytest.mark.parametrize(
    "victim",
    ["near_ood/000003.png", "annotations/near_ood.json", "annotations/near_ood_noann.json"],
)
@pytest.mark.parametrize("damage", ["cut", "delete"])
def test_damage_is_repaired(tmp_path, victim, damage):
    ensure_split(writer(), tmp_path)
    before, path = digests(tmp_path), tmp_path / victim
    path.write_bytes(path.read_bytes()[:40]) if damage == "cut" else path.unlink()
    assert ensure_split(writer(), tmp_path) == "repaired"
    assert digests(tmp_path) == before
    assert ensure_split(writer(), tmp_path) == "intact"


@pytest.mark.parametrize("manifest", ["{", "[]", '{"recipe": 1, "files": {}}'])
def test_half_made_or_unreadable_is_finished(tmp_path, manifest):
    ensure_split(writer(), tmp_path)
    before, path = digests(tmp_path), tmp_path / "manifest" / "near_ood.json"
    path.write_text(manifest)
    (tmp_path / "near_ood" / "000004.png").unlink()
    assert ensure_split(writer(), tmp_path) in {"made", "repaired"}
    assert digests(tmp_path) == before


def test_bytes_that_this_machine_cannot_redraw_mean_a_new_set(tmp_path):
    ensure_split(writer(), tmp_path)
    before, path = digests(tmp_path), tmp_path / "manifest" / "near_ood.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["near_ood/000002.png"] = "0" * 64
    path.write_text(json.dumps(manifest))
    assert ensure_split(writer(), tmp_path) == "repaired"
    assert digests(tmp_path) == before


def test_a_smaller_or_other_set_replaces_the_old_one(tmp_path):
    ensure_split(writer(num=5), tmp_path)
    ensure_split(writer(num=3), tmp_path)
    assert len(list((tmp_path / "near_ood").iterdir())) == 3
    assert ensure_split(writer(num=3, seed=1), tmp_path) == "made"


@pytest.mark.parametrize("name", ["id_test", "far_ood"])
def test_coco_json(tmp_path, name):
    small = writer(name)
    ensure_split(small, tmp_path)
    coco = json.loads((tmp_path / "annotations" / f"{name}.json").read_text())
    assert [image["id"] for image in coco["images"]] == [1, 2, 3, 4, 5]
    assert [row["id"] for row in coco["annotations"]] == list(
        range(1, len(coco["annotations"]) + 1)
    )
    assert [category["name"] for category in coco["categories"]] == small.names
    assert {row["image_id"] for row in coco["annotations"]} == {1, 2, 3, 4, 5}
    for row in coco["annotations"]:
        left, top, width, height = row["bbox"]
        assert 0 <= left < left + width <= 160 and 0 <= top < top + height <= 160
        assert row["area"] == width * height
    for image in coco["images"]:
        assert cv2.imread(str(tmp_path / name / image["file_name"])).shape == (160, 160, 3)
    twin = tmp_path / "annotations" / f"{name}_noann.json"
    assert twin.exists() == (name == "far_ood")
    if twin.exists():
        empty = json.loads(twin.read_text())
        assert empty["annotations"] == [] and empty["images"] == coco["images"]
        assert tuple(category["name"] for category in empty["categories"]) == ID_NAMES


def test_progress_counts_every_image(tmp_path):
    for _ in range(2):
        done = []
        ensure_split(writer(), tmp_path, done.append)
        assert sum(done) == 5


def test_the_command(tmp_path, capsys):
    options = ["--out", tmp_path, "--splits", "id_val", "near_ood_strict", "--num", 2]
    assert call_tool("make_emoji_world", *options) == 0
    assert "made: id_val, near_ood_strict" in capsys.readouterr().out
    assert call_tool("make_emoji_world", *options) == 0
    assert "intact: id_val, near_ood_strict" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options,sentence",
    [
        (["--out", "{tmp}/file/scenes"], "--out"),
        (["--data", "{tmp}"], "classes.json: there is no such file"),
        (["--num", "0"], "--num must be at least 1, got 0"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
    ],
)
def test_user_errors_are_one_sentence(tmp_path, capsys, options, sentence):
    (tmp_path / "file").write_text("in the way")
    assert call_tool("make_emoji_world", *(option.format(tmp=tmp_path) for option in options)) == 2
    error = capsys.readouterr().err.splitlines()[0]
    assert error.startswith("error: ") and sentence in error


def test_a_split_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit):
        call_tool("make_emoji_world", "--splits", "test")
    assert "invalid choice: 'test'" in capsys.readouterr().err


def test_pictures_of_others_stay(tmp_path):
    """They are numbered as a split's."""
    other = tmp_path / "near_ood" / "000009.png"
    other.parent.mkdir()
    other.write_bytes(b"a holiday")
    with pytest.raises(FileExistsError, match="give another folder"):
        ensure_split(writer(), tmp_path)
    assert other.read_bytes() == b"a holiday" and len(digests(tmp_path)) == 1


def test_a_split_that_was_cut_off_is_made_anew(tmp_path, monkeypatch):
    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_split(writer(), tmp_path, stop)
    assert ensure_split(writer(), tmp_path) == "made"
    ensure_split(writer(), tmp_path / "whole")
    whole = digests(tmp_path / "whole")
    assert {name: digests(tmp_path)[name] for name in whole} == whole


def test_another_seed_is_no_repair(tmp_path):
    ensure_split(writer(), tmp_path)
    assert ensure_split(writer(seed=1), tmp_path) == "made"
