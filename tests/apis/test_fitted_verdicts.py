"""A detector that is judged by a fitted score: calibrated, saved, loaded, refused."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from negas.apis import Inferencer
from negas.apis.calibration import Calibration, default_path, state_path
from negas.apis.fit import calibrate, use_images
from negas.cli import load_config
from negas.evaluation.fitting import FittedState
from negas.models import OODPostProcessor
from tests.helpers.commands import run_tool
from tests.helpers.shipped_emoji import CONFIG, copy_weights, draw_scenes

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*boxes to fit scores on"),
    pytest.mark.usefixtures("in_root"),
]  # few scenes
KNN = dict(type="OODPostProcessor", score="knn", k=3)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return draw_scenes(tmp_path_factory.mktemp("scenes"), 12)


@pytest.fixture(scope="module")
def cfg(scenes):
    found = load_config(CONFIG)
    use_images(found, f"{scenes}/annotations/id_val.json", f"{scenes}/id_val")
    found.val_dataloader.update(num_workers=0, persistent_workers=False)
    found.model.postprocessor = dict(KNN)
    found.model.test_cfg.unknown = None
    return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory, cfg):
    """A checkpoint with its calibration beside it."""
    path = copy_weights(tmp_path_factory.mktemp("weights"))
    calibrate(cfg, path, tpr=0.9, cut=0.3).save(default_path(path))
    return path


@pytest.fixture
def copy(weights, tmp_path):
    """The same, to be damaged."""
    return Path(shutil.copytree(weights.parent, tmp_path / "copy")) / weights.name


def judge(cfg, weights, **how):
    return Inferencer(cfg, weights, "cpu", show_progress=False, **how)


def boxes(inferencer, scenes):
    found = inferencer(str(scenes / "id_val"), pred_score_thr=0.3)["predictions"]
    return [np.concatenate([getattr(one, key) for one in found]) for key in ("id_score", "known")]


def test_tau_is_of_scores_without_the_boxes_own_image(cfg, weights, scenes):
    found = Calibration.load(default_path(weights))
    assert found.fitted["score"] == "knn" and found.fitted["boxes"] == found.counts["detections"]
    assert 0.9 <= found.reached_tpr < 1
    scores, known = boxes(judge(cfg, weights), scenes)
    assert len(scores) == found.counts["detections"] and np.isfinite(scores).all()
    # their own images are nothing special to the Inferencer: each box meets itself
    np.testing.assert_array_equal(known, scores >= np.float32(found.tau))
    assert known.mean() > found.reached_tpr


def test_a_saved_state_gives_the_scores_of_the_fit(cfg, weights, scenes):
    made = calibrate(cfg, weights, tpr=0.9, cut=0.3)
    first, second = (boxes(judge(cfg, weights, calibration=c), scenes)[0] for c in (made, "auto"))
    np.testing.assert_array_equal(first, second)


def test_without_a_calibration_there_is_no_verdict(cfg, weights, scenes):
    inferencer = judge(cfg, weights, calibration=None)
    scores, known = boxes(inferencer, scenes)
    assert len(scores) and np.isnan(scores).all() and not any(known)
    with pytest.raises(ValueError, match="tau cannot be set: the score 'knn' is fitted on ID box"):
        inferencer.tau = 0.5
    assert not OODPostProcessor("knn").is_ready and OODPostProcessor("negs").is_ready


def test_a_lost_or_foreign_state_is_refused(cfg, copy):
    place = default_path(copy)
    state = FittedState.load(state_path(place))
    FittedState(state.tensors, state.about | dict(boxes=1)).save(state_path(place))
    with pytest.raises(ValueError, match="is not the one that calibration .* was made with"):
        judge(cfg, copy)
    state_path(place).unlink()
    with pytest.raises(FileNotFoundError, match="state '.*safetensors' does not exist"):
        judge(cfg, copy)


def test_calibrate_takes_a_state_that_was_fitted_elsewhere(cfg, weights, scenes, tmp_path, capsys):
    """As tools/test.py leaves it; refused for another detector."""
    settings = {"model.postprocessor.score": "knn", "model.postprocessor.k": 3}
    settings |= {"test_dataloader.num_workers": 0, "test_dataloader.persistent_workers": False}
    ann = ("--ann-file", f"{scenes}/annotations/id_val.json", "--img-dir", scenes / "id_val")
    out, given = tmp_path / "c.json", state_path(default_path(weights))
    call = ("calibrate", CONFIG, weights, *ann, "--cut", 0.3, "--out", out, "--unknown", "none")
    assert run_tool(*call, "--state", given, options=settings) == 0
    boxes = json.loads(out.read_text())["fitted"]["boxes"]
    assert f"knn is fitted on {boxes} boxes of id_val" in capsys.readouterr().out
    assert math.isfinite(Calibration.load(out).tau)
    state = FittedState.load(given)
    other = FittedState(state.tensors, state.about | dict(checkpoint_sha256="c" * 64))
    other.save(tmp_path / "other.safetensors")
    assert run_tool(*call, "--state", tmp_path / "other.safetensors", options=settings) == 2
    assert "was fitted for another checkpoint" in capsys.readouterr().err
