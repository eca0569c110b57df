"""The page of detections: colours, errors."""

import json

import numpy as np
import pytest
from PIL import Image

from negas.records import BoxRecords
from negas.visualization.boxes import KNOWN, UNKNOWN, detections_page, draw_scene


def records(tmp_path, name="id", logits=((3.0, -3.0), (-3.0, 0.5)), images=(1, 1)):
    folder = tmp_path / name
    folder.mkdir()
    for i in {*images}:
        Image.new("RGB", (64, 64), (128, 128, 128)).save(folder / f"{i}.png")
    coco = dict(images=[dict(id=i, file_name=f"{i}.png") for i in {*images}])
    (tmp_path / f"{name}.json").write_text(json.dumps(coco))
    logits = np.array(logits, np.float32)
    return BoxRecords(
        image_ids=np.array(images),
        bboxes=np.tile([[8, 24, 30, 60], [36, 24, 60, 60]], (len(images) // 2, 1)),
        labels=logits.argmax(1),
        scores=1 / (1 + np.exp(-logits.max(1))),
        id_logits=logits,
        meta=dict(
            id_labels=["cat", "dog"], ann_file=str(tmp_path / f"{name}.json"), img_dir=str(folder)
        ),
    )


def test_known_is_green_and_unknown_is_red():
    """As every caption, document and report says."""
    assert int(np.argmax(KNOWN)) == 1 and int(np.argmax(UNKNOWN)) == 0


@pytest.mark.parametrize("scale", [1, 3])
def test_colours_at_the_edges(scale):
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    boxes = np.array([[8, 24, 30, 60], [36, 24, 60, 60]], float)
    page = draw_scene(grey, boxes, [True, False], ["a", "b"], scale)
    assert page.size == (64 * scale, 64 * scale)
    bottom = 60 * scale
    assert page.getpixel((8 * scale, bottom)) == KNOWN
    assert page.getpixel((20 * scale, bottom)) == KNOWN
    assert page.getpixel((36 * scale, bottom)) == UNKNOWN
    row = [page.getpixel((x, bottom)) for x in range(36 * scale, 60 * scale)]
    assert UNKNOWN in row and (128, 128, 128) in row, "dashed"
    assert page.getpixel((20 * scale, 50 * scale)) == (128, 128, 128), "not filled"


def test_boxes_at_the_border_stay_inside():
    grey = Image.new("RGB", (40, 40), (128, 128, 128))
    page = draw_scene(grey, np.array([[-5.0, 0, 40, 44]]), [True], ["very long caption text"])
    assert page.getpixel((39, 39)) == KNOWN
    assert page.getpixel((0, 39)) == KNOWN


def test_page_shows_known_and_unknown(tmp_path):
    sets = dict(id=records(tmp_path), near=records(tmp_path, "near", ((-2, 0.1), (-2, 0.2))))
    path = detections_page(
        sets, "max_sigmoid", cut=0.3, tau=0.7, path=tmp_path / "out" / "page.png", scale=2
    )
    pixels = np.asarray(Image.open(path)).reshape(-1, 3)
    for colour in (KNOWN, UNKNOWN):
        assert (np.abs(pixels.astype(int) - colour).max(1) == 0).sum() > 50
    only_known = detections_page(
        dict(id=sets["id"]), "max_sigmoid", cut=0.3, tau=0.1, path=tmp_path / "known.png"
    )
    pixels = np.asarray(Image.open(only_known)).reshape(-1, 3)
    assert not (np.abs(pixels.astype(int) - UNKNOWN).max(1) == 0).any()


def test_cut_hides_boxes_and_empty_pages_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="no set has a box over the confidence cut 0.990"):
        detections_page(
            dict(id=records(tmp_path)), "max_sigmoid", cut=0.99, tau=0.5, path=tmp_path / "p.png"
        )


@pytest.mark.parametrize("lost", ["id/1.png", "id.json"])
def test_missing_files(tmp_path, lost):
    part = records(tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(FileNotFoundError, match="prepare the data set"):
        detections_page(dict(id=part), "max_sigmoid", cut=0.1, tau=0.5, path=tmp_path / "p.png")
