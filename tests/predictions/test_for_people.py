"""FiftyOne folders, Label Studio tasks and predictions.json: what is written, and read back."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from negas.predictions import fiftyone
from negas.predictions.file import PREDICTIONS_FILE, PredictionsFile, read_predictions
from negas.predictions.label_studio import task
from tests.helpers.commands import call_tool, tool_said
from tests.helpers.fake_runs import ID_NAMES, OOD_NAMES, fake_run
from tests.helpers.made_results import make, nothing, truth, without_verdict


def inside(box):
    return all(0 <= value <= 1 for value in box) and box[0] + box[2] <= 1 and box[1] + box[3] <= 1


# --- FiftyOne ---------------------------------------------------------------------------------
def test_detections_are_shares_of_the_picture_with_attributes():
    found = make().to_fiftyone()
    assert found["_cls"] == "Detections"
    first, flagged, thing = found["detections"]
    assert first["bounding_box"] == pytest.approx([0.05, 0.2, 0.25, 0.6])
    assert first["_cls"] == "Detection" and first["label"] == "dog" and first["tags"] == []
    assert first["known"] is True and flagged["known"] is False and flagged["id_score"] == -0.25
    assert thing["unknown_like"] == "kite" and "id_score" not in thing, "NaN is left out"
    assert "known" not in without_verdict().to_fiftyone()["detections"][0]
    assert nothing().to_fiftyone()["detections"] == []
    json.dumps(found, allow_nan=False)


def test_a_dataset_is_metadata_and_samples(tmp_path):
    fields = dict(predictions=make().to_fiftyone())
    one = fiftyone.sample("photos/a.png", (200, 100), fields, ["near"])
    fiftyone.write_dataset(tmp_path / "deep/out", [one], dict(tau=0.1))
    metadata = json.loads((tmp_path / "deep/out/metadata.json").read_text())
    assert metadata["info"] == dict(tau=0.1) and metadata["media_type"] == "image"
    assert "version" not in metadata, "of FiftyOne's database, which would want its ids"
    (read,) = json.loads((tmp_path / "deep/out/samples.json").read_text())["samples"]
    assert read["filepath"] == os.path.abspath("photos/a.png") and read["tags"] == ["near"]
    assert read["metadata"] == dict(_cls="ImageMetadata", width=200, height=100)
    assert read["predictions"] == fields["predictions"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("home") / "run")


def samples_of(folder):
    return json.loads((folder / "samples.json").read_text())["samples"]


def test_a_test_becomes_predictions_and_ground_truth_by_set(run, tmp_path, capsys):
    code, out, _ = tool_said(capsys, "to_fiftyone", run, "--out", tmp_path / "out")
    assert code == 0 and "48 pictures" in out and "FiftyOneDataset" in out
    assert max(map(len, out.replace(str(tmp_path), "").splitlines())) <= 80
    samples = samples_of(tmp_path / "out")
    assert {tag for one in samples for tag in one["tags"]} == {"id_val", "id", "near", "far"}
    assert all(os.path.isfile(one["filepath"]) for one in samples)
    info = json.loads((tmp_path / "out/metadata.json").read_text())["info"]
    rows = []
    for one in samples:
        assert {"filepath", "tags", "metadata", "predictions", "ground_truth"} == {*one}
        (annotated,) = one["ground_truth"]["detections"]
        near_or_id = OOD_NAMES.get(one["tags"][0], ID_NAMES)
        assert annotated["label"] in near_or_id
        assert annotated["bounding_box"] == pytest.approx([10 / 64, 12 / 64, 20 / 64, 28 / 64])
        rows += one["predictions"]["detections"]
    assert rows and all(inside(row["bounding_box"]) and row["label"] in ID_NAMES for row in rows)
    assert {row["known"] for row in rows} == {True, False}
    for row in rows:
        assert row["confidence"] >= np.float32(info["confidence_cut"])
        assert row["known"] == (row["id_score"] >= info["tau"] - 1e-7) and row["unknown_like"]
    validation = [
        row["known"]
        for one in samples
        if one["tags"] == ["id_val"]
        for row in one["predictions"]["detections"]
    ]
    assert np.mean(validation) >= 0.95


def test_another_score_judges_otherwise(run, tmp_path, capsys):
    given = ("to_fiftyone", run, "--out")
    assert call_tool(*given, tmp_path / "a") == 0
    assert call_tool(*given, tmp_path / "b", "--score", "msp") == 0
    assert samples_of(tmp_path / "a") != samples_of(tmp_path / "b")
    code, _, err = tool_said(capsys, *given, tmp_path / "c", "--score", "magic")
    assert code == 2 and "'magic' is none of this test's scores" in err
    code, _, err = tool_said(capsys, "to_fiftyone", tmp_path, "--out", tmp_path / "c")
    assert code == 2 and "Traceback" not in err


@pytest.fixture
def inferred(tmp_path):
    """A folder of tools/infer.py with one picture and a frame."""
    folder = tmp_path / "inferred"
    (folder / "photos").mkdir(parents=True)
    Image.new("RGB", (200, 100)).save(folder / "photos/a.png")
    file = PredictionsFile(("cat", "dog"), dict(unknown=dict(words=3)), unknown=True)
    file.add(make(file_name=str(folder / "photos/a.png")))
    file.add(make(file_name="clip.mp4", frame=0, is_file=False))
    file.save(folder, True, [])
    return folder


def test_inference_becomes_predictions(inferred, tmp_path, capsys):
    (tmp_path / "truth.json").write_text(json.dumps(truth()))
    given = ("to_fiftyone", inferred, "--out", tmp_path / "out")
    assert call_tool(*given, "--ann-file", tmp_path / "truth.json") == 0
    (one,) = samples_of(tmp_path / "out")
    assert one["predictions"] == make().to_fiftyone()
    assert one["ground_truth"]["detections"][0]["label"] == "dog"
    assert call_tool(*given) == 0
    assert "ground_truth" not in samples_of(tmp_path / "out")[0]
    code, _, err = tool_said(capsys, *given, "--ann-file", tmp_path / "lost.json")
    assert code == 2 and "lost.json" in err


# --- predictions.json -------------------------------------------------------------------------
def test_predictions_read_back_as_results(inferred):
    found = read_predictions(inferred / PREDICTIONS_FILE)
    assert [list(one) for one in found] == [list(make())] * 2
    assert found[1].frame == 0 and not found[1].is_file and found[0].is_file
    assert found[0].class_names == ("cat", "dog")


@pytest.mark.parametrize("data", [[], {}, dict(images=[], annotations=[dict(image_id=3)])])
def test_another_json_is_no_predictions(tmp_path, data):
    (tmp_path / "predictions.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"predictions\.json: no predictions of negas infer"):
        read_predictions(tmp_path / "predictions.json")


# --- Label Studio -----------------------------------------------------------------------------
def test_unknown_boxes_are_tasks_in_percent():
    found = make().to_label_studio()
    assert found["data"] == dict(image="/data/local-files/?d=photos/a.png")
    (prediction,) = found["predictions"]
    flagged, thing = prediction["result"]
    assert thing["value"] == dict(
        x=50.0, y=50.0, width=50.0, height=50.0, rotation=0, rectanglelabels=["unknown"]
    )
    assert (thing["original_width"], thing["original_height"]) == (200, 100)
    assert flagged["meta"]["text"] == ["taken for cat, like statue"]
    assert thing["meta"]["text"] == ["like kite"] and prediction["score"] == 0.75
    for row in prediction["result"]:
        assert row["type"] == "rectanglelabels" and (row["from_name"], row["to_name"]) == (
            "label",
            "image",
        )
    assert flagged["id"] != thing["id"]
    assert task(nothing())["predictions"][0]["result"] == []
    assert len(without_verdict().to_label_studio()["predictions"][0]["result"]) == 1
    web = make(file_name="https://x.org/a.png").to_label_studio()
    assert web["data"]["image"] == "https://x.org/a.png"
    odd = make(file_name="my photos/#1.png").to_label_studio("s3://bucket/")
    assert odd["data"]["image"] == "s3://bucket/my%20photos/%231.png"
