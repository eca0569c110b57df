"""Where mmyolo is not installed, all but YOLO-World works."""

import sys

import pytest

from negas.evaluation.result_files import read_results
from tests.helpers.commands import run_command
from tests.helpers.tiny_coco import EMOJI, EMOJI_GROUNDING_DINO, emoji_project
from tests.helpers.yolo_world import ROOT

BLOCKED = """
import runpy, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "mmyolo":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def call(tool, *given):
    tool = ROOT / f"tools/{tool}.py"
    return run_command(sys.executable, "-c", BLOCKED, tool, *given, cwd=ROOT)


@pytest.mark.slow
def test_grounding_dino_is_trained_and_tested_and_scored(tmp_path):
    config = emoji_project(
        tmp_path, count=2, base=EMOJI_GROUNDING_DINO, train_cfg__max_epochs=1,
        train_cfg__val_interval=1,
    )  # fmt: skip
    work, run = tmp_path / "work", tmp_path / "run"
    for given in (
        ("train", config, "--work-dir", work),
        ("test", config, work / "epoch_1.pth", "--work-dir", run),
        ("score", run, "--preset", "vos"),
        ("image_ood", "--help"),
        ("mine_labels", "--help"),
        ("audit_labels", "--help"),
    ):
        done = call(*given)
        assert done.returncode == 0, done.stderr[-2000:]
    assert read_results(run)["rows"]


@pytest.mark.slow
def test_yolo_world_says_what_is_missing(tmp_path):
    config = emoji_project(tmp_path, count=2, base=EMOJI)
    done = call("test", config, tmp_path / "base.pth", "--work-dir", tmp_path / "work")
    assert done.returncode == 2
    assert "YOLO-World needs mmyolo, which is not installed" in done.stderr


@pytest.mark.slow
def test_the_rooms_without_a_detector(tmp_path):
    rooms = "scores, metrics, labels.mining.run, image_level.run.run, records, unknown".split(", ")
    (tmp_path / "rooms.py").write_text("".join(f"import negas.{room}\n" for room in rooms))
    done = run_command(sys.executable, "-c", BLOCKED, tmp_path / "rooms.py", cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
