"""Export, run with ONNX Runtime and compare with the Inferencer, for both built-in detectors."""

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import json
import runpy
import sys

import numpy as np
import onnx
import pytest
import torch

import negas
from negas.apis import Inferencer
from negas.apis.calibration import Calibration, default_path, identity
from negas.export.write import Wanted, build, export_onnx, export_pt2
from negas.files import file_sha256
from negas.pictures import read_rgb
from negas.runtime import Detector
from tests.export.test_export_graph import DETECTORS
from tests.helpers.shipped_emoji import draw_scenes
from tests.helpers.yolo_world import ROOT
from tests.runtime.test_runtime_detector import run_alone

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_root")]
CUT = 0.1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_scenes(tmp_path_factory.mktemp("scenes"), 12) / "id_val"


@pytest.fixture(scope="module")
def pictures(folder):
    return sorted(map(str, folder.glob("*.*")))


@pytest.fixture(scope="module", params=DETECTORS)
def made(request, tmp_path_factory, pictures):
    """A calibrated detector, its file and what that says about itself."""
    place = tmp_path_factory.mktemp(request.param)
    config, weights = DETECTORS[request.param]
    copied = place / "weights.safetensors"
    copied.write_bytes(weights.read_bytes())
    options = dict(device="cpu", unknown=False, show_progress=False)
    plain = Inferencer(config, copied, **options)
    found = plain(pictures, pred_score_thr=CUT)["predictions"]
    scores = np.concatenate([one.id_score for one in found])
    Calibration(
        cut=CUT,
        tau=float(np.median(scores)) + 1e-4,
        wanted_tpr=0.5,
        reached_tpr=0.5,
        counts=dict(images=len(pictures), detections=len(scores)),
        fitted_for=identity(plain.model, copied),
        source={},
    ).save(default_path(copied))
    inferencer = Inferencer(config, copied, **options)
    about = export_onnx(inferencer, place / "model.onnx", Wanted(raw=True))
    return inferencer, place / "model.onnx", about


def test_the_file_says_what_the_inferencer_says(made, pictures):
    inferencer, path, _ = made
    detector = Detector(path)
    found = inferencer(pictures)["predictions"]
    verdicts = np.concatenate([one.known for one in found])
    assert {True, False} == set(verdicts) and len(verdicts) > 20
    for theirs, ours in zip(found, detector(pictures), strict=True):
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert ours.known.tolist() == theirs.known.tolist()
        assert ours.unknown_like.tolist() == theirs.unknown_like.tolist()
        np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=1e-3)
        for key in ("confidence", "id_score", "unknown_like_score"):
            np.testing.assert_allclose(getattr(ours, key), getattr(theirs, key), atol=1e-5)
        assert (ours.file_name, ours.size) == (theirs.file_name, theirs.size)


def test_a_batch_gives_what_single_pictures_give(made, pictures):
    detector = Detector(made[1])
    for one, several in zip(map(detector, pictures[:5]), detector(pictures[:5]), strict=True):
        assert one.labels.tolist() == several.labels.tolist()
        np.testing.assert_allclose(one.boxes, several.boxes, atol=1e-3)
        np.testing.assert_allclose(one.id_score, several.id_score, atol=1e-5)


def test_it_says_where_it_is_from(made):
    inferencer, path, about = made
    assert Detector(path).about == about
    calibration = inferencer.calibration
    assert about.version == negas.__version__
    assert about.class_names == inferencer.model.class_names
    assert about.neg_labels == inferencer.model.neg_labels
    assert about.weights_sha256 == file_sha256(inferencer.weights)
    assert about.bank_sha256 == file_sha256("data/labels/emoji_world/llm.json")
    assert about.calibration["sha256"] == file_sha256(default_path(inferencer.weights))
    assert (about.calibration["wanted_tpr"], about.tau) == (0.5, calibration.tau)
    assert (about.score, about.score_thr) == ("negs", CUT)
    assert about.score_options["neg_reduce"] == "max"


def test_it_is_plain_onnx_without_traces_of_this_machine(made):
    model = onnx.load(made[1])
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 20)]
    assert not model.functions
    kinds = {node.op_type for node in model.graph.node}
    yolo_world = "YOLO" in made[2].detector
    assert ("NonMaxSuppression" in kinds) is yolo_world
    assert ("GridSample" in kinds) is not yolo_world
    assert not kinds & {"Einsum", "Loop", "If", "BatchNormalization"}
    assert b".py" not in made[1].read_bytes()


def test_it_runs_without_torch(made, pictures):
    inferencer, path, _ = made
    (theirs,) = inferencer(pictures[:1])["predictions"]
    assert run_alone(path, pictures[0]) == str(theirs)


def verify(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["verify_export.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "tools/verify_export.py"), run_name="__main__")
    return end.value.code


def test_verification_passes_and_fails(made, folder, monkeypatch, capsys):
    inferencer, path, about = made
    config = DETECTORS["yolo_world" if "YOLO" in about.detector else "grounding_dino"][0]
    of_it = (path, config, inferencer.weights, "--data", folder, "--images", 4)
    assert verify(monkeypatch, *of_it, "--speed", 1) == 0
    said = capsys.readouterr().out
    assert "same pixels: " in said and "0 only on one side" in said
    assert "verdicts: 0 turn unknown, 0 turn known" in said
    assert "2 threads, network and selection: PyTorch" in said
    assert verify(monkeypatch, *of_it, "--tolerance", 1e-12) == 1
    assert "NOT within the tolerance of 1e-12" in capsys.readouterr().out
    assert verify(monkeypatch, *of_it, "--negatives", "fox", "wolf") == 2
    assert "was made with other neg_labels" in capsys.readouterr().err


def test_the_network_alone_is_a_pt2(pictures, tmp_path):
    inferencer = Inferencer(
        *DETECTORS["yolo_world"], device="cpu", unknown=False, show_progress=False
    )
    about = export_pt2(inferencer, tmp_path / "model.pt2", Wanted())
    held = {"negas.json": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=held)
    assert type(about).of_props(json.loads(held["negas.json"]), "it") == about
    pixels = np.stack([about.letterbox(read_rgb(one))[0] for one in pictures[:3]])
    found = program.module()(torch.from_numpy(pixels))
    network = build(inferencer, Wanted())[0].network
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels), *network.traced.texts())
    assert [one.shape for one in found] == [(3, 525, 4), (3, 525, 19), (3, 525, 20)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)


def test_a_calibration_of_other_labels_or_weights_is_refused(made, monkeypatch, capsys, tmp_path):
    inferencer, _, about = made
    config = DETECTORS["yolo_world" if "YOLO" in about.detector else "grounding_dino"][0]
    calibration = default_path(inferencer.weights)
    out = tmp_path / "model.onnx"
    for more, word in (
        (["--classes", "cat", "dog", "--negatives", "fox"], "other class names"),
        (["--negatives", "fox", "bat"], "other negative labels"),
        (["--cfg-options", "model.postprocessor.weight=0.5"], "other score options"),
    ):
        arguments = [config, inferencer.weights, "--out", out, "--calibration", calibration, *more]
        monkeypatch.setattr(sys, "argv", ["export.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "tools/export.py"), run_name="__main__")
        assert end.value.code == 2 and not out.exists()
        assert f"was fitted for {word}" in capsys.readouterr().err
