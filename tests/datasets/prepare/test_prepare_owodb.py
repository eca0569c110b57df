"""S-OWODB and M-OWODB from small files in the formats of the official ones."""

import json
from collections import Counter

import pytest

from negas.coco_json import check_coco
from negas.datasets.prepare.id_classes import VOC
from negas.datasets.prepare.owodb import ALL_NAMES, TASKS, prepare_owodb
from negas.labels.names import read_names
from tests.datasets.prepare.official_files import coco, voc_object, write_devkit, write_json

VAL = {
    1: ["person", "person", "chair"],
    139: ["kite", "cup"],
    25: [],
    8: ["cat", "tv"],
    7: ["bed"],
}
TRAIN = {2: ["dog", "kite"], 4: ["bench"], 6: ["spoon", "person"], 9: []}


@pytest.fixture
def val(tmp_path):
    return write_json(tmp_path / "instances_val2017.json", coco(VAL, ALL_NAMES, crowds=[139]))


@pytest.fixture
def train(tmp_path):
    return write_json(tmp_path / "instances_train2017.json", coco(TRAIN, ALL_NAMES))


@pytest.fixture
def devkit(tmp_path):
    lists = {
        "2007": {"trainval": ["000005"], "test": ["000001", "000139"]},
        "2012": {"trainval": ["2008_000002"]},
    }
    objects = {
        "000005": [voc_object("sofa", (1, 2, 30, 50))],
        "000001": [voc_object("person", (8, 12, 352, 498), difficult=1)],
        "000139": [voc_object("tvmonitor", (1, 1, 9, 9))],
        "2008_000002": [voc_object("cat", (1, 1, 9, 9))],
    }
    return write_devkit(tmp_path / "VOCdevkit", lists, objects)


@pytest.fixture
def images(tmp_path):
    """VOC's image 139 and COCO's; two images stand there again, one of them twice."""
    path = tmp_path / "all_task_test.txt"
    stems = ["000001", "000139", *(f"{i:012d}" for i in (139, 1, 139, 7, 139, 1))]
    path.write_text("\n".join(stems) + "\n")
    return path


def read(folder, name):
    data = json.loads((folder / f"{name}.json").read_text())
    return check_coco(data, name, files=True, sizes=True, numbers=("area", "iscrowd"))


def image_ids(folder, name):
    return [image["id"] for image in read(folder, name)["images"]]


def named(data):
    """Category names of every image's objects."""
    names = {category["id"]: category["name"] for category in data["categories"]}
    found = {image["id"]: [] for image in data["images"]}
    for row in data["annotations"]:
        found[row["image_id"]].append(names[row["category_id"]])
    return found


@pytest.mark.parametrize(("variant", "sizes"), [("s", (19, 21, 20, 20)), ("m", (20,) * 4)])
def test_the_tasks_share_out_cocos_classes(variant, sizes):
    names = [name for task in TASKS[variant] for name in task]
    assert tuple(map(len, TASKS[variant])) == sizes
    assert len(set(names)) == len(names) == 80 and set(names) == set(ALL_NAMES)
    assert set(VOC) == set(TASKS["m"][0])


def test_s_follows_cocos_super_categories():
    first, second, third, fourth = map(set, TASKS["s"])
    assert {"person", "truck", "giraffe", "bird"} <= first
    assert {"bench", "tie", "oven", "couch", "bed"} <= second
    assert {"kite", "cake"} <= third and {"tv", "bottle", "cell phone", "vase"} <= fourth


def test_class_lists_of_a_task(val, tmp_path):
    prepare_owodb("s", val, tmp_path / "out")
    for task in range(1, 5):
        known = read_names(str(tmp_path / "out" / f"t{task}_known.txt"))
        assert known == sum(TASKS["s"][:task], ())
        unknown = tmp_path / "out" / f"t{task}_unknown.txt"
        rest = read_names(str(unknown)) if task < 4 else ()
        assert set(known) | set(rest) == set(ALL_NAMES) and not set(known) & set(rest)
    assert not unknown.exists()


def test_test_files_keep_every_objects_own_name_and_the_halves_share_no_image(val, tmp_path):
    results = prepare_owodb("s", val, tmp_path)
    whole = read(tmp_path, "t1_test")
    assert named(whole) == {image: names for image, names in VAL.items() if names}
    assert image_ids(tmp_path, "t1_test_id") == [1, 8]
    assert image_ids(tmp_path, "t1_test_ood") == [139, 7]
    assert named(read(tmp_path, "t1_test_id"))[1] == ["person", "person", "chair"]
    assert image_ids(tmp_path, "t3_test_id") == [1, 139, 8, 7]
    assert [row["iscrowd"] for row in whole["annotations"]] == [0, 0, 0, 1, 1, 0, 0, 0]
    assert whole["annotations"][0]["bbox"] == [1, 2, 10, 20]
    assert [row["id"] for row in whole["annotations"]] == list(range(1, 9))
    assert (whole["info"]["benchmark"], whole["info"]["task"]) == ("S-OWODB", 1)
    counts = {result.path.name: result.counts for result in results}
    assert counts["t1_test.json"] == {
        "images": 4,
        "objects": 8,
        "unknown objects": 5,
        "crowds": 2,
    }
    assert counts["t4_test.json"]["unknown objects"] == 0


def test_what_is_told_of_a_test_set(val, tmp_path):
    results = {result.path.name: result for result in prepare_owodb("s", val, tmp_path)}
    told = results["t1_test.json"]
    assert told.notes[0] == "left out of the test: 1 image without annotation."
    assert (told.checks[0].got, told.checks[0].known) == (4, 4952)
    assert not [note for note in told.notes if "line" in note]
    assert "every image shows a known object" in results["t3_test.json"].notes[1]
    assert not (tmp_path / "t3_test_ood.json").exists()


def test_training_files_label_the_known_classes_alone(val, train, tmp_path):
    results = {r.path.name: r for r in prepare_owodb("s", val, tmp_path, train)}
    first, last = read(tmp_path, "t1_train"), read(tmp_path, "t4_train")
    assert named(first) == {2: ["dog"], 6: ["person"]}
    assert [category["name"] for category in first["categories"]] == list(TASKS["s"][0])
    assert named(last) == {image: names for image, names in TRAIN.items() if names}
    assert results["t1_train.json"].counts["unlabelled objects of later classes"] == 2


def test_a_list_of_images_is_kept_once_and_names_are_no_numbers(val, devkit, images, tmp_path):
    results = prepare_owodb("m", val, tmp_path, devkit=devkit, image_list=images)
    data = read(tmp_path, "t1_test")
    assert named(data) == {
        "000001": ["person"],
        "000139": ["tv"],
        "000000000139": ["kite", "cup"],
        "000000000001": ["person", "person", "chair"],
        "000000000007": ["bed"],
    }
    files = {image["id"]: image["file_name"] for image in data["images"]}
    assert files["000139"] == "VOC/JPEGImages/000139.jpg"
    assert files["000000000139"] == "coco/val2017/000000000139.jpg"
    assert data["annotations"][0]["difficult"] == 1
    assert set(image_ids(tmp_path, "t1_test_ood")) == {"000000000139", "000000000007"}
    told = {result.path.name: result for result in results}["t1_test.json"]
    got = {check.what: (check.got, check.known) for check in told.checks}
    assert got == {
        "lines of the list": (8, 10246),
        "test images": (5, 9119),
        "lines of COCO": (6, 5294),
        "images of COCO": (3, 4167),
    }
    assert told.notes[0].startswith("3 lines name an image again (1 2 times, 1 3 times)")
    # unknown: kite and cup (three times) and bed; a chair is known
    lines = Counter(images.read_text().split())
    ceiling = 100 * 3 / (2 * lines["000000000139"] + 1)
    assert f"cannot exceed {ceiling:.1f}% at task 1" in told.notes[2]


def test_a_list_without_repetition_needs_no_warning(val, devkit, images, tmp_path):
    images.write_text("000001\n000000000139\n")
    results = prepare_owodb("m", val, tmp_path, devkit=devkit, image_list=images)
    told = {result.path.name: result for result in results}["t1_test.json"]
    assert len(told.notes) == 1 and "not on those of VOC" in told.notes[0]


def test_m_trains_on_voc_first(val, train, devkit, images, tmp_path):
    prepare_owodb("m", val, tmp_path, train, devkit, images)
    assert named(read(tmp_path, "t1_train")) == {"000005": ["couch"], "2008_000002": ["cat"]}
    second = named(read(tmp_path, "t2_train"))
    assert second["000000000004"] == ["bench"] and "000000000002" not in second
    assert named(read(tmp_path, "t4_train"))["000000000006"] == ["spoon", "person"]


def test_a_second_run_finds_nothing_to_do(val, tmp_path):
    first = prepare_owodb("s", val, tmp_path / "out")
    assert all(result.is_new for result in first)
    assert not any(result.is_new for result in prepare_owodb("s", val, tmp_path / "out"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("000001\n139.jpg\n", "line 2: '139.jpg' names no image; expected six digits"),
        ("000001\n000000000555\n", "1 of 1 COCO images are not in .*the first is 000000000555"),
        ("\n", "is empty"),
    ],
)
def test_bad_lists(val, devkit, images, tmp_path, text, message):
    images.write_text(text)
    with pytest.raises(ValueError, match=message):
        prepare_owodb("m", val, tmp_path / "out", devkit=devkit, image_list=images)
    assert not (tmp_path / "out").exists()


def test_bad_sources(val, devkit, images, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="expected s or m, got 'x'"):
        prepare_owodb("x", val, out)
    with pytest.raises(ValueError, match="variant m needs --devkit"):
        prepare_owodb("m", val, out, image_list=images)
    with pytest.raises(ValueError, match="variant m needs --list"):
        prepare_owodb("m", val, out, devkit=devkit)
    with pytest.raises(ValueError, match="variant s has images of COCO alone; leave out --devkit"):
        prepare_owodb("s", val, out, devkit=devkit)
    images.write_text("000077\n")
    with pytest.raises(FileNotFoundError, match="VOC 2007 annotation.*000077.xml.*VOCtest"):
        prepare_owodb("m", val, out, devkit=devkit, image_list=images)
    images.unlink()
    with pytest.raises(FileNotFoundError, match="test images of M-OWODB: there is no file"):
        prepare_owodb("m", val, out, devkit=devkit, image_list=images)
    with pytest.raises(FileNotFoundError, match="COCO train2017 annotations: there is no file"):
        prepare_owodb("s", val, out, tmp_path / "none.json")
    val.write_text(json.dumps(coco(VAL, [*ALL_NAMES, "sofa"])))
    with pytest.raises(ValueError, match="not COCO's 80: sofa is missing or too many"):
        prepare_owodb("s", val, out)
    data = coco(VAL, ALL_NAMES)
    data["annotations"][0]["bbox"] = [1, 2, float("nan"), 4]
    val.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="NaN"):
        prepare_owodb("s", val, out)
    assert not out.exists()
