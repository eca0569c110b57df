"""negas.runtime.Detector on a file made by hand, and what it must not import."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from negas.runtime import Detector, Letterbox
from tests.helpers.onnx_file import OBJECTS, ROWS, UNKNOWN, about, write_file
from tests.helpers.yolo_world import ROOT


@pytest.fixture
def file(tmp_path):
    return write_file(tmp_path / "made.onnx")


@pytest.fixture
def picture():
    return Image.new("RGB", (64, 32), "navy")


def test_rows_become_results_in_pixels_of_the_picture(file, picture):
    found = Detector(file)(picture)
    # 64x32 is halved and filled up below
    assert found.boxes.tolist() == [[16, 32, 48, 32], [0, 0, 62, 32]]
    assert found.names.tolist() == ["dog", "cat"] and found.labels.tolist() == [1, 0]
    assert found.known.tolist() == [False, True]
    assert found.unknown_like.tolist() == ["statue", "wolf"]
    np.testing.assert_array_equal(found.confidence, ROWS["scores"][0, :2])
    np.testing.assert_array_equal(found.id_score, ROWS["id_scores"][0, :2])
    np.testing.assert_array_equal(found.unknown_like_score, ROWS["unknown_like_score"][0, :2])
    assert found.size == (64, 32) and found.class_names == ("cat", "dog")


def test_another_tau_judges_the_same_rows(file, picture):
    detector = Detector(file)
    detector.tau = 0.35
    assert detector(picture).known.tolist() == [False, False]
    detector.tau = 0.1
    assert detector(picture).known.tolist() == [True, True]
    detector.tau = None
    found = detector(picture)
    assert found.known.tolist() == [None, None]
    assert found.names.tolist() == ["cat", "dog"]  # by falling score
    with pytest.raises(ValueError, match="tau must be a finite number"):
        detector.tau = float("nan")


def test_the_cut_can_be_raised_only(file, picture):
    detector = Detector(file)
    detector.score_thr = 0.5
    assert detector(picture).names.tolist() == ["dog"]
    with pytest.raises(ValueError, match=r"score_thr must lie in \[0.3, 1\], got 0.1"):
        detector.score_thr = 0.1


def test_unknown_objects_follow_the_boxes(tmp_path, picture):
    detector = Detector(write_file(tmp_path / "made.onnx", unknown=UNKNOWN))
    found = detector(picture)
    assert found.names.tolist() == ["dog", "cat", "unknown", "unknown"]
    assert found.labels.tolist() == [1, 0, -1, -1]
    assert found.known.tolist() == [False, True, False, False]
    assert found.unknown_like.tolist() == ["statue", "wolf", "cloud", "cloud"]
    assert found.boxes[2].tolist() == [8, 32, 24, 32]  # clipped to the picture
    np.testing.assert_array_equal(found.confidence[2:], OBJECTS["object_scores"][0, [0, 2]])
    np.testing.assert_array_equal(found.unknown_like_score[2:], np.float32([0.9, 0.3]))
    assert np.isnan(found.id_score[2:]).all()
    detector.unknown_thr = 0.5
    assert detector(picture).names.tolist() == ["dog", "cat", "unknown"]
    detector.score_thr = 0.5  # the cat is not shown any more, and hides nothing
    assert detector(picture).unknown_like.tolist() == ["statue", "cloud", "kite"]
    detector.unknown_thr = 0.1
    assert len(detector(picture)) == 3, "two of an image at most"
    detector.tau = None
    assert detector(picture).known.tolist() == [None, False, False]
    detector.unknown_thr = None
    assert detector(picture).names.tolist() == ["dog"]
    with pytest.raises(ValueError, match=r"unknown_thr must lie in \[0.1, 1\), got 0.05"):
        detector.unknown_thr = 0.05


def test_id_boxes_that_were_asked_for_hide_at_any_cut(tmp_path, picture):
    own = UNKNOWN | dict(id_score_thr=0.3)
    detector = Detector(write_file(tmp_path / "made.onnx", unknown=own))
    detector.score_thr = detector.unknown_thr = 0.5
    assert detector(picture).unknown_like.tolist() == ["statue", "cloud"]


def test_a_file_without_unknown_objects_has_no_threshold_of_them(file):
    detector = Detector(file)
    assert detector.unknown_thr is None and detector.words == ()
    with pytest.raises(ValueError, match="finds no unknown objects; export it again"):
        detector.unknown_thr = 0.5


def test_files_arrays_and_pictures_are_one(file, picture, tmp_path):
    path = tmp_path / "sky.png"
    picture.save(path)
    array = np.asarray(picture)[..., ::-1]
    detector = Detector(file)
    first, *others = detector(path), detector(array), detector(picture)
    assert first.file_name == str(path) and first.is_file and not others[0].is_file
    for other in others:
        assert other.boxes.tolist() == first.boxes.tolist()
    with pytest.raises(ValueError, match=r"an array must be uint8 \[H, W, 3\], got float32"):
        detector(array.astype(np.float32))
    with pytest.raises(FileNotFoundError, match="no such image file"):
        detector(tmp_path / "nowhere.png")
    assert detector([]) == []


@pytest.mark.parametrize("missing", ["class_names", "letterbox", "tau"])
def test_a_file_of_somebody_else_is_one_sentence(tmp_path, missing):
    props = about().props()
    del props[f"negas.{missing}"]
    file = write_file(tmp_path / "other.onnx", props)
    with pytest.raises(ValueError, match=f"says no '{missing}' about itself"):
        Detector(file)


def test_what_is_no_file_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; make it with negas export"):
        Detector(tmp_path / "nowhere.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match="ONNX Runtime cannot load"):
        Detector(tmp_path / "text.onnx")


def test_what_a_file_says_of_itself_reads_back_the_same():
    full = about(
        calibration=dict(sha256="1" * 64, wanted_tpr=0.95),
        letterbox=Letterbox((64, 32), (60, 32), False, True, (1, 2, 3), "down", "area"),
        tau=None,
    )
    assert type(full).of_props(full.props(), "it") == full


ALONE = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

BLOCKED = {"torch", "mmdet", "mmengine", "mmcv", "mmyolo", "transformers", "cv2", "pycocotools"}
BLOCKED |= {"onnx", "onnxscript", "scipy", "matplotlib", "rich"}
sys.meta_path.insert(0, Block())
from negas.runtime import Detector
found = Detector(sys.argv[1])(sys.argv[2])
assert not BLOCKED & set(sys.modules), BLOCKED & set(sys.modules)
print(found)
"""


def run_alone(file, picture):
    """What a process prints that has neither PyTorch nor MMDetection nor transformers."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(file), str(picture)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_needs_no_torch(file, picture, tmp_path):
    picture.save(tmp_path / "sky.png")
    said = run_alone(file, tmp_path / "sky.png")
    assert said == f"{tmp_path / 'sky.png'}: 2 boxes, 1 known, 1 unknown"
