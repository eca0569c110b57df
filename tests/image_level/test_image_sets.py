"""Sets from folders, lists and COCO files: whole images, annotated and detected crops."""

import json

import numpy as np
import pytest
from PIL import Image

from negas.embeddings.images import ImageItem
from negas.files import write_json
from negas.image_level.image_sets import read_coco, read_folder, read_list
from negas.records import BoxRecords
from tests.helpers.fake_runs import bare_results

NAMES = ("cat", "potted plant")


def save(path, size=(60, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path)
    return str(path)


@pytest.fixture
def coco(tmp_path):
    """Two images; on a.png a cat, a small cat, a crowd of cats and a zebra, on b.png a plant."""
    for name in "ab":
        save(tmp_path / "img" / f"{name}.png")
    categories = [dict(id=7, name="Cat"), dict(id=8, name="zebra"), dict(id=9, name="potted plant")]
    boxes = [
        (1, 7, [20, 0, 20, 30], {}),
        (1, 7, [0, 0, 30, 10], {}),
        (1, 7, [0, 0, 30, 30], dict(iscrowd=1)),
        (1, 8, [5, 5, 30, 20], {}),
        (2, 9, [0, 0, 16, 16], {}),
    ]
    annotations = [
        dict(id=i, image_id=image, category_id=category, bbox=box, **more)
        for i, (image, category, box, more) in enumerate(boxes, 1)
    ]
    data = dict(
        images=[dict(id=1, file_name="a.png"), dict(id=2, file_name="b.png")],
        annotations=annotations,
        categories=[*categories, dict(id=10, name="unused")],
    )
    (tmp_path / "ann.json").write_text(json.dumps(data))
    return tmp_path


def read(coco, is_id=True, **options):
    return read_coco("set", coco / "ann.json", coco / "img", NAMES, is_id, **options)


def test_folders_are_searched_and_sorted(tmp_path):
    paths = [save(tmp_path / name) for name in ("b/2.JPG", "b/1.png", "a.webp")]
    (tmp_path / "notes.txt").write_text("no image")
    found = read_folder("set", tmp_path)
    assert [item.path for item in found.items] == sorted(paths)
    assert all(item.labels == () and item.box is None for item in found.items)


@pytest.mark.parametrize(
    ("folders", "labels"),
    [(("potted_plant", "cat"), [1, 0]), (("n02", "n01"), [1, 0]), (("Cat", "cat"), [0, 0])],
)
def test_sub_folders_are_classes_by_name_or_by_order(tmp_path, folders, labels):
    paths = [save(tmp_path / folder / "x.png") for folder in folders]
    found = {item.path: item.labels for item in read_folder("train", tmp_path, NAMES).items}
    assert found == {path: (label,) for path, label in zip(paths, labels, strict=True)}


def test_folders_that_do_not_fit_are_refused(tmp_path):
    save(tmp_path / "strange" / "x.png")
    with pytest.raises(ValueError, match="1 sub-folders for 2 ID classes, and 'strange'"):
        read_folder("train", tmp_path, NAMES)
    with pytest.raises(FileNotFoundError, match="of the set 'x' does not exist"):
        read_folder("x", tmp_path / "lost")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="the set 'x' is empty"):
        read_folder("x", tmp_path / "empty")


def test_lists_in_openoods_format(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("sub/a b.png 3\n\nc.png -1\nno label.png\nplain.png\n", encoding="utf-8")
    found = read_list("set", file, "root").items
    assert [(item.path, item.labels) for item in found] == [
        ("root/sub/a b.png", (3,)),
        ("root/c.png", ()),
        ("root/no label.png", ()),
        ("root/plain.png", ()),
    ]
    assert read_list("set", file).items[1].path == str(tmp_path / "c.png")
    file.write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        read_list("set", file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not UTF-8 text"):
        read_list("set", file)


def test_whole_images_of_a_coco_file(coco):
    found = read(coco)
    assert [item.labels for item in found.items] == [(0,), (1,)]
    assert [item.path for item in found.items] == [str(coco / "img" / f"{n}.png") for n in "ab"]
    assert found.class_names == ("zebra",)  # occurs, and is no ID class


def test_annotated_crops_of_id_and_of_other_classes(coco):
    found = read(coco, view="gt_crops")
    a, b = (str(coco / "img" / f"{n}.png") for n in "ab")
    assert found.items == [
        ImageItem(a, (20, 0, 40, 30), (0,)),
        ImageItem(b, (0, 0, 16, 16), (1,)),
    ]
    width, height = found.items[0].load().size
    assert height == 33 and width in (32, 33)  # square but for rounding, with a margin of 5%
    others = read(coco, is_id=False, view="gt_crops").items
    assert others == [ImageItem(a, (5, 5, 35, 25))]
    with pytest.raises(ValueError, match="no box of at least 50 pixels"):
        read(coco, view="gt_crops", min_size=50)


def records(path, image_ids=(2, 1, 1), boxes=((0, 0, 20, 20), (1, 1, 30, 30), (2, 2, 9, 9))):
    count = len(image_ids)
    BoxRecords(
        np.array(image_ids),
        np.array(boxes, np.float32),
        np.zeros(count, int),
        np.array([0.9, 0.5, 0.8][:count]),
        np.zeros((count, 2)),
    ).save(path)
    return path


def test_detected_crops_of_records(coco):
    file = records(coco / "run" / "records" / "id.npz")
    with pytest.raises(ValueError, match="no confidence cut is known"):
        read(coco, view="detected_crops", detections=file)
    write_json(coco / "run" / "ood_results.json", bare_results(["id", "near"], cut=0.6))
    found = read(coco, view="detected_crops", detections=file)
    b = str(coco / "img" / "b.png")
    assert found.items == [ImageItem(b, (0, 0, 20, 20), record=0)]
    assert found.source["min_score"] == 0.6
    found = read(coco, view="detected_crops", detections=file, min_score=0.4, min_size=5)
    assert [item.record for item in found.items] == [1, 2, 0]


def test_detected_crops_of_coco_results(coco):
    rows = [dict(image_id=1, category_id=7, bbox=[0, 0, 20, 30], score=0.7)]
    (coco / "det.json").write_text(json.dumps(rows))
    options = dict(view="detected_crops", detections=coco / "det.json", min_score=0.5)
    (item,) = read(coco, **options).items
    assert item == ImageItem(str(coco / "img" / "a.png"), (0, 0, 20, 30))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{}", "a list of detections"),
        ("[", "not valid JSON"),
        ('[{"image_id": 1}]', "result 0 is no COCO detection"),
        ('[{"image_id": 5, "bbox": [0, 0, 20, 20], "score": 1}]', "belong to another set"),
        ('[{"image_id": 1, "bbox": [0, 0, 20, 20], "score": 0.1}]', "lower the cut"),
    ],
)
def test_bad_detections(coco, content, sentence):
    (coco / "det.json").write_text(content)
    with pytest.raises(ValueError, match=sentence):
        read(coco, view="detected_crops", detections=coco / "det.json", min_score=0.5)


def test_missing_parts_are_named(coco):
    with pytest.raises(ValueError, match="has no detections"):
        read(coco, view="detected_crops")
    with pytest.raises(FileNotFoundError, match="lost.json: there is no such file"):
        read(coco, view="detected_crops", detections="lost.json", min_score=0.5)
    with pytest.raises(FileNotFoundError, match="the image folder"):
        read_coco("set", coco / "ann.json", coco / "lost", NAMES, True)
    with pytest.raises(ValueError, match="view must be one of"):
        read(coco, view="boxes")
    data = json.loads((coco / "ann.json").read_text())
    data["annotations"][0]["image_id"] = 77
    (coco / "ann.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="annotation .* belongs to image 77"):
        read(coco, view="gt_crops")
