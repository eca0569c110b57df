"""Export, run with ONNX Runtime and compare with the Inferencer, for both built-in detectors."""

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import json
import runpy
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

import negas
from negas.apis import Inferencer
from negas.apis.calibration import (
    Calibration,
    default_path,
    identity,
    search_of,
    words_digest,
)
from negas.export.write import Wanted, build, export_onnx, export_pt2
from negas.files import file_sha256
from negas.pictures import read_rgb
from negas.runtime import Detector
from tests.export.test_export_graph import DETECTORS
from tests.export.test_unknown_in_graph import WORDS
from tests.helpers import without_torch
from tests.helpers.fake_runs import unknown_section
from tests.helpers.shipped_emoji import draw_scenes
from tests.helpers.yolo_world import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_root")]
CUT = 0.1
ANNOTATIONS = "annotations/id_val.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_scenes(tmp_path_factory.mktemp("scenes"), 12) / "id_val"


@pytest.fixture(scope="module")
def pictures(folder):
    return sorted(map(str, folder.glob("*.*")))


@pytest.fixture(scope="module", params=DETECTORS)
def made(request, tmp_path_factory, folder, pictures):
    """A calibrated detector, its file and what that says about itself."""
    place, annotations = tmp_path_factory.mktemp(request.param), folder.parent / ANNOTATIONS
    config, weights = DETECTORS[request.param]
    copied = place / "weights.safetensors"
    copied.write_bytes(weights.read_bytes())
    options = dict(device="cpu", show_progress=False)
    # calibrated by some of the words, so that the file holds fewer
    words, search = WORDS[:5], dict(vocabulary=WORDS, score_thr=0.05)
    plain = Inferencer(config, copied, unknown=search, **options)
    about = dict(source="/home/me/words.txt", words=len(WORDS), sha256=words_digest(WORDS))
    section = unknown_section() | dict(words=list(words), word_rates=[0.0] * 5, score_thr=0.05)
    section |= dict(hot=[[word, 0.9] for word in WORDS[5:]], vocabulary=about)
    found = plain(pictures, pred_score_thr=CUT)["predictions"]
    scores = np.concatenate([one.id_score[one.labels >= 0] for one in found])
    Calibration(
        cut=CUT,
        tau=float(np.median(scores)) + 1e-4,
        wanted_tpr=0.5,
        reached_tpr=0.5,
        counts=dict(images=len(pictures), detections=len(scores)),
        fitted_for=identity(plain.model, copied),
        source=dict(ann_file=str(annotations), bank="/home/me/gone.json", cut_rule="fixed"),
        unknown=section | dict(fitted_for=search_of(plain.model.finder)),
    ).save(default_path(copied))
    inferencer = Inferencer(config, copied, **options)
    assert inferencer.model.finder.words == words
    about = export_onnx(inferencer, place / "model.onnx", Wanted(raw=True))
    return inferencer, place / "model.onnx", about


def test_the_file_says_what_the_inferencer_says(made, pictures):
    inferencer, path, _ = made
    detector = Detector(path)
    found = inferencer(pictures)["predictions"]
    verdicts = np.concatenate([one.known[one.labels >= 0] for one in found])
    assert {True, False} == set(verdicts) and len(verdicts) > 20
    assert sum(sum(one.labels < 0) for one in found) > 8
    compare(found, detector(pictures))


def compare(expected, found):
    """Results of the Inferencer with others."""
    for theirs, ours in zip(expected, found, strict=True):
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert ours.names.tolist() == theirs.names.tolist()
        assert ours.known.tolist() == theirs.known.tolist()
        assert ours.unknown_like.tolist() == theirs.unknown_like.tolist()
        np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=1e-3)
        for key in ("confidence", "id_score", "unknown_like_score"):
            np.testing.assert_allclose(getattr(ours, key), getattr(theirs, key), atol=1e-5)
        assert (ours.file_name, ours.size) == (theirs.file_name, theirs.size)


def test_id_boxes_are_those_of_a_file_without_unknown_objects(made, pictures, tmp_path):
    inferencer, path, about = made
    search, finder = inferencer._choice.search, inferencer.model.finder
    try:
        inferencer.model.finder = None
        export_onnx(inferencer, tmp_path / "plain.onnx", Wanted(raw=True))
    finally:
        inferencer.model.finder = finder
    assert search.words is not None
    with_them, plain = Detector(path), Detector(tmp_path / "plain.onnx")
    assert plain.about == replace(about, unknown=None)
    pixels = np.stack([about.letterbox(read_rgb(one))[0] for one in pictures])
    # in a batch, and without saying where pictures lie
    ours, theirs = with_them.run(pixels), plain.run(pixels)
    assert set(ours) - set(theirs) == {name for name in ours if name.startswith("object_")}
    for key, values in theirs.items():
        assert values.tobytes() == ours[key].tobytes(), key
    # and the objects themselves are the same where that is said
    (_, place), *_ = map(about.letterbox, map(read_rgb, pictures))
    for key, values in with_them.run(pixels, [place] * len(pixels)).items():
        np.testing.assert_array_equal(values, ours[key])
    assert ours["object_mask"].any()


@pytest.mark.parametrize("cut", [0.2, 0.6])
def test_a_higher_cut_and_threshold(made, pictures, cut):
    """ID boxes that are not shown hide nothing."""
    inferencer, path, _ = made
    detector = Detector(path)
    detector.score_thr, detector.unknown_thr = cut, 0.3
    found = inferencer(pictures, pred_score_thr=cut)["predictions"]
    found = [one[(one.labels >= 0) | (one.confidence >= np.float32(0.3))] for one in found]
    assert sum(sum(one.labels < 0) for one in found) > 2
    compare(found, detector(pictures))
    detector.unknown_thr = None
    assert all((one.labels >= 0).all() for one in detector(pictures))


def test_a_batch_gives_what_single_pictures_give(made, pictures):
    detector = Detector(made[1])
    for one, several in zip(map(detector, pictures[:5]), detector(pictures[:5]), strict=True):
        assert one.labels.tolist() == several.labels.tolist()
        np.testing.assert_allclose(one.boxes, several.boxes, atol=1e-3)
        np.testing.assert_allclose(one.id_score, several.id_score, atol=1e-5)


def test_it_says_where_it_is_from(made, folder):
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
    assert about.unknown["words"] == list(WORDS[:5]) and about.unknown["calibrated"]
    assert (about.unknown["score_thr"], about.unknown["id_score_thr"]) == (0.05, None)
    # names of files, no folders
    source = about.calibration["source"]
    assert source["bank"] == dict(file="gone.json", sha256=None)
    digest = file_sha256(folder.parent / ANNOTATIONS)
    assert source["ann_file"] == dict(file="id_val.json", sha256=digest)
    assert about.calibration["file"] == default_path(inferencer.weights).name
    assert not any("/home" in text or str(folder.parent) in text for text in about.props().values())


def test_it_is_plain_onnx_without_traces_of_this_machine(made):
    model = onnx.load(made[1])
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 20)]
    assert not model.functions
    kinds = {node.op_type for node in model.graph.node}
    yolo_world = "YOLO" in made[2].detector
    assert "NonMaxSuppression" in kinds
    assert ("GridSample" in kinds) is not yolo_world
    assert not kinds & {"Einsum", "Loop", "If", "BatchNormalization"}
    assert b".py" not in made[1].read_bytes()


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory):
    return without_torch.environment(tmp_path_factory.mktemp("fresh") / "venv", wheel)


def test_it_runs_in_an_environment_without_torch(made, fresh, pictures, tmp_path):
    inferencer, path, _ = made
    assert "tokenizers" not in fresh.names
    found = inferencer(pictures)["predictions"]
    compare(found, without_torch.results(fresh, path, pictures, tmp_path))


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
    assert "same pixels: " in said and " boxes, 0 only on one side" in said
    assert " unknown objects, 0 only on one side" in said
    assert "verdicts: 0 turn unknown, 0 turn known" in said
    assert "2 threads, network and selection: PyTorch" in said
    assert verify(monkeypatch, *of_it, "--tolerance", 1e-12) == 1
    assert "NOT within the tolerance of 1e-12" in capsys.readouterr().out
    assert verify(monkeypatch, *of_it, "--negatives", "fox", "wolf") == 2
    assert "was made with other neg_labels" in capsys.readouterr().err


def test_the_network_alone_is_a_pt2(pictures, tmp_path):
    inferencer = Inferencer(
        *DETECTORS["yolo_world"],
        device="cpu",
        unknown=dict(vocabulary=WORDS, score_thr=0.05),
        show_progress=False,
    )
    about = export_pt2(inferencer, tmp_path / "model.pt2", Wanted())
    held = {"negas.json": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=held)
    assert type(about).of_props(json.loads(held["negas.json"]), "it") == about
    assert about.unknown is None
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
