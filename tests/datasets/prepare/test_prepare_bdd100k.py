"""BDD100K labels of 2018 and 2020 to COCO json."""

import json

import pytest

from negas.datasets.prepare.bdd100k import prepare_bdd100k, read_frames
from negas.datasets.prepare.id_classes import BDD100K
from tests.datasets.prepare.official_files import bdd_frame, write_json

BOX = (10.5, 20.0, 110.75, 220.0)


@pytest.fixture
def labels_2018(tmp_path):
    folder = tmp_path / "labels"
    train = [bdd_frame(f"{i:04d}.jpg", ("car", BOX), lanes=True) for i in range(8)]
    val = [bdd_frame("v.jpg", ("person", BOX), ("bike", BOX), ("motor", BOX), lanes=True)]
    write_json(folder / "bdd100k_labels_images_train.json", train)
    write_json(folder / "bdd100k_labels_images_val.json", val)
    return folder


def load(path):
    return json.loads(path.read_text())


def names_in(data):
    names = {row["id"]: row["name"] for row in data["categories"]}
    return [names[row["category_id"]] for row in data["annotations"]]


def test_names_of_2018_become_those_of_2020(labels_2018, tmp_path):
    results = prepare_bdd100k(labels_2018, tmp_path / "out", holdout=3)
    data = load(tmp_path / "out" / "bdd100k_val.json")
    assert names_in(data) == ["pedestrian", "bicycle", "motorcycle"]
    assert [row["name"] for row in data["categories"]] == list(BDD100K)
    assert data["images"] == [dict(id=1, file_name="v.jpg", width=1280, height=720)]
    assert [row["id"] for row in data["annotations"]] == [1, 2, 3]
    assert data["annotations"][0]["bbox"] == [10.5, 20.0, 100.25, 200.0]
    assert "1 area/drivable, 1 lane" in results[-1].notes[0]


def test_both_releases_give_the_same_boxes(labels_2018, tmp_path):
    frames = [bdd_frame("v.jpg", ("pedestrian", BOX), ("bicycle", BOX), ("motorcycle", BOX))]
    frames[0]["labels"].append(dict(category="other vehicle", box2d=dict(x1=0, y1=0, x2=1, y2=1)))
    frames.append(dict(name="empty.jpg", labels=None))
    new = write_json(tmp_path / "det_20" / "det_val.json", frames)
    old_frames, _ = read_frames(labels_2018 / "bdd100k_labels_images_val.json")
    new_frames, left_out = read_frames(new)
    assert new_frames[0] == old_frames[0]
    assert new_frames[1] == dict(name="empty.jpg", boxes=[])
    assert left_out == {"other vehicle": 1}


def test_holdout_and_train_share_no_image_and_do_not_change(labels_2018, tmp_path):
    results = prepare_bdd100k(labels_2018, tmp_path / "out", holdout=3)
    files = [
        {image["file_name"] for image in load(result.path)["images"]} for result in results[:2]
    ]
    assert [len(names) for names in files] == [5, 3]
    assert not files[0] & files[1]
    assert results[0].checks[0].got == 8 and results[0].checks[0].known == 69863
    again = prepare_bdd100k(labels_2018, tmp_path / "out", holdout=3)
    assert [result.is_new for result in again] == [False] * 3
    assert [r.path.name for r in prepare_bdd100k(labels_2018, tmp_path / "all", holdout=0)] == [
        "bdd100k_train.json",
        "bdd100k_val.json",
    ]
    with pytest.raises(ValueError, match="holdout=8.*expected 0 to 7"):
        prepare_bdd100k(labels_2018, tmp_path / "out", holdout=8)


def test_missing_labels_are_named_with_their_source(tmp_path):
    with pytest.raises(FileNotFoundError, match="det_train.json.*bdd-data.berkeley.edu"):
        prepare_bdd100k(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([bdd_frame("a.jpg", ("cars", BOX))], "image 'a.jpg' has category 'cars'"),
        ([bdd_frame("a.jpg", ("car", (float("nan"), 0, 1, 1)))], "not valid JSON"),
        ([bdd_frame("a.jpg", ("car", (5, 0, 1, 1)))], "expected finite x1 <= x2"),
        ([dict(name="a.jpg", labels=[dict(category="car")])], "box2d None"),
        ([dict(name="a.jpg", labels=[dict(box2d={})])], "label without a category"),
        ([dict(labels=[])], "entry 0 has no name"),
        ([dict(name="a.jpg", labels=3)], "'a.jpg' has labels=3"),
        ([bdd_frame("a.jpg"), bdd_frame("a.jpg")], "'a.jpg' twice"),
        ([], "lists no images"),
        ({}, "expected a JSON list"),
    ],
)
def test_malformed_labels(tmp_path, frames, message):
    with pytest.raises(ValueError, match=message):
        read_frames(write_json(tmp_path / "det_val.json", frames))


def test_a_cut_file(tmp_path):
    path = write_json(tmp_path / "det_val.json", [bdd_frame("a.jpg", ("car", BOX))])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="cut short"):
        read_frames(path)


@pytest.mark.parametrize("file", ["det_val.json", "bdd100k_labels_images_val.json"])
def test_crowds_stay_crowds(tmp_path, file):
    """As in the official converter; other attributes and labels without any say nothing."""
    given = [dict(crowd=True), dict(crowd=False, occluded=True, truncated=True), {}, None]
    frame = bdd_frame("v.jpg", *[("car", BOX)] * 4)
    for label, attributes in zip(frame["labels"], given, strict=True):
        label["attributes"] = attributes
    write_json(tmp_path / file, [frame])
    write_json(tmp_path / file.replace("val", "train"), [bdd_frame("t.jpg", ("car", BOX))])
    *_, result = prepare_bdd100k(tmp_path, tmp_path / "out", holdout=0)
    assert [row["iscrowd"] for row in load(result.path)["annotations"]] == [1, 0, 0, 0]
    assert result.counts["crowds among them"] == 1
    frame["labels"][0]["attributes"] = dict(crowd="maybe")
    with pytest.raises(ValueError, match=r"v\.jpg.*attributes\.crowd='maybe'"):
        read_frames(write_json(tmp_path / "other.json", [frame]))
