"""Results of a picture: rows, and the objects of supervision, pandas and pycocotools."""

import ast
import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest
import supervision as sv
from pycocotools.coco import COCO

from negas.predictions import Detection, Results, results
from negas.predictions.coco import CocoIds
from tests.helpers.made_results import make, nothing, truth, without_verdict


def test_rows_are_detections():
    found = make()
    assert len(found) == 3 and [one.name for one in found] == ["dog", "cat", "unknown"]
    assert found[-1] == Detection(
        (100.0, 50.0, 200.0, 100.0), -1, "unknown", 0.75, None, False, "kite", 0.5
    )
    assert found[0].known is True and found[1].id_score == -0.25
    with pytest.raises(IndexError):
        found[3]


@pytest.mark.parametrize(
    ("index", "names"),
    [
        (lambda found: found.known == True, ["dog"]),  # noqa: E712
        (lambda found: found.labels < 0, ["unknown"]),
        (lambda found: found.id_score > -1, ["dog", "cat"]),
        (lambda found: slice(1, None), ["cat", "unknown"]),
        (lambda found: [2, 0], ["unknown", "dog"]),
        (lambda found: [False, True, False], ["cat"]),
        (lambda found: [], []),
    ],
)
def test_a_selection_keeps_all_columns(index, names):
    found = make()
    part = found[index(found)]
    assert part.names.tolist() == names and part.boxes.shape == (len(names), 4)
    assert {len(part.record()[key]) for key in ("boxes", "known", "unknown_like")} == {len(names)}
    assert (part.file_name, part.size) == (found.file_name, found.size)


def test_a_mask_of_another_length_and_uneven_columns_are_refused():
    with pytest.raises(IndexError):
        make()[np.array([True, False])]
    with pytest.raises(ValueError, match="known has 2 entries for 3 boxes"):
        make(known=[True, False])


@pytest.mark.parametrize("found", [make(), nothing(), without_verdict(), make(frame=3)])
def test_a_record_reads_back_the_same(found):
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    again = Results.of_record(record)
    assert again.record() == found.record() and again.boxes.dtype == np.float32
    assert list(again) == list(found) and again.size == (200, 100)


def test_what_it_says_of_itself():
    assert str(make()) == "photos/a.png: 2 boxes, 1 known, 1 unknown, 1 unknown object"
    assert str(without_verdict()) == "photos/a.png: 2 boxes, no verdict, 1 unknown object"
    assert str(nothing()) == "photos/a.png: 0 boxes"


def test_the_file_of_results_imports_numpy_alone():
    tree = ast.parse(open(results.__file__).read())
    names = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    names += [a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names]
    standard = {"__future__", "collections.abc", "dataclasses", "types", "typing"}
    assert {*names} - standard == {"numpy"}


# --- supervision ------------------------------------------------------------------------------
def test_supervision_gets_boxes_and_verdicts():
    found = make().to_supervision()
    assert isinstance(found, sv.Detections) and len(found) == 3
    np.testing.assert_array_equal(found.xyxy, make().boxes)
    assert found.class_id.tolist() == [1, 0, 2], "unknown objects are a class of their own"
    assert found.confidence == pytest.approx([0.9, 0.5, 0.75])
    assert found.data["known"].dtype == bool and found["class_name"].tolist()[2] == "unknown"
    unknown = found[~found.data["known"]]
    assert unknown.data["unknown_like"].tolist() == ["statue", "kite"]
    assert unknown.data["id_score"][0] == -0.25
    both = sv.Detections.merge([found, nothing().to_supervision()])
    assert len(both) == 3


@pytest.mark.parametrize("found", [make(), nothing(), without_verdict()])
def test_supervision_paints_and_filters_them(found):
    detections = found.to_supervision()
    scene = np.zeros((100, 200, 3), np.uint8)
    painted = sv.BoxAnnotator().annotate(scene.copy(), detections)
    painted = sv.LabelAnnotator().annotate(painted, detections)
    assert (painted != scene).any() == (len(found) > 0)
    tracked = detections.with_nms(0.5)
    assert len(tracked) == len(found)


# --- pandas -----------------------------------------------------------------------------------
def test_pandas_gets_a_row_per_detection():
    table = make().to_pandas()
    assert isinstance(table, pd.DataFrame) and table.shape == (3, 12)
    assert table["name"].tolist() == ["dog", "cat", "unknown"]
    assert table[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == make().boxes.tolist()
    assert table.loc[table["known"], "label"].tolist() == [1]
    assert table["id_score"].isna().tolist() == [False, False, True]
    assert without_verdict().to_pandas()["known"].isna().tolist() == [True, True, False]
    assert (make(frame=7).to_pandas()["frame"] == 7).all()
    both = pd.concat([make().to_pandas(), nothing().to_pandas()])
    assert len(both) == 3 and str(both["known"].dtype) == "boolean"


@pytest.mark.parametrize(
    ("method", "name"), [("to_pandas", "pandas"), ("to_supervision", "supervision")]
)
def test_a_library_that_is_missing_is_named(method, name, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"{name} is not installed; pip install {name}"):
        getattr(make(), method)()


# --- COCO -------------------------------------------------------------------------------------
def quiet(call, *args):
    with contextlib.redirect_stdout(io.StringIO()):
        return call(*args)


def test_pycocotools_takes_rows_with_the_ids_of_the_json(tmp_path):
    file = tmp_path / "val.json"
    file.write_text(json.dumps(truth()))
    found = make(file_name=str(tmp_path / "photos/a.png"))
    rows = found.to_coco(file)
    assert [(row["image_id"], row["category_id"]) for row in rows] == [(17, 3), (17, 90)]
    assert rows[0]["bbox"] == [10, 20, 50, 60] and rows[0]["score"] == pytest.approx(0.9)
    assert [row["known"] for row in rows] == [True, False]
    coco = quiet(COCO, str(file))
    loaded = quiet(coco.loadRes, json.loads(json.dumps(rows, allow_nan=False)))
    assert len(loaded.anns) == 2 and loaded.anns[1]["area"] == 3000
    all_rows = found.to_coco(coco, unknown_category_id=91)
    assert all_rows[2]["category_id"] == 91 and all_rows[2]["unknown_like"] == "kite"
    assert len(quiet(coco.loadRes, all_rows).anns) == 3
    assert found.to_coco(truth(), image_id=2)[0]["image_id"] == 2
    assert make(known=[None, None, False]).to_coco(truth())[0]["known"] is None
    assert nothing().to_coco(truth()) == []


def test_images_are_found_by_the_end_of_their_path(tmp_path):
    ids = CocoIds.of(truth())
    assert ids.image("/data/photos/a.png", (200, 100)) == 17, "the longest name counts"
    assert ids.image("/data/else/a.png", (30, 30)) == 1
    assert ids.image("photos/../photos/b.png", (200, 100)) == 2


def test_a_json_is_read_once_for_many_pictures(tmp_path, monkeypatch):
    file = tmp_path / "val.json"
    file.write_text(json.dumps(truth()))
    read = []
    monkeypatch.setattr("negas.predictions.coco.read_json", lambda p: read.append(p) or truth())
    for _ in range(3):
        make().to_coco(file)
    assert len(read) == 1
    file.write_text(json.dumps(truth(), indent=1))
    make().to_coco(str(file))
    assert len(read) == 2, "another content is read again"


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (dict(file_name="photos/c.png"), {}, "lists no image 'photos/c.png'.*give image_id"),
        (dict(size=(100, 200)), {}, "has 200 x 100 pixels there, the picture 100 x 200"),
        (dict(names=["dog", "elk", "unknown"]), {}, "the ID label 'elk' is no category"),
        ({}, dict(unknown_category_id=5), "no category with the id 5; its ids are 1, 3, 90, 91"),
        ({}, dict(image_id=5), "lists no image with the id 5"),
        (dict(is_file=False), {}, "is no file that .* could list; give image_id"),
    ],
)
def test_ids_that_a_json_lacks_are_named(changes, options, message):
    with pytest.raises(ValueError, match=message):
        make(**changes).to_coco(truth(), **options)


def test_a_json_that_is_none_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"lost\.json"):
        make().to_coco(tmp_path / "lost.json")
    for data in ([], dict(images=[dict(id=1)], categories=[]), truth(images=truth()["images"] * 2)):
        with pytest.raises(ValueError, match="the COCO json"):
            make().to_coco(data)
