"""Painted images of whole sets: where they go, what is on them."""

import json

import numpy as np
import pytest
from PIL import Image

from negas.records import BoxRecords
from negas.scores import get_score
from negas.visualization.boxes import KNOWN, UNKNOWN
from negas.visualization.painting import paint_sets

GREY = (128, 128, 128)
FILES = {1: "one.png", 2: "deep/two.png", 3: "three.ppm", 4: "one.xyz", 5: "../five.png"}


def records(root, logits=((3.0, -3.0), (-3.0, 0.5), (0.0, -4.0))):
    """Three boxes on image 1, none on the others."""
    for name in FILES.values():
        path = root / "img" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (400, 300), GREY).save(path, format="PNG")
    coco = dict(images=[dict(id=i, file_name=name) for i, name in FILES.items()])
    (root / "a.json").write_text(json.dumps(coco))
    logits = np.array(logits, np.float32)
    return BoxRecords(
        image_ids=np.ones(len(logits), int),
        bboxes=[[10, 40, 100, 140], [200, 40, 300, 140], [200, 180, 300, 280]],
        labels=logits.argmax(1),
        scores=1 / (1 + np.exp(-logits.max(1))),
        id_logits=logits,
        images=sorted(FILES),
        meta=dict(id_labels=["cat", "dog"], ann_file=f"{root}/a.json", img_dir=f"{root}/img"),
    )


def test_every_image_of_every_set_is_painted_in_its_place(tmp_path):
    part, out = records(tmp_path), tmp_path / "out" / "painted"
    score = get_score("max_sigmoid")
    count = paint_sets(dict(id=part, near=part), score, cut=0.55, tau=0.8, folder=out)
    assert count == 10
    places = {"one.png", "deep/two.png", "three.ppm", "one.xyz.png", "five.png"}
    for name in ("id", "near"):
        folder = out / name
        found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert found == places, "nothing is written out of the set's folder"
    page = Image.open(out / "near/one.png")
    assert page.size == (400, 300)
    assert page.getpixel((10, 140)) == KNOWN
    assert page.getpixel((200, 140)) == UNKNOWN
    assert page.getpixel((200, 280)) == GREY, "under the cut"
    assert {c for _, c in Image.open(out / "id/deep/two.png").getcolors()} == {GREY}


def test_small_images_are_enlarged(tmp_path):
    part = records(tmp_path)
    Image.new("RGB", (160, 120), GREY).save(tmp_path / "img/one.png")
    paint_sets(dict(id=part), get_score("max_sigmoid"), 0.55, 0.8, tmp_path / "out")
    assert Image.open(tmp_path / "out/id/one.png").size == (320, 240)


def test_missing_images(tmp_path):
    part = records(tmp_path)
    (tmp_path / "img/deep/two.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"image 2 .* does not exist"):
        paint_sets(dict(id=part), get_score("max_sigmoid"), 0.5, 0.5, tmp_path / "out")
