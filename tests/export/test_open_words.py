"""A file of the mode ``open`` takes other words, as Inferencer.set_labels does."""

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import numpy as np
import pytest

from negas.apis import Inferencer
from negas.export.write import Wanted, export_onnx
from negas.runtime import Detector
from negas.runtime.words import Words
from tests.export.test_export_graph import DETECTORS, TAU
from tests.helpers import without_torch
from tests.helpers.onnx_file import write_file
from tests.helpers.shipped_emoji import draw_scenes
from tests.helpers.yolo_world import ROOT

# some name a class of these, by WordNet
WORDS = ("harpsichord", "tent", "puppy", "latte", "vehicle", "apricot", "stew", "cabbage", "saucer")
CLASSES, NEGATIVES = ["dog", "car", "airplane"], ["fox", "truck", "kite", "helicopter", "wolf"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("open")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        inferencer = Inferencer(
            *DETECTORS["yolo_world"],
            device="cpu",
            unknown=dict(vocabulary=WORDS, score_thr=0.05),
            show_progress=False,
        )
        inferencer.tau = TAU
        export_onnx(inferencer, place / "model.onnx", Wanted(mode="open", score_thr=0.05))
        pictures = sorted(map(str, (draw_scenes(place, 8) / "id_val").glob("*.*")))
        yield inferencer, place / "model.onnx", pictures


def compare(detector, inferencer, pictures):
    found = inferencer(pictures, pred_score_thr=0.05)["predictions"]
    assert sum(map(len, found)) > 8
    for theirs, ours in zip(found, map(detector, pictures), strict=True):
        same(theirs, ours)


def same(theirs, ours):
    assert ours.names.tolist() == theirs.names.tolist()
    assert ours.known.tolist() == theirs.known.tolist()
    assert ours.unknown_like.tolist() == theirs.unknown_like.tolist()
    np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=1e-3)
    np.testing.assert_allclose(ours.id_score, theirs.id_score, atol=1e-5)


@pytest.mark.slow
def test_without_other_words_it_has_the_detectors(made):
    inferencer, path, pictures = made
    inferencer.set_labels(calibration=None)
    inferencer.tau = TAU
    compare(Detector(path), inferencer, pictures)


@pytest.mark.slow
def test_other_words_of_another_number(made):
    inferencer, path, pictures = made
    detector = Detector(path)
    detector.set_labels(CLASSES, NEGATIVES)
    assert detector.class_names == tuple(CLASSES) and detector.neg_labels == tuple(NEGATIVES)
    assert detector.tau is None and detector.about.calibration is None
    inferencer.set_labels(CLASSES, NEGATIVES, calibration=None)
    assert all((one.labels >= 0).all() for one in detector(pictures)), "their threshold went"
    inferencer.model.finder, finder = None, inferencer.model.finder
    compare(detector, inferencer, pictures)  # by falling score, both
    inferencer.model.finder, detector.unknown_thr = finder, 0.05
    left = {"harpsichord", "tent", "latte", "apricot", "stew", "cabbage", "saucer"}
    assert set(finder.words) == left, "the Inferencer cuts the same"
    compare(detector, inferencer, pictures)
    assert any((one.labels < 0).any() for one in detector(pictures))
    detector.tau = inferencer.tau = 0.0
    compare(detector, inferencer, pictures)
    texts = inferencer.model.text_feats()
    words = Words(path, detector.about.template)
    np.testing.assert_allclose(words(CLASSES), texts[0].numpy(), atol=1e-5)


@pytest.mark.slow
def test_words_need_no_torch_either(made, wheel, tmp_path):
    inferencer, path, pictures = made
    inferencer.set_labels(CLASSES, NEGATIVES, calibration=None)
    fresh = without_torch.environment(tmp_path / "venv", wheel, "tokenizers")
    given = (fresh, path, pictures, tmp_path, (CLASSES, NEGATIVES), 0.05)
    found = inferencer(pictures, pred_score_thr=0.05)["predictions"]
    for theirs, ours in zip(found, without_torch.results(*given), strict=True):
        same(theirs, ours)


@pytest.mark.slow
def test_unsound_words_are_one_sentence(made):
    detector = Detector(made[1])
    for classes, negatives, said in (
        ([], NEGATIVES, "classes: no names"),
        (CLASSES, [], "needs negatives"),
        (["dog", " "], NEGATIVES, "remove or name it"),
        (["dog " * 90], NEGATIVES, "tokens, the text encoder takes 32; shorten it"),
    ):
        with pytest.raises(ValueError, match=said):
            detector.set_labels(classes, negatives)


def test_a_baked_file_takes_no_other_words(tmp_path):
    with pytest.raises(ValueError, match="has its labels inside; export it with --mode open"):
        Detector(write_file(tmp_path / "model.onnx")).set_labels(CLASSES, NEGATIVES)


def test_the_text_encoder_must_lie_beside(tmp_path):
    detector = Detector(write_file(tmp_path / "model.onnx", mode="open"))
    with pytest.raises(FileNotFoundError, match="model.text.onnx' does not exist; other words"):
        detector.set_labels(CLASSES, NEGATIVES)
