"""Every fault of a COCO json has its sentence."""

import copy

import numpy as np
import pytest

from negas.coco_json import check_classes, check_coco
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
    ann(data).update(bbox=np.ones(4), area="any")
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
