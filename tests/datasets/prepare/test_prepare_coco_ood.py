"""COCO-OOD by the published rule, and custom splits of a COCO json."""

import hashlib
import json

import pytest

from negas.datasets.prepare.coco_ood import prepare_coco_ood
from negas.datasets.prepare.custom import prepare_custom
from negas.datasets.prepare.files import ids_sha256
from negas.datasets.prepare.id_classes import (
    BDD100K,
    IN_COCO,
    VOC,
    categories_of,
    label_of,
    read_id_names,
)
from negas.labels.names import read_names
from tests.datasets.prepare.official_files import coco, write_json
from tests.helpers.yolo_world import ROOT

NAMES = ["person", "zebra", "kite", "truck", "stop sign", "cat", "kitten"]
IMAGES = {
    9: ["zebra", "kite"],
    2: ["person", "zebra"],
    5: [],
    7: ["truck"],
    4: ["person"],
    3: ["stop sign"],
    8: ["kitten"],
}


@pytest.fixture
def ann(tmp_path):
    return write_json(tmp_path / "instances_val2017.json", coco(IMAGES, NAMES, crowds=[4]))


def image_ids(path):
    return [image["id"] for image in json.loads(path.read_text())["images"]]


def test_the_rule_keeps_everything_of_the_kept_images(ann, tmp_path):
    out = tmp_path / "ood.json"
    [result] = prepare_coco_ood(ann, out, VOC)
    source, data = json.loads(ann.read_text()), json.loads(out.read_text())
    assert image_ids(out) == [9, 5, 7, 3, 8]  # 4 has a crowd of persons; the source's order
    assert data["categories"] == source["categories"]
    assert data["annotations"] == [
        row for row in source["annotations"] if row["image_id"] in (9, 7, 3, 8)
    ]
    assert result.counts["without annotation"] == 1
    assert ids_sha256([3, 5, 7, 8, 9]) in result.notes[0]
    assert any("ID classes without a category in COCO" in note for note in result.notes)


def test_the_checksum_is_that_of_sorted_lines():
    assert ids_sha256([10, 9]) == hashlib.sha256(b"9\n10\n").hexdigest()


def test_classes_of_bdd100k_have_other_names_in_coco(ann, tmp_path):
    prepare_coco_ood(ann, tmp_path / "bdd.json", BDD100K)
    assert image_ids(tmp_path / "bdd.json") == [9, 5, 8]


def test_the_protocols_class_counts():
    ood = read_names(str(ROOT / "data/labels/ood_names/coco_ood_voc.txt"))
    categories = [name.split(",")[0] for name in ood] + list(VOC)
    bdd = categories_of(BDD100K, list(dict.fromkeys(categories)), IN_COCO)
    found = {name for names in bdd.values() for name in names}
    assert found == {
        *("person", "bicycle", "car", "motorcycle", "bus", "train", "truck", "traffic light"),
        "stop sign",
    } & set(categories)
    assert all(categories_of(VOC, categories, IN_COCO)[name] == [name] for name in VOC)


def test_overlap_by_name_finds_synonyms(ann, tmp_path):
    [result] = prepare_coco_ood(ann, tmp_path / "ood.json", ["cat", "motortruck"])
    kinds = {(finding.label, finding.ood_name): finding.kind for finding in result.overlap}
    assert kinds["truck", "motortruck"] == "synonym"
    [cleaned] = prepare_coco_ood(
        ann, tmp_path / "cleaned.json", ["cat", "motortruck"], exclude=["truck"]
    )
    assert ("truck", "motortruck") not in {(f.label, f.ood_name) for f in cleaned.overlap}
    assert 7 not in image_ids(tmp_path / "cleaned.json")
    with pytest.raises(ValueError, match="'tram' is no category"):
        prepare_coco_ood(ann, tmp_path / "x.json", ["cat"], exclude=["tram"])


def test_id_classes_that_the_set_lacks_are_refused(ann, tmp_path):
    """Else every image would be out of distribution."""
    with pytest.raises(ValueError, match="none of .'tram', 'ship'. is a category .*--exclude"):
        prepare_coco_ood(ann, tmp_path / "a.json", ["tram", "ship"])
    assert not (tmp_path / "a.json").exists()
    prepare_coco_ood(ann, tmp_path / "b.json", ["tram"], exclude=["truck"])
    assert image_ids(tmp_path / "b.json") == [9, 2, 5, 4, 3, 8]


def test_exact_ids_and_unannotated_images(ann, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("5\n9\n")
    [result] = prepare_coco_ood(ann, tmp_path / "a.json", VOC, ids=ids)
    assert image_ids(tmp_path / "a.json") == [9, 5]
    checks = {check.what: check for check in result.checks}
    assert checks["images of the published set"].known == 930
    assert not checks["sha256 of the image ids of the published set"].holds
    prepare_coco_ood(ann, tmp_path / "b.json", VOC, ids=ids, drop_unannotated=True)
    assert image_ids(tmp_path / "b.json") == [9]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9\n77\n", "1 of 2 image ids are not in the annotations, the first is 77"),
        ("9\n2\n", "an annotation of an ID class, the first is 2"),
        ("9\n9\n", "lists image 9 twice"),
        ("nine\n", "one image id per line"),
    ],
)
def test_bad_id_lists(ann, tmp_path, text, message):
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        prepare_coco_ood(ann, tmp_path / "a.json", VOC, ids=tmp_path / "ids.txt")
    assert not (tmp_path / "a.json").exists()


def twice(data, key):
    data[key].append(data[key][0])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d["annotations"][0].update(bbox=None), "500 has no finite bbox .* but None"),
        (lambda d: twice(d, "images"), "two entries of 'images' have the id 9"),
        (lambda d: d.pop("images"), "no list 'images'"),
    ],
)
def test_unsound_annotations(tmp_path, spoil, message):
    data = coco(IMAGES, NAMES)
    spoil(data)
    path = write_json(tmp_path / "bad.json", data)
    with pytest.raises(ValueError, match=message):
        prepare_coco_ood(path, tmp_path / "a.json", VOC)
    assert not (tmp_path / "a.json").exists()


def test_nan_in_other_fields_is_found_before_a_file_is_left(tmp_path):
    data = coco(IMAGES, NAMES)
    for image in data["images"]:
        image["gps"] = float("nan")
    path = write_json(tmp_path / "bad.json", data)
    with pytest.raises(ValueError, match="it holds NaN, near .*gps.*: NaN'"):
        prepare_coco_ood(path, tmp_path / "a.json", VOC)
    assert [file.name for file in tmp_path.iterdir()] == ["bad.json"]


def test_a_missing_or_cut_file(ann, tmp_path):
    with pytest.raises(FileNotFoundError, match="annotations_trainval2017.zip"):
        prepare_coco_ood(tmp_path / "none.json", tmp_path / "a.json", VOC)
    ann.write_text(ann.read_text()[:-9])
    with pytest.raises(ValueError, match="cut short"):
        prepare_coco_ood(ann, tmp_path / "a.json", VOC)


def test_custom_sets(ann, tmp_path):
    results = prepare_custom(ann, tmp_path / "out", ["zebra", "person"])
    data = json.loads((tmp_path / "out" / "instances_val2017_id.json").read_text())
    assert [image["id"] for image in data["images"]] == [9, 2, 4]
    assert data["categories"] == [dict(id=1, name="zebra"), dict(id=2, name="person")]
    assert [(row["id"], row["category_id"]) for row in data["annotations"]] == [
        *((1, 1), (2, 2), (3, 1), (4, 2))
    ]
    assert "1 image with ID and other classes" in results[0].notes[0]
    assert image_ids(tmp_path / "out" / "instances_val2017_ood.json") == [5, 7, 3, 8]
    again = prepare_custom(ann, tmp_path / "out", ["zebra", "person"])
    assert not any(result.is_new for result in again)
    options = dict(drop_mixed=True, drop_unannotated=True)
    prepare_custom(ann, tmp_path / "strict", ["zebra", "person"], **options)
    assert image_ids(tmp_path / "strict" / "instances_val2017_id.json") == [2, 4]
    assert image_ids(tmp_path / "strict" / "instances_val2017_ood.json") == [7, 3, 8]


def test_fields_that_annotation_tools_leave_out_are_filled_in(tmp_path):
    data = coco(IMAGES, NAMES)
    for row in data["annotations"][1:]:
        del row["area"], row["iscrowd"]
    data["annotations"][0].update(area=7)
    path = write_json(tmp_path / "bare.json", data)
    results = prepare_custom(path, tmp_path, ["zebra", "person"])
    rows = [json.loads(result.path.read_text())["annotations"] for result in results]
    assert [row["area"] for row in rows[0]] == [7, 200, 200, 200]
    assert {(row["area"], row["iscrowd"]) for row in rows[1]} == {(200, 0)}


def test_a_renamed_category_is_told_with_its_likely_name(ann, tmp_path):
    with pytest.raises(ValueError, match="no category 'zebras' .*did you mean 'zebra'"):
        prepare_custom(ann, tmp_path, ["zebras", "person"])


def test_sets_without_ood_or_id_images(tmp_path):
    path = write_json(tmp_path / "a.json", coco({1: ["cat"]}, ["cat", "dog"]))
    [result] = prepare_custom(path, tmp_path / "out", ["cat"])
    assert "there is no OOD set" in result.notes[1]
    with pytest.raises(ValueError, match="no image is left for the ID set"):
        prepare_custom(path, tmp_path / "out", ["dog"])


def test_id_names(tmp_path):
    assert read_id_names(["voc"]) == VOC
    assert read_id_names(["cat", "dog"]) == ("cat", "dog")
    assert read_id_names(["traffic light, dog,", "cat"]) == ("traffic light", "dog", "cat")
    assert label_of(["voc"]) == "voc" and label_of(["cat,dog"]) == label_of(["a", "b"]) == "custom"
    with pytest.raises(ValueError, match="no names"):
        read_id_names([" ", ","])
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    assert read_id_names([str(tmp_path / "names.txt")]) == ("cat", "dog")
    with pytest.raises(ValueError, match="'Cat' stands there twice"):
        read_id_names(["cat", "Cat"])
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_id_names(["missing.txt"])
