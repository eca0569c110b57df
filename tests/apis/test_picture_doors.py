"""Every door of the toolkit sees the same pixels of a file, and those are the detector's."""

import base64
import io
import json

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

import negas.register  # noqa: F401 - mmcv is imported by it
from negas.apis.inputs import Pictures
from negas.embeddings.images import ImageItem, load_image
from negas.pictures import picture_size
from negas.records import BoxRecords
from negas.reports.html.crops import box_picture
from negas.scores import get_score
from negas.visualization.painting import paint_sets
from tests.helpers.pictures import KINDS, make

LANCZOS = Image.Resampling.LANCZOS


def inferred(path):
    [picture] = Pictures.of(path)
    return picture.pixels[..., ::-1]


def encoded(path):
    return np.asarray(load_image(path))


def cropped(path):
    width, height = picture_size(path)
    item = ImageItem(str(path), (0.0, 0.0, float(width), float(height)))
    side = np.asarray(item.load())
    return side if side.shape[:2] == (height, width) else None


def shown(path):
    """A box-less page of ``--show-dir``, enlarged by a whole number."""
    coco = dict(images=[dict(id=1, file_name=path.name)])
    (path.parent / "a.json").write_text(json.dumps(coco))
    part = BoxRecords(
        image_ids=np.zeros(0, int),
        bboxes=np.zeros((0, 4)),
        labels=np.zeros(0, int),
        scores=np.zeros(0),
        id_logits=np.zeros((0, 1), np.float32),
        images=[1],
        meta=dict(id_labels=["a"], ann_file=str(path.parent / "a.json"), img_dir=str(path.parent)),
    )
    folder = path.parent / "shown"
    paint_sets(dict(id=part), get_score("max_sigmoid"), 0.5, 0.5, folder)
    [page] = (folder / "id").iterdir()
    return np.asarray(Image.open(page).convert("RGB"))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("door", [inferred, encoded, cropped])
def test_pixels(tmp_path, name, door):
    path = make(tmp_path, name)
    want = LoadImageFromFile()(dict(img_path=str(path)))["img"][..., ::-1]
    assert picture_size(path) == want.shape[1::-1]
    np.testing.assert_array_equal(door(path), want)


@pytest.mark.parametrize("name", KINDS)
def test_painted_pages_and_crops(tmp_path, name):
    """Enlarged, and some as JPEG: alike but for rounding."""
    path = make(tmp_path, name)
    want = LoadImageFromFile()(dict(img_path=str(path)))["img"][..., ::-1]
    height, width = want.shape[:2]
    page = shown(path)
    larger = Image.fromarray(np.ascontiguousarray(want)).resize(page.shape[1::-1], LANCZOS)
    assert max(page.shape) == 320
    assert page.shape[0] * width == pytest.approx(page.shape[1] * height, rel=0.01)
    assert np.abs(page - np.asarray(larger, int)).mean() < 12
    bbox = np.array([0, 0, width, height], np.float32)
    picture = box_picture(path, bbox, "a", "a", [])
    data = base64.b64decode(picture.uri.partition(",")[2])
    crop = np.asarray(Image.open(io.BytesIO(data)))
    assert crop.shape[0] * width == pytest.approx(crop.shape[1] * height, rel=0.01)
    larger = Image.fromarray(np.ascontiguousarray(want)).resize(crop.shape[1::-1], LANCZOS)
    middle = np.s_[60:-20, 20:-20]  # without the box and its caption
    assert np.abs(crop.astype(int) - np.asarray(larger, int))[middle].mean() < 15
