"""PASCAL VOC to COCO json."""

import json

import pytest

from negas.datasets.prepare.id_classes import VOC
from negas.datasets.prepare.voc import link_images, prepare_voc
from tests.datasets.prepare.official_files import small_devkit, voc_object, voc_xml


@pytest.fixture
def devkit(tmp_path):
    return small_devkit(tmp_path / "VOCdevkit")


def load(folder, name="voc0712_trainval.json"):
    return json.loads((folder / name).read_text())


def test_ids_names_and_boxes_follow_the_protocol(devkit, tmp_path):
    prepare_voc(devkit, tmp_path / "out")
    data = load(tmp_path / "out")
    assert [image["id"] for image in data["images"]] == [
        *("000005", "000007", "2008_000002", "2008_000003")
    ]
    assert data["images"][0] == dict(id="000005", file_name="000005.jpg", width=500, height=375)
    assert [row["name"] for row in data["categories"]] == list(VOC)
    assert [row["id"] for row in data["categories"]] == list(range(1, 21))
    names = {row["id"]: row["name"] for row in data["categories"]}
    rows = data["annotations"]
    assert [row["id"] for row in rows] == [1, 2, 3, 4]
    assert [names[row["category_id"]] for row in rows] == ["chair", "couch", "airplane", "tv"]
    assert rows[0]["bbox"] == [263, 211, 61, 128] and rows[0]["area"] == 61 * 128
    assert rows[3]["bbox"] == [34.5, 11, 413.5, 282]
    assert [row["difficult"] for row in rows] == [0, 1, 0, 0]
    assert {row["iscrowd"] for row in rows} == {0}


def test_the_four_files_hold_their_official_lists(devkit, tmp_path):
    results = prepare_voc(devkit, tmp_path / "out")
    ids = {
        result.path.name: [
            image["id"] for image in load(tmp_path / "out", result.path.name)["images"]
        ]
        for result in results
    }
    assert ids["voc0712_train.json"] == ["000005", "2008_000002"]
    assert ids["voc0712_val.json"] == ["000007", "2008_000003"]
    assert ids["voc07_test.json"] == ["000001", "000002"]
    test = load(tmp_path / "out", "voc07_test.json")
    assert test["annotations"][0]["bbox"] == [8, 12, 344, 486]  # the person's, not the head's


@pytest.mark.parametrize(
    ("difficult", "crowds"), [("keep", [0, 0, 0, 0]), ("ignore", [0, 1, 0, 0]), ("drop", [0, 0, 0])]
)
def test_difficult_objects(devkit, tmp_path, difficult, crowds):
    results = prepare_voc(devkit, tmp_path, difficult)
    rows = load(tmp_path)["annotations"]
    assert [row["iscrowd"] for row in rows] == crowds
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    assert results[0].counts["marked difficult"] == 1


def test_numbers_are_compared_with_the_official_ones(devkit, tmp_path):
    checks = {check.what: check for check in prepare_voc(devkit, tmp_path)[0].checks}
    assert (checks["images"].got, checks["images"].known) == (4, 16551)
    assert checks["objects with difficult ones"].known == 47223
    assert not checks["images"].holds


def test_images_of_both_years_are_linked(devkit, tmp_path):
    assert link_images(devkit, tmp_path / "JPEGImages") == 6
    assert (tmp_path / "JPEGImages" / "2008_000002.jpg").is_file()
    assert link_images(devkit, tmp_path / "JPEGImages") == 0


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("VOC2007/ImageSets/Main/test.txt", "voc2007/VOCtest_06-Nov-2007.tar"),
        ("VOC2012/ImageSets/Main/trainval.txt", "voc2012/VOCtrainval_11-May-2012.tar"),
        ("VOC2007/Annotations/000001.xml", "1 of 2 annotations are missing.*VOCtest_06"),
    ],
)
def test_a_missing_file_is_named_with_its_archive(devkit, tmp_path, lost, named):
    (devkit / lost).unlink()
    with pytest.raises(FileNotFoundError, match=named):
        prepare_voc(devkit, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_devkit(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder.*robots.ox.ac.uk"):
        prepare_voc(tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<annotation><size>", "not valid XML"),
        ("<annotation></annotation>", "no VOC annotation"),
        (voc_xml("x", [voc_object("zebra", (1, 1, 5, 5))]), "'zebra', which is none of VOC's 20"),
        (voc_xml("x", [voc_object("cat", ("nan", 1, 5, 5))]), "not finite"),
        (voc_xml("x", [voc_object("cat", (9, 1, 5, 5))]), "xmin < xmax"),
        (voc_xml("x", ["<object><name>cat</name></object>"]), "not finite"),
    ],
)
def test_malformed_annotations(devkit, tmp_path, xml, message):
    (devkit / "VOC2007/Annotations/000005.xml").write_text(xml)
    with pytest.raises(ValueError, match=message) as caught:
        prepare_voc(devkit, tmp_path / "out")
    assert "000005.xml" in str(caught.value)


def test_malformed_lists_and_options(devkit, tmp_path):
    with pytest.raises(ValueError, match="keep, ignore, drop"):
        prepare_voc(devkit, tmp_path, difficult="maybe")
    path = devkit / "VOC2007/ImageSets/Main/test.txt"
    path.write_text("000001\n000001\n")
    with pytest.raises(ValueError, match="'000001' twice"):
        prepare_voc(devkit, tmp_path)
    path.write_text("")
    with pytest.raises(ValueError, match="empty"):
        prepare_voc(devkit, tmp_path)
