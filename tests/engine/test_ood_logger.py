"""A test's numbers reach the visualizer's backends; the log has a short line."""

import json
from types import SimpleNamespace

import pytest
from mmengine.hooks import LoggerHook
from mmengine.registry import HOOKS
from mmengine.visualization import Visualizer

from negas.engine import OODLoggerHook


class Lines(list):
    """Notes what is logged."""

    info = list.append


@pytest.fixture
def runner(tmp_path):
    """What the hook asks of a runner, with MMEngine's own visualizer and its local backend."""
    backends = [dict(type="LocalVisBackend")]
    visualizer = Visualizer(name=str(tmp_path), vis_backends=backends, save_dir=str(tmp_path))
    tag = dict(a=0.5, listed=[1, 2])
    return SimpleNamespace(
        visualizer=visualizer,
        message_hub=SimpleNamespace(get_info=lambda key, default: {"epoch": 7}.get(key, default)),
        test_dataloader=[0] * 3,
        log_dir=str(tmp_path),
        log_processor=SimpleNamespace(get_log_after_epoch=lambda *_, **__: (tag, "all in a line")),
        logger=Lines(),
    )


def hook():
    made = HOOKS.build(dict(type="OODLoggerHook"))
    made.json_log_path = "now.json"
    return made


def logged(folder):
    (line,) = (folder / "vis_data/scalars.json").read_text().splitlines()
    return json.loads(line)


def test_all_numbers_reach_the_backends(runner, tmp_path):
    metrics = {"id/cut": 0.25, "id/coco_ap50": 0.5, "near/mcm(logits=cosine)_fpr95": 0.75}
    metrics |= {f"near/score{i}_auroc": i / 100 for i in range(40)}
    metrics |= {"far/negs_fpr95": float("nan"), "words": "none", "huge": float("inf")}
    hook().after_test_epoch(runner, metrics)
    found = logged(tmp_path)
    assert found.pop("step") == 7
    assert found["test/near/mcm_logits_cosine__fpr95"] == 0.75, "a name that MLflow takes"
    assert found["test/id/cut"] == 0.25 and found["test/near/score39_auroc"] == 0.39
    assert len(found) == 43, "no NaN, no infinity, no text"


def test_the_log_line_is_short_and_names_the_file(runner, tmp_path):
    metrics = {"id/coco_ap50": 0.5, "id/cut": 0.25} | {f"n{i}": 0.1 for i in range(37)}
    hook().after_test_epoch(runner, metrics)
    (line,) = runner.logger
    assert line.startswith("Epoch(test) [3/3]  id/coco_ap50: 0.5000  id/cut: 0.2500  (all 39 ")
    assert "n0" not in line and str(tmp_path / "now.json") in line
    assert json.loads((tmp_path / "now.json").read_text()) == dict(a=0.5, listed=[1, 2])


def test_few_numbers_stay_in_mmengines_line(runner, tmp_path):
    hook().after_test_epoch(runner, {"coco/bbox_mAP": 0.5})
    assert runner.logger == ["all in a line"]
    assert logged(tmp_path)["test/coco/bbox_mAP"] == 0.5


def test_nothing_is_written_without_metrics(runner, tmp_path):
    hook().after_test_epoch(runner, {})
    assert not (tmp_path / "vis_data/scalars.json").exists()
    assert issubclass(OODLoggerHook, LoggerHook)
