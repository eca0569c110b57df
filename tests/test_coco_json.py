"""Every fault of a COCO json has its sentence."""

import copy

import numpy as np
import pytest

from negas.coco_json import check_classes, check_coco, completed
from tests.datasets.prepare.official_files import coco

DATA = coco({3: ["cat", "dog"], 9: ["cat"], 4: []}, ["cat", "dog"])


def image(data):
    return data["images"][0]


def ann(data):
    return data["annotations"][0]


def test_a_sound_one_is_given_back():
    data = copy.deepcopy(DATA)
    assert check_coco(data, "here", files=True, sizes=True, numbers=("area", "iscrowd")) is data
    image(data).pop("file_name"), image(data).pop("width"), ann(data).pop("id")
    check_coco(data, "here", ids=False)
    ann(data).update(bbox=tuple(np.float32([1, 2, 0, 3])), image_id=np.int64(3))
    check_coco(data, "here", ids=False)
    ann(data).update(bbox=np.ones(4), area=None, iscrowd=None, segmentation="any")
    check_coco(data, "here", ids=False)


@pytest.mark.parametrize(
    ("spoil", "options", "sentence"),
    [
        (lambda d: d.pop("images"), {}, "has no list 'images' of objects"),
        (lambda d: d.update(categories={"1": "cat"}), {}, "has no list 'categories' of objects"),
        (lambda d: d.update(annotations=[7]), {}, "has no list 'annotations' of objects"),
        (lambda d: ann(d).pop("id"), {}, ": an entry of 'annotations' has the id None"),
        (lambda d: image(d).update(id=True), {}, ": an entry of 'images' has the id True"),
        (lambda d: d["images"].append(image(d)), {}, ": two entries of 'images' have the id 3"),
        (lambda d: d["categories"][0].pop("name"), {}, ": category 10 has the name None"),
        (lambda d: d["categories"][0].update(name="dog"), {}, ": two categories are named 'dog'"),
        (lambda d: image(d).pop("file_name"), dict(files=True), ": image 3 has the file_name None"),
        (lambda d: image(d).update(file_name=""), {}, ": image 3 has the file_name ''"),
        (
            lambda d: image(d).update(file_name=d["images"][1]["file_name"]),
            {},
            ": the file '000000000009.jpg' is listed twice, as image 3 and 9",
        ),
        (lambda d: image(d).pop("width"), dict(sizes=True), ": image 3 has the width None"),
        (lambda d: image(d).update(height=0), dict(sizes=True), ": image 3 has the height 0"),
        (lambda d: ann(d).update(image_id=5), {}, ": annotation 500 belongs to image 5, which is"),
        (lambda d: ann(d).update(image_id=[3]), {}, r": annotation 500 belongs to image [3]"),
        (lambda d: ann(d).update(category_id=1.5), {}, "has the unknown category_id 1.5; the cat"),
        (lambda d: ann(d).update(bbox=[1, 2, 3]), {}, "has no finite bbox [x, y, width, height]"),
        (lambda d: ann(d).update(bbox=["1", 2, 3, 4]), {}, "has no finite bbox"),
        (lambda d: ann(d).update(bbox=[1, 2, float("nan"), 4]), {}, "has no finite bbox"),
        (lambda d: ann(d).update(bbox=[30, 2, 3, -4]), {}, "of negative size"),
        (lambda d: ann(d).pop("area"), dict(numbers=("area",)), "has area=None, expected a number"),
    ],
)
def test_faults(spoil, options, sentence):
    data = copy.deepcopy(DATA)
    spoil(data)
    with pytest.raises(ValueError) as caught:
        check_coco(data, "here", **options)
    assert str(caught.value).startswith("here") and sentence in str(caught.value)


def test_classes_of_an_id_set():
    assert check_classes(DATA, "here", ["cat"]) == ["dog"]
    with pytest.raises(ValueError, match=r"here has no category 'fox' \(1 of 2 classes"):
        check_classes(DATA, "here", ["cat", "fox"])
    with pytest.raises(ValueError, match="here has no annotation of its classes"):
        check_classes(DATA | dict(annotations=[]), "here", ["cat"])


HUGE = 10**400


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: ann(d).update(image_id="3"), "belongs to image '3', which"),
        (lambda d: d["images"][1].update(id="9"), "'images' are numbers and texts (3, '9')"),
        (lambda d: d["categories"][1].update(id="b"), "'categories' are numbers and texts"),
        (lambda d: d["annotations"][1].update(id="b"), "'annotations' are numbers and texts"),
        (lambda d: image(d).update(id=2**63), "has the id 9223372036854775808; expected a whole"),
        (lambda d: image(d).update(id=1.0), "has the id 1.0; expected a whole number"),
        (lambda d: ann(d).update(id=HUGE), "has the id 1000"),
        (lambda d: ann(d).update(image_id=HUGE), "belongs to image 1000"),
        (lambda d: ann(d).update(category_id=-HUGE), "has the unknown category_id -1000"),
        (lambda d: ann(d).update(bbox=[0, 0, HUGE, 1]), "has no finite bbox"),
        (lambda d: ann(d).update(bbox=[0, 0, 1e200, 1]), "has no finite bbox"),
        (lambda d: ann(d).update(area="7"), "has area='7', expected a number"),
        (lambda d: ann(d).update(area=HUGE), "has area=1000"),
        (lambda d: ann(d).update(iscrowd="0"), "has iscrowd='0', expected 0 or 1"),
        (lambda d: ann(d).update(iscrowd=[0]), "has iscrowd=[0], expected 0 or 1"),
        (lambda d: ann(d).update(iscrowd=7), "has iscrowd=7, expected 0 or 1"),
        (lambda d: image(d).update(width="640"), "image 3 has the width '640'"),
        (lambda d: image(d).update(height=HUGE), "image 3 has the height 1000"),
        (lambda d: d.pop("annotations"), "it may be empty"),
    ],
)
def test_faults_that_would_show_after_the_inference(spoil, words):
    data = copy.deepcopy(DATA)
    spoil(data)
    with pytest.raises(ValueError) as caught:
        check_coco(data, "here")
    assert str(caught.value).startswith("here") and words in str(caught.value)
    assert len(str(caught.value)) < 400


def boxes(*found, size=(100, 80)):
    data = coco({1: ["cat"] * len(found)}, ["cat"])
    image(data).update(width=size[0], height=size[1])
    for row, box in zip(data["annotations"], found, strict=True):
        row.update(bbox=list(box))
    return data


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([(5, 5, 60, 50), (50, 40, 90, 70), (0, 3, 100, 80)], "two corners"),
        ([(0.2, 0.2, 0.5, 0.1), (0, 0, 1, 1)], "shares of the image"),
    ],
)
def test_boxes_of_another_form_are_refused(found, words):
    with pytest.raises(ValueError, match=words):
        check_coco(boxes(*found), "here")


@pytest.mark.parametrize(
    "found",
    [
        [(5, 5, 55, 45), (50, 40, 40, 30)],  # as sizes
        [(5, 5, 60, 50), (60, 40, 50, 30), (1, 2, 30, 40)],  # one reaches beyond the image
        [(0, 0, 1, 1), (50, 40, 20, 20)],
        [],
    ],
)
def test_sizes_are_not_taken_for_another_form(found):
    check_coco(boxes(*found), "here")


def test_what_tools_leave_out_is_completed():
    row = dict(bbox=[1, 2, 3.5, 4], iscrowd=None, category_id=1)
    assert completed(row) == row | dict(area=14.0, iscrowd=0)
    assert completed(row | dict(area=3, iscrowd=1)) == row | dict(area=3, iscrowd=1)


def scaled(factor, count=6, only=None):
    """Boxes of 20 pixels in an image of 100, some of them scaled."""
    data = coco({1: ["cat"] * count}, ["cat"])
    data["images"][0].update(width=100, height=100)
    for i, ann in enumerate(data["annotations"]):
        here = factor if only is None or i < only else 1
        ann.update(bbox=[here * v for v in (15 + i, 12, 20, 20)])
    return data


def test_boxes_of_another_scale_are_refused():
    with pytest.raises(ValueError, match="6 of 6 boxes reach beyond their image"):
        check_coco(scaled(10), "here")


@pytest.mark.parametrize("data", [scaled(1), scaled(4, only=3), scaled(10, count=3), scaled(5 / 3)])
def test_a_few_boxes_beyond_the_image_pass(data):
    assert check_coco(data, "here") is data


def test_an_area_below_zero_is_refused():
    data = scaled(1)
    data["annotations"][0]["area"] = -4
    with pytest.raises(ValueError, match="annotation .* has area=-4"):
        check_coco(data, "here")


def test_two_spellings_of_one_file_are_one():
    data = coco({1: ["cat"], 2: ["cat"]}, ["cat"])
    data["images"][1]["file_name"] = "./a/../" + data["images"][0]["file_name"]
    with pytest.raises(ValueError, match="listed twice"):
        check_coco(data, "here")
